import Glibc
package import Hosts
package import Postgres
import PostgresModel
import Storage
package import SystemPackage

/// One PostgreSQL server as a process of ours: made, configured, started, stopped, promoted.
///
/// Any version, any directory. Where this process is root, the server is run by the account `postgres`. Its files
/// appear complete or not at all: a data directory is made beside its place and renamed into it.
package struct PostgresInstance: Sendable {
    package typealias Setting = PostgresConfiguration.Setting

    package let name: String
    package let programs: PostgresPrograms
    package let places: Places
    package let port: Int
    let account: Account?

    package struct Places: Sendable {
        package var data: FilePath
        /// Where postgresql.conf, pg_hba.conf and pg_ident.conf are: the data directory, or another one as on Debian.
        package var configuration: FilePath
        package var sockets: FilePath
        package var log: FilePath

        package init(data: FilePath, configuration: FilePath? = nil, sockets: FilePath, log: FilePath) {
            self.data = data
            self.configuration = configuration ?? data
            self.sockets = sockets
            self.log = log
        }

        /// `directory`/data, etc, run and log.
        package init(under directory: FilePath, configurationOutside: Bool) {
            self.init(
                data: directory.appending("data"), configuration: configurationOutside ? directory.appending("etc") : nil,
                sockets: directory.appending("run"), log: directory.appending("log"))
        }

        var configurationIsOutside: Bool { configuration != data }
        var unfinishedData: FilePath { FilePath("\(data).new") }
    }

    package init(name: String, programs: PostgresPrograms, places: Places, port: Int) throws {
        self.name = name
        self.programs = programs
        self.places = places
        self.port = port
        account = try Account.forServers()
    }

    // MARK: Making

    package var exists: Bool { get throws { try Directory.exists(places.data) } }

    /// A new primary: data checksums, SCRAM everywhere, `password` for the superuser "postgres".
    package func create(password: String, _ configuration: PostgresConfiguration) throws {
        try prepareDirectories()
        let file = places.data.removingLastComponent().appending(".superuser-password")
        defer { try? Directory.remove(file) }  // it goes with the directory at the latest
        try SmallFile.write(password, to: file, permissions: 0o600, owner: account?.owner)
        try run(
            "initdb",
            [
                "--pgdata=\(places.unfinishedData)", "--username=postgres", "--pwfile=\(file)", "--auth=scram-sha-256",
                "--data-checksums", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions",
            ])
        try finish(configuration)
    }

    /// A new standby: a copy of the server at `upstream`, made over the replication protocol while holding WAL on
    /// `slot`, which must be there. `configuration` says how to follow it.
    package func createStandby(of upstream: Conninfo, slot: SlotName, _ configuration: PostgresConfiguration) throws {
        try prepareDirectories()
        try run(
            "pg_basebackup",
            [
                "--pgdata=\(places.unfinishedData)", "--dbname=\(upstream)", "--wal-method=stream", "--slot=\(slot)",
                "--checkpoint=fast", "--no-sync",
            ])
        try SmallFile.write("", to: places.unfinishedData.appending("standby.signal"), owner: account?.owner)
        try finish(configuration)
    }

    private func prepareDirectories() throws {
        for directory in [places.data.removingLastComponent(), places.configuration.removingLastComponent()] {
            try Directory.create(directory, owner: account?.owner)
        }
        try removeUnfinished()
    }

    /// An initdb whose parent was killed still writes for a moment: its files are taken away until it gives up.
    private func removeUnfinished() throws {
        let patience = Deadline(seconds: 15)
        while true {
            do {
                return try Directory.removeTree(places.unfinishedData)
            } catch let failure as Failure where failure.code == .inputOutput && !patience.isOver {
                try Interruption.check()
                usleep(50_000)
            }
        }
    }

    private func finish(_ configuration: PostgresConfiguration) throws {
        if places.configurationIsOutside {
            for file in PostgresConfiguration.fileNames { try Directory.remove(places.unfinishedData.appending(file)) }
            try configure(configuration)
        } else {
            try write(configuration, to: places.unfinishedData)
        }
        try Directory.rename(places.unfinishedData, to: places.data)
    }

    /// Replaces the configuration files. Port, directories and the like are added here.
    package func configure(_ configuration: PostgresConfiguration) throws {
        try Directory.create(places.configuration, owner: account?.owner)
        try write(configuration, to: places.configuration)
    }

    private func write(_ configuration: PostgresConfiguration, to directory: FilePath) throws {
        var complete = configuration
        complete.settings = ownSettings + configuration.settings
        try complete.write(to: directory, for: name, owner: account?.owner)
    }

    private var ownSettings: [Setting] {
        var settings = [
            Setting("listen_addresses", "127.0.0.1"), Setting("port", String(port)),
            Setting("unix_socket_directories", socketSetting),
        ]
        if places.configurationIsOutside {
            settings.append(Setting("data_directory", places.data.string))
            settings.append(Setting("hba_file", places.configuration.appending("pg_hba.conf").string))
            settings.append(Setting("ident_file", places.configuration.appending("pg_ident.conf").string))
        }
        return settings
    }

    /// Empty (TCP only) where the socket's path would exceed the 107 bytes of sockaddr_un.
    var socketSetting: String {
        let socket = places.sockets.appending(".s.PGSQL.\(port)").string
        return socket.utf8.count <= 107 && !socket.contains(",") ? places.sockets.string : ""
    }
}
