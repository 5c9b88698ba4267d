import Glibc
import Hosts
import Lab
import Postgres
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// The receiver's connection breaks, or says nothing for a while.
@Suite("The receiver's connection")
struct ConnectionTests {
    @Test("may stall, and may be cut in the middle: it goes on where it was, and no acknowledged row is lost")
    func cut() throws {
        try TestSite.with(18) { site in
            let node = try site.primary(settings: ["dynamic_shared_memory_type": "mmap"], initdb: ["--wal-segsize=1"])
            let port = try LoopbackPort.free(1, from: 31_000)[0]
            let pgark = try site.pgark(node).through(port)
            var proxy = try Self.proxy(site, from: port, to: node.port)
            let receiver = try pgark.receive()
            try Writer.prepare(node)
            try pgark("backup")
            try node.waitForRepository()
            let writer = Writer(node)
            for round in 1...3 {
                try writer.waitUntilAcknowledged(writer.acknowledged + 20)
                proxy.send(SIGSTOP)
                // Nobody hears anything now, so no commit is confirmed but those that were confirmed already.
                pause(0.2)
                let stalled = writer.acknowledged
                pause(0.3)
                #expect(writer.acknowledged == stalled, "round \(round)")
                if round.isMultiple(of: 2) {
                    proxy.send(SIGCONT)
                } else {
                    proxy.kill()
                    proxy = try Self.proxy(site, from: port, to: node.port)
                }
                try writer.waitUntilAcknowledged(stalled + 20)
            }
            #expect(receiver.status == nil)
            try pgark.expectWhole(held: [.receive], "after the cuts")
            receiver.kill()
            try node.vanish()
            let acknowledged = try writer.stop()
            let restored = try pgark.restore()
            try restored.recover()
            let rows = try NumberedRows(restored)
            #expect(rows.hasNoHole && rows.last >= acknowledged, "\(rows), acknowledged \(acknowledged)")
        }
    }

    private static let program = """
        import socket, sys, threading
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", int(sys.argv[1])))
        listener.listen()
        print("listening", flush=True)
        def pump(source, target):
            try:
                while data := source.recv(65536):
                    target.sendall(data)
            except OSError:
                pass  # the other side closed both
            source.close()
            target.close()
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
            for pair in ((client, server), (server, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()
        """

    /// Passes on what is said on one port to another, until it is killed.
    private static func proxy(_ site: TestSite, from port: Int, to target: Int) throws -> BackgroundProcess {
        let command = Command("/usr/bin/env", ["python3", "-c", program, "\(port)", "\(target)"])
        let process = try site.start(command, log: "proxy.log")
        try process.waitUntil(prints: "listening")
        return process
    }
}

extension Pgark {
    /// The same with another port for its only node.
    fileprivate func through(_ port: Int) throws -> Pgark {
        let text = try SmallFile.readText(configuration) ?? ""
        let replaced = text.replacing(/port=\d+/, with: "port=\(port)")
        #expect(replaced != text)
        try SmallFile.write(replaced, to: configuration, owner: site.owner)
        return self
    }
}
