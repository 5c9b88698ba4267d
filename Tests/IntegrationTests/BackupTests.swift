import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("A backup")
struct BackupTests {
    /// Nothing writes WAL here, so a backup that waited for a segment to fill would wait for ever. It has seconds; the
    /// limit allows for a busy machine.
    static let atOnce = 15.0

    @Test("of an idle server ends at once by its own WAL stream, and leaves no slot behind", arguments: TestMachine.majors)
    func streamsItsOwnWAL(major: Int) throws {
        try TestSite.with(major) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            try node.createMarkers(3)
            let outcome = try pgark.run("backup", "--json")
            #expect(outcome.status == .exited(0), "\(outcome.text)")
            #expect(outcome.seconds < Self.atOnce)
            #expect(outcome.errors.contains("WAL stream: from"))
            #expect(try node.slots() == [])

            let restored = try pgark.restore()
            try restored.recover()
            #expect(try restored.markers() == 3)
        }
    }

    @Test("of an idle server ends at once by the WAL of a receiver that runs", arguments: TestMachine.majors)
    func waitsForReceiver(major: Int) throws {
        try TestSite.with(major) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            try node.createMarkers(3)
            let receiver = try pgark.receive()
            let outcome = try pgark.run("backup", "--json")
            #expect(outcome.status == .exited(0), "\(outcome.text)")
            #expect(outcome.seconds < Self.atOnce)
            #expect(!outcome.errors.contains("WAL stream: from"))
            #expect(try node.slots() == ["pgark"])
            #expect(receiver.status == nil)
        }
    }

    @Test("of an idle standby ends at once and restores, with its own WAL stream", arguments: TestMachine.majors)
    func backsUpStandby(major: Int) throws {
        try backUpStandby(major, receiverOnPrimary: false)
    }

    @Test("of an idle standby ends at once and restores, with a receiver on the primary", arguments: TestMachine.majors)
    func backsUpStandbyWithReceiver(major: Int) throws {
        try backUpStandby(major, receiverOnPrimary: true)
    }

    private func backUpStandby(_ major: Int, receiverOnPrimary: Bool) throws {
        try TestSite.with(major) { site in
            let primary = try site.primary()
            let standby = try site.standby(of: primary)
            let pgark = try site.pgark(primary, standby)
            if receiverOnPrimary { try pgark.receive(node: "node1") }
            try primary.createMarkers(3)
            try eventually("the standby has it") { (try? standby.markers()) == 3 }

            let outcome = try pgark.run("backup", "--node", "node2", "--json")
            #expect(outcome.status == .exited(0), "\(outcome.text)")
            #expect(outcome.seconds < Self.atOnce)
            let backup = try outcome.json
            #expect(backup.node.string == "node2")
            #expect(backup.from_standby.bool == true)
            #expect(try standby.slots() == [])
            // What a standby has says nothing of what its primary had by then.
            if !receiverOnPrimary { #expect(try pgark("wal", "status").durable_time.string == nil) }

            let restored = try pgark.restore(to: "restored", ["--target-immediate"])
            try restored.recover()
            #expect(try restored.markers() == 3)
            #expect(try Directory.names(in: restored.data)?.contains("standby.signal") == false)
        }
    }

    @Test(
        "and its WAL come back whatever the size of a segment",
        arguments: zip(TestMachine.majors + [TestMachine.newest], [1, 64, 1, 64]))
    func handlesSegmentSizes(major: Int, megabytes: Int) throws {
        try TestSite.with(major) { site in
            let node = try site.primary(
                settings: ["min_wal_size": "\(5 * megabytes)MB"], initdb: ["--wal-segsize=\(megabytes)"])
            let pgark = try site.pgark(node)
            let receiver = try pgark.receive()
            try pgark("backup")
            try node.createMarkers(20_000)
            try pgark("wal", "switch")
            try node.sql("INSERT INTO public.marker VALUES (0)")
            let end = try node.lsn()
            try node.stop()
            try receiver.stop()

            let status = try pgark("wal", "status")
            #expect(status.gaps.array.isEmpty)
            #expect(try #require(status.received_lsn.string.flatMap { LSN($0) }) >= end)
            let restored = try pgark.restore()
            try restored.recover()
            #expect(try restored.markers() == 20_001)
            #expect(try restored.value("SHOW wal_segment_size") == "\(megabytes)MB")
        }
    }

    @Test("taken under concurrent writes comes back as the same dump of 200000 rows", arguments: TestMachine.majors)
    func survivesConcurrentWrites(major: Int) throws {
        try TestSite.with(major) { site in
            let node = try site.primary(settings: ["shared_buffers": "64MB"])
            let pgark = try site.pgark(node)
            let receiver = try pgark.receive()
            try node.instance.run("pgbench", ["--initialize", "--scale=2", "--quiet", "\(node.conninfo())"])
            let load = try site.start(
                node.instance.command("pgbench", ["--client=2", "--time=120", "--rate=400", "\(node.conninfo())"]),
                log: "pgbench.log")
            try eventually("pgbench writes") { try node.value("SELECT count(*) FROM public.pgbench_history") != "0" }
            let backup = try pgark("backup")
            #expect(load.status == nil, "the load ended before the backup did: \(load.output)")
            #expect(backup.bad_pages.array.isEmpty)
            try load.stop()

            try eventually("the last transaction ends") {
                try node.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'") == "0"
            }
            try node.sql("SELECT pg_create_restore_point('quiet')")
            let dump = try node.dumpDigest()
            try node.sql("TRUNCATE public.pgbench_accounts")
            try node.stop()
            try receiver.stop()

            let restored = try pgark.restore(to: "restored", ["--target-name", "quiet"])
            try restored.recover()
            #expect(try restored.value("SELECT count(*) FROM public.pgbench_accounts") == "200000")
            #expect(try restored.dumpDigest() == dump)
        }
    }

    @Test("names every damaged page, keeps the backup and says that it is damaged", arguments: TestMachine.majors)
    func reportsDamagedPages(major: Int) throws {
        try TestSite.with(major) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            try node.createMarkers(5_000)
            let file = try node.value("SELECT pg_relation_filepath('public.marker')")
            try node.stop()
            for block in [2, 7] { try damage(node.data.pushing(FilePath(file)), at: block * 8192 + 6000) }
            try node.start()

            let backup = try pgark("backup")
            #expect(backup.status.string == "damaged")
            #expect(backup.bad_pages.array.map(\.path.string) == [file, file])
            #expect(backup.bad_pages.array.map(\.block.int) == [2, 7])
            #expect(try pgark("list").backups[0].status.string == "damaged")
            // It was stored as the server sent it, so nothing is wrong with the repository.
            #expect(try pgark("verify", "--deep").problems.array.isEmpty)
            _ = try pgark.restore()
        }
    }

    private func damage(_ file: FilePath, at offset: Int) throws {
        let file = try File(file, .update)
        let inverted = try file.bytes(at: offset, count: 16).map { ~$0 }
        try inverted.withUnsafeBytes { try file.write($0, at: offset) }
    }

    @Test("saves the configuration outside the data directory, and a restore puts it back", arguments: TestMachine.majors)
    func savesConfiguration(major: Int) throws {
        try TestSite.with(major) { site in
            let node = try site.primary(settings: ["work_mem": "5MB"], configurationOutside: true)
            let etc = node.instance.places.configuration
            try site.include("work_mem = '7MB'", from: etc)
            try node.stop()
            try node.start()
            let pgark = try site.pgark(node)
            let backup = try pgark("backup")
            let saved = Set(backup.configuration.array.compactMap(\.path.string))
            #expect(
                saved == Set(["postgresql.conf", "pg_hba.conf", "pg_ident.conf", "conf.d/memory.conf"].map { "\(etc)/\($0)" }))
            #expect(backup.configuration_missing.array.isEmpty)

            let outcome = try pgark("restore", "--to", "\(site.directory)/restored", "--yes")
            #expect(outcome.configuration.array.count == 4)
            let restored = try site.restored(in: site.directory.appending("restored"))
            let text = try SmallFile.readText(restored.data.appending("postgresql.conf")) ?? ""
            #expect(text.contains("# data_directory = ") && text.contains("taken out by pgark restore"))
            try restored.recover()
            #expect(try restored.value("SHOW work_mem") == "7MB")
            for setting in ["config_file", "hba_file", "ident_file", "data_directory"] {
                #expect(try restored.value("SHOW \(setting)").hasPrefix(restored.data.string))
            }
        }
    }

    @Test("saves the configuration that the server reads, and not another that lies unused in its data directory")
    func savesConfigurationInUse() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary(settings: ["work_mem": "7MB"], configurationOutside: true)
            try SmallFile.write("work_mem = '5MB'\n", to: node.data.appending("postgresql.conf"), owner: site.owner)
            let pgark = try site.pgark(node)
            try pgark("backup")
            let restored = try pgark.restore()
            #expect(try SmallFile.readText(restored.data.appending("postgresql.conf.unused")) == "work_mem = '5MB'\n")
            try restored.recover()
            #expect(try restored.value("SHOW work_mem") == "7MB")
        }
    }
}

extension TestSite {
    /// Adds a directory of further settings to a server's configuration.
    fileprivate func include(_ line: String, from directory: FilePath) throws {
        let main = directory.appending("postgresql.conf")
        try SmallFile.write((SmallFile.readText(main) ?? "") + "include_dir = 'conf.d'\n", to: main, owner: owner)
        try Directory.create(directory.appending("conf.d"), owner: owner)
        try SmallFile.write(line + "\n", to: directory.pushing("conf.d/memory.conf"), owner: owner)
    }
}
