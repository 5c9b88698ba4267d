import Glibc
import Hosts
import Lab
import Postgres
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// A backup whose server goes away has failed, says so, and leaves the repository as it was.
@Suite("A backup whose server is lost")
struct LostServerTests {
    enum Loss: CaseIterable {
        case crash, immediateStop, terminatedWalSender

        func happen(to node: TestServer) throws {
            switch self {
            case .crash: try node.crash()
            case .immediateStop: try node.stop(.immediate)
            case .terminatedWalSender:
                try node.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE application_name = 'pgark backup'")
            }
        }
    }

    @Test("half-way", arguments: Loss.allCases)
    func lost(loss: Loss) throws {
        try TestSite.with(18) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            // Holds what is between two backups, each of which streams its own WAL.
            try node.sql("SELECT pg_create_physical_replication_slot('pgark', true)")
            try pgark("backup")
            try node.fill("large", megabytes: 100)
            let before = try pgark.contents()
            let process = try pgark.start("backup", "--json")
            try process.stopInTheMiddle(of: node)
            try loss.happen(to: node)
            process.send(SIGCONT)
            let status = try process.wait(seconds: 30)
            // What it said on stderr stands before the one document.
            let text = process.output
            let begin = try #require(text.ranges(of: "\n{").last?.lowerBound, "\(text)")
            let code = try JSON(parsing: String(text[begin...])).error.code.string ?? ""
            #expect(
                (status == .exited(8) && code == "server-unreachable") || (status == .exited(1) && code == "server-error"),
                "\(status)\n\(process.output)")
            #expect(try pgark.contents() == before)
            try pgark.expectWhole("\(loss)")

            try node.start()
            try pgark("backup")
            try pgark.expectNoGarbage()
        }
    }
}

extension BackgroundProcess {
    /// Stops a backup (SIGSTOP) while the server sends it files: what it does not take, the server cannot send.
    func stopInTheMiddle(of node: TestServer) throws {
        let phase = """
            SELECT count(*) FROM pg_stat_progress_basebackup
            WHERE phase = 'streaming database files' AND backup_streamed BETWEEN 1 AND 60000000
            """
        let session = try node.connect()
        try eventually("the server sends files\n\(output)") {
            if let status { throw TestFailure("the backup ended before it was looked at: \(status)\n\(output)") }
            guard try session.query(phase).first?[0] == "1" else { return false }
            send(SIGSTOP)
            return true
        }
    }
}
