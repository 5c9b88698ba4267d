import Hosts
import Lab
import Postgres
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

@Suite("The WAL receiver")
struct ReceiverTests {
    @Test("makes its slot and archives segments that equal the server's, byte for byte", arguments: TestMachine.majors)
    func archivesSegments(major: Int) throws {
        try TestSite.with(major) { site in
            let node = try site.primary(settings: ["wal_keep_size": "1GB"])
            let pgark = try site.pgark(node)
            try pgark.receive()
            #expect(try node.slots() == ["pgark"])
            var segments: [String] = []
            for round in 1...3 {
                try node.sql("CREATE TABLE public.t\(round) AS SELECT n, md5(n::text) FROM generate_series(1, 10000) n")
                segments.append(try #require(try pgark("wal", "switch").segment.string))
            }
            #expect(Set(segments).count == 3)
            for segment in segments {
                let archived = pgark.repository.pushing(FilePath("wal/\(segment.prefix(16))/\(segment).zst"))
                _ = try site.shell(
                    "zstd --decompress --stdout \"$1\" | cmp - \"$2\"", "\(archived)", "\(node.data)/pg_wal/\(segment)")
            }
            #expect(try node.value("SELECT active FROM pg_replication_slots WHERE slot_name = 'pgark'") == "t")
            #expect(try pgark("wal", "status").connected.bool == true)
        }
    }

    @Test("lets a fast stop end in seconds and then has the shutdown checkpoint", arguments: TestMachine.majors)
    func hasShutdownCheckpoint(major: Int) throws {
        try TestSite.with(major) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            let receiver = try pgark.receive()
            try node.createMarkers(1_000)
            let begin = Deadline.now
            try node.stop(.fast)
            #expect(Double(Deadline.now - begin) / 1e9 < 5)

            let checkpoint = try #require(LSN(try node.controlData("Latest checkpoint location")))
            try pgark.waitUntilStored(checkpoint + 1)
            try receiver.stop()
            let status = try pgark("wal", "status")
            #expect(try #require(status.durable_lsn.string.flatMap { LSN($0) }) > checkpoint)

            // The record itself, by PostgreSQL's own reader.
            let segment = try #require(WALSegmentSize(bytes: 16 << 20))
            let name = WALSegment(timeline: .first, holding: checkpoint, size: segment).name(size: segment)
            try pgark.get(name, to: "\(site.directory)/\(name)")
            let dump = try node.instance.run("pg_waldump", ["--start=\(checkpoint)", "--limit=1", "\(site.directory)/\(name)"])
            #expect(dump.output.contains("CHECKPOINT_SHUTDOWN"))
        }
    }

    @Test("connects again by itself after the server was restarted, and misses nothing", arguments: TestMachine.majors)
    func reconnects(major: Int) throws {
        try TestSite.with(major) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            let receiver = try pgark.receive()
            try pgark("backup")
            try node.createMarkers(1)
            try node.stop(.immediate)
            try receiver.waitUntil(prints: "trying again in")
            try node.start()
            try node.sql("INSERT INTO public.marker VALUES (2)")
            try pgark.waitUntilStored(try node.lsn())
            #expect(receiver.status == nil)
            #expect(try pgark("wal", "status").gaps.array.isEmpty)
            try node.stop()
            try receiver.stop()

            let restored = try pgark.restore()
            try restored.recover()
            #expect(try restored.markers() == 2)
        }
    }

    @Test("goes on where it ended, over what it had received of an unfinished segment")
    func resumes() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            for round in 1...3 {
                let receiver = try pgark.receive()
                try node.sql("CREATE TABLE public.t\(round) AS SELECT generate_series(1, 1000)")
                try pgark.waitUntilStored(try node.lsn())
                #expect(try receiver.stop() == .exited(0))
            }
            let status = try pgark("wal", "status")
            #expect(status.timelines.array.count == 1 && status.gaps.array.isEmpty)
            #expect(status.connected.bool == false)
        }
    }

    @Test("is alone: a second one is refused and the message says who holds the lock")
    func refusesSecond() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            let receiver = try pgark.receive()
            let error = try pgark.fails(.locked, 7, "wal", "receive")
            #expect(error.message.string?.contains("\(receiver.pid)") == true)
            #expect(receiver.status == nil)
        }
    }

    @Test("refuses another system's server, as a backup does, and stores nothing of it")
    func refusesForeignSystem() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            try pgark("backup")
            let stranger = try site.primary("stranger")
            let other = try site.pgark(stranger)  // same cluster, same repository, another server
            let before = try site.fingerprint(pgark.repository.appending("wal"))
            try other.fails(.foreignSystem, 3, "wal", "receive")
            try other.fails(.foreignSystem, 3, "backup")
            #expect(try site.fingerprint(pgark.repository.appending("wal")) == before)
            #expect(try other("list").backups.array.count == 1)
            #expect(try stranger.slots() == [])
        }
    }

    @Test("delivers to restore_command: 0 with the file, 1 only where absence is proved, above 125 otherwise")
    func deliversSegments() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            let receiver = try pgark.receive()
            let segment = try #require(try pgark("wal", "switch").segment.string)
            try node.createMarkers(1)
            try pgark("wal", "switch")
            try receiver.stop()
            let path = "\(site.directory)/delivered"
            #expect(try pgark.run("wal", "get", segment, path).status == .exited(0))
            #expect(try Directory.status(FilePath(path))?.size == 16 << 20)

            for absent in ["0000000100000000000000F0", "00000009.history"] {
                let outcome = try pgark.run("wal", "get", absent, "\(path)-not", "--json")
                #expect(outcome.status == .exited(1))
                #expect(try outcome.json.error.code.string == "segment-missing")
            }
            let failures = [
                ["wal", "get", "nonsense", path], ["wal", "get", segment], ["wal", "get", segment, "/nowhere/at/all"],
                ["wal", "get", segment, path, "--config", "/nowhere.yaml"], ["wal", "get", segment, path, "--wrong"],
            ]
            for arguments in failures { try pgark.failsAbove125(arguments) }
            // A stored file that is damaged, and a repository that cannot be read, prove nothing either.
            let stored = pgark.repository.pushing(FilePath("wal/\(segment.prefix(16))/\(segment).zst"))
            try SmallFile.write("not zstd", to: stored, owner: site.owner)
            try pgark.failsAbove125(["wal", "get", segment, "\(path)-damaged"])
            #expect(try site.isAbsent(FilePath("\(path)-damaged")))
            try Directory.setPermissions(of: pgark.repository, 0)
            defer { try? Directory.setPermissions(of: pgark.repository, 0o750) }
            try pgark.failsAbove125(["wal", "get", "0000000100000000000000F0", "\(path)-not"])
        }
    }
}

extension Pgark {
    fileprivate func get(_ segment: String, to path: String) throws {
        let outcome = try run("wal", "get", segment, path)
        guard outcome.status == .exited(0) else { throw TestFailure("wal get \(segment): \(outcome.status)\n\(outcome.text)") }
    }

    fileprivate func failsAbove125(_ arguments: [String]) throws {
        let outcome = try run(arguments + ["--json"])
        guard case .exited(let code) = outcome.status, code > 125 else {
            throw TestFailure("\(arguments): \(outcome.status)\n\(outcome.text)")
        }
        #expect(try outcome.json.error.code.string?.isEmpty == false)
    }
}
