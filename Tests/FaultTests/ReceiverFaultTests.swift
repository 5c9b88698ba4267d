import Glibc
import Hosts
import Lab
import Postgres
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// The receiver's disk fails under it. Nothing that was acknowledged is lost, nothing is skipped, and it says what is wrong.
@Suite("The receiver, when its disk")
struct ReceiverFaultTests {
    @Test(
        "is full where segments arrive or where they are archived: it stays, says so, and goes on without a gap",
        arguments: ["/incoming/", "/wal/"])
    func full(part: String) throws {
        try with { node, pgark, watched, cut in
            let receiver = try watched.receive()
            let writer = Writer(node)
            try writer.waitUntilAcknowledged(20)
            try cut.fault(.write, ENOSPC, on: part)
            try node.writeWAL(megabytes: 3)
            try receiver.waitUntil(prints: "No space left on device")
            try eventually("it tries again") { receiver.output.split(separator: "No space left").count > 3 }
            #expect(receiver.status == nil)
            try cut.heal()
            let reached = writer.acknowledged
            try writer.waitUntilAcknowledged(reached + 20)
            try expectNothingLost(writer, receiver, node, pgark, cut)
        }
    }

    @Test(
        "fails a sync: what was to be durable is received anew, and survives a power cut right after",
        arguments: ["/incoming/", "/wal/"])
    func failsSync(part: String) throws {
        try with { node, pgark, watched, cut in
            var receiver = try watched.receive()
            let writer = Writer(node)
            try writer.waitUntilAcknowledged(20)
            try cut.fault(.sync, EIO, once: true, on: part)
            try node.writeWAL(megabytes: 3)
            try eventually("the fault happens") { try cut.hasHappened }
            try receiver.waitUntil(prints: "Input/output error")
            // Whether it ends or goes on by itself: it never believes that file again.
            if (try? eventually("it ends", seconds: 2) { receiver.status }) != nil {
                #expect(receiver.status == .exited(1), "\(receiver.output)")
                receiver = try watched.receive(log: "again.log")
            }
            let reached = writer.acknowledged
            try writer.waitUntilAcknowledged(reached + 20)
            try expectNothingLost(writer, receiver, node, pgark, cut)
        }
    }

    @Test("becomes read-only: it says so, and nothing is lost")
    func readOnly() throws {
        try with { node, pgark, watched, cut in
            var receiver = try watched.receive()
            let writer = Writer(node)
            try writer.waitUntilAcknowledged(20)
            try cut.fault(.write, EROFS, on: "/")
            try receiver.waitUntil(prints: "Read-only file system")
            if let status = try? eventually("it ends", seconds: 2, { receiver.status }) {
                #expect([.exited(1), .exited(8)].contains(status), "\(receiver.output)")
                try cut.heal()
                receiver = try watched.receive(log: "again.log")
            }
            try cut.heal()
            let reached = writer.acknowledged
            try writer.waitUntilAcknowledged(reached + 20)
            try expectNothingLost(writer, receiver, node, pgark, cut)
        }
    }

    /// A primary that waits for pgark, a backup of it, pgark without and with the power cut's library, and the cut.
    private func with(_ body: (TestServer, Pgark, Pgark, PowerCut) throws -> Void) throws {
        try TestSite.with(18) { site in
            let node = try site.primary(settings: ["dynamic_shared_memory_type": "mmap"], initdb: ["--wal-segsize=1"])
            let pgark = try site.pgark(node)
            let root = pgark.repository.removingLastComponent()
            try Directory.create(root, owner: site.owner)
            let cut = try PowerCut(of: root, store: site.directory.appending("power-cut"), owner: site.owner)
            var watched = pgark
            watched.environment = cut.environment()
            let receiver = try watched.receive(log: "first.log")
            try Writer.prepare(node)
            try watched("backup")
            try receiver.stop()
            try node.waitForRepository()
            try body(node, pgark, watched, cut)
        }
    }

    /// Both hosts are lost in one moment: all that a client was told is in the repository still.
    private func expectNothingLost(
        _ writer: Writer, _ receiver: BackgroundProcess, _ node: TestServer, _ pgark: Pgark, _ cut: PowerCut,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        var generator = Seed(value: 1).generator
        receiver.kill()
        try cut.strike(.everything, using: &generator)
        try node.vanish()
        let acknowledged = try writer.stop()
        try pgark.expectWhole("after the fault", sourceLocation: sourceLocation)
        let restored = try pgark.restore()
        try restored.recover()
        let rows = try NumberedRows(restored)
        #expect(
            rows.hasNoHole && rows.last >= acknowledged && rows.last <= writer.attempted,
            "\(rows), acknowledged \(acknowledged)", sourceLocation: sourceLocation)
    }
}
