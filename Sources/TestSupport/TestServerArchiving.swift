/// A server with archive_mode on.
extension TestServer {
    package func archive(with pgark: Pgark) throws {
        try archive(command: "\(TestMachine.pgark()) wal put --config \(pgark.configuration) \"%p\"")
    }

    package func archive(command: String) throws {
        try sql("ALTER SYSTEM SET archive_command = '\(command)'")
        try sql("SELECT pg_reload_conf()")
        try eventually("the archive command is set") { try value("SHOW archive_command") == command }
    }

    /// Ends so many segments, each with some WAL in it.
    package func fillWAL(segments: Int) throws {
        for _ in 0..<segments {
            try sql("SELECT pg_logical_emit_message(false, 'test', repeat(md5(random()::text), 5000))")
            try sql("SELECT pg_switch_wal()")
        }
    }

    /// Ends the segment that is being written, and returns its name when it is archived.
    @discardableResult
    package func waitUntilArchived() throws -> String {
        try sql("SELECT pg_logical_emit_message(false, 'test', 'end')")
        let name = try value("SELECT pg_walfile_name(pg_switch_wal())")
        do {
            try eventually("\(name) is archived", seconds: 60) {
                try value("SELECT coalesce(last_archived_wal, '') >= '\(name)' FROM pg_stat_archiver") == "t"
            }
        } catch { throw TestFailure("\(error)\n\(log)") }
        return name
    }
}
