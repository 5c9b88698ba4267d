import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("Segments of other sizes")
struct SegmentSizeTests {
    @Test("are received, and the last one of a killed receiver restores all that it reported", arguments: [1, 16, 64, 1024])
    func sizes(megabytes: Int) throws {
        try TestSite.with(18) { site in
            // The server wants room for two of them.
            let settings = [
                "wal_init_zero": "off", "min_wal_size": "\(megabytes * 2)MB", "max_wal_size": "\(max(1024, megabytes * 4))MB",
            ]
            let node = try site.primary(settings: settings, initdb: ["--wal-segsize=\(megabytes)"])
            let pgark = try site.pgark(node)
            let receiver = try pgark.receive()
            try pgark("backup")
            try node.sql("CREATE TABLE public.numbered (n int)")
            for n in 1...50 { try node.sql("INSERT INTO public.numbered VALUES (\(n))") }
            try pgark.waitUntilStored(try node.lsn())
            receiver.kill()
            try node.stop()
            let incoming = pgark.repository.appending("incoming")
            let partial = try #require(try (Directory.names(in: incoming) ?? []).last { $0.hasSuffix(".partial") })
            let size = try #require(try Directory.status(incoming.appending(partial))).size
            let status = try pgark("wal", "status")
            let received = try #require(status.received_lsn.string.flatMap { LSN($0) })
            let start = Int(received.rawValue % UInt64(megabytes << 20))
            // There is room ahead, and it is not taken for WAL.
            #expect(size > start && size <= megabytes << 20, "\(partial): \(size), received \(received)")

            let restored = try pgark.restore(to: "restored")
            try restored.recover()
            #expect(try restored.value("SELECT count(*) FROM public.numbered") == "50")
        }
    }
}
