import Glibc
import Hosts
import Lab
import Postgres
import PostgresModel
import Storage
import SystemPackage
import TestSupport

extension TestServer {
    /// A table of random text: it compresses by a quarter, as most data do not at all or much better. The server makes it,
    /// so it costs no more than writing it.
    func fill(_ table: String, megabytes: Int) throws {
        let lines = megabytes * (1 << 20) / 1501  // five rows of 1500 characters fill a page almost
        let program = "head --bytes=\(lines * 1125) /dev/urandom | base64 --wrap=1500"
        let connection = try connect()
        try connection.query("BEGIN")
        try connection.query("CREATE TABLE \(table) (filler text)")
        try connection.query("COPY \(table) FROM PROGRAM '\(program)'", timeoutSeconds: 120)
        try connection.query("COMMIT")
        try connection.query("CHECKPOINT")
    }

    /// The server's processes, its first one in front.
    var processes: [ProcessIdentity] {
        guard let first = instance.process else { return [] }
        return [first] + ProcessList.children(of: first.pid).compactMap { ProcessIdentity(pid: $0) }
    }

    /// The machine loses its power: all processes end at once, without a word.
    func crash() throws {
        let processes = processes
        let memory = try sharedMemory()
        for process in processes { kill(process.pid, SIGKILL) }
        try eventually("all processes of \(name) are gone") { processes.allSatisfy { !$0.isRunning } }
        // Where nobody has collected the dead process yet, its number stays taken for a server that is to start again.
        let locks = [data.appending("postmaster.pid"), instance.places.sockets.appending(".s.PGSQL.\(port).lock")]
        for lock in locks { try Directory.remove(lock) }
        // Nothing of its memory survives a machine; a killed server's is cleared here in its stead.
        if let memory { _ = try? Command("/usr/bin/ipcrm", ["--shmem-id", memory]).run() }
    }

    /// The machine burns down: as a crash, and the data directory is gone too.
    func vanish() throws {
        try crash()
        try Command("/bin/rm", ["--recursive", "--force", data.string]).run()
    }

    /// From now on a commit waits until pgark has it.
    func waitForRepository() throws {
        try sql("ALTER SYSTEM SET synchronous_standby_names = 'pgark'")
        try sql("SELECT pg_reload_conf()")
        try eventually("commits wait") { try value("SHOW synchronous_standby_names") == "pgark" }
    }

    /// WAL that changes no data, and that nobody waits for.
    func writeWAL(megabytes: Int) throws {
        try sql("SELECT pg_logical_emit_message(false, 'test', repeat('x', 1 << 20)) FROM generate_series(1, \(megabytes))")
    }

    /// Two thirds of a new server's files are those of databases that nobody needs.
    func dropTemplates() throws {
        try sql("UPDATE pg_database SET datistemplate = false")
        for name in ["template0", "template1"] { try sql("DROP DATABASE \(name)") }
    }

    /// The segment that a killed server cannot give back (postmaster.pid, line 7: key and id).
    private func sharedMemory() throws -> String? {
        let lines = try SmallFile.readText(data.appending("postmaster.pid"))?.split(
            separator: "\n", omittingEmptySubsequences: false)
        guard let lines, lines.count > 6 else { return nil }
        return lines[6].split(separator: " ").last.map(String.init)
    }

    /// What the receiver named "pgark" reported as flushed, as the server heard it; nil while it is not connected.
    func reportedFlush() throws -> LSN? {
        try sql("SELECT flush_lsn FROM pg_stat_replication WHERE application_name = 'pgark'").first?[0].flatMap { LSN($0) }
    }
}

/// Parents and children, from /proc.
enum ProcessList {
    /// None where the process is gone.
    static func children(of pid: Int32) -> [Int32] {
        guard let file = fopen("/proc/\(pid)/task/\(pid)/children", "r") else { return [] }
        defer { fclose(file) }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        let count = fread(&buffer, 1, buffer.count, file)
        return String(decoding: buffer[..<count], as: UTF8.self).split(whereSeparator: \.isWhitespace).compactMap { Int32($0) }
    }
}
