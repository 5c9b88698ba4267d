import FoundationEssentials
import Hosts
import Lab
import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// What a person is told of a whole cluster: nothing while all is well, and each fault with its remedy.
@Suite("Of a cluster with a cascade and a delay", .serialized)
struct StatusTests {
    private static func text(_ hosts: TestHosts) -> String {
        """
        cluster: lab
        postgres: { version: \(hosts.programs.version.major), bin: \(hosts.programs.directory), parameters: { shared_buffers: 32MB } }
        nodes:
          node1: { host: 192.168.20.228, data: /var/lib/postgresql/data }
          node2: { host: 192.168.20.229, data: /var/lib/postgresql/data }
          node3: { host: 192.168.20.231, data: /var/lib/postgresql/data, upstream: node2, delay: 1h }
        replication: { slots: { keep: 1GB } }
        repository: { host: 192.168.20.230, path: /var/lib/pgark }
        """
    }

    /// As applied, with a backup.
    private static func with(_ body: (TestHosts) throws -> Void) throws {
        try TestHosts.with(["node1", "node2", "repo", "node3"], major: TestMachine.newest) { hosts in
            try hosts.write(text(hosts))
            try hosts.json(0, "apply", "--yes")
            try #expect(remarks(hosts) == ["failed redundancy -"], "before the first backup")
            try hosts.json(0, "backup")
            try body(hosts)
        }
    }

    /// Each check that is not OK, without the room that this machine has.
    private static func remarks(_ hosts: TestHosts, with fact: String? = nil) throws -> [String] {
        let checks = try JSON(parsing: hosts.command(["check", "--json"]).outcome().output).checks.array
        return checks.filter { $0.result.string != "ok" && $0.name.string != "free-space" }.filter { check in
            fact.map { "\(check.message.string ?? "") / \(check.hint.string ?? "")".contains($0) } ?? true
        }.map { "\($0.result.string ?? "") \($0.name.string ?? "") \($0.node.string ?? "-")" }
    }

    private static func sql(_ hosts: TestHosts, _ node: String, _ statement: String) throws -> String {
        try hosts[node].sql(statement, hosts.programs, sockets: "/var/lib/postgresql")
    }

    private static func control(_ hosts: TestHosts, _ node: String, _ words: String...) throws {
        let program = hosts.programs.path(of: "pg_ctl").string
        try hosts[node].command(
            ["/usr/bin/setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--", program, "-s", "-D"]
                + ["/var/lib/postgresql/data"] + words
        ).run()
    }

    @Test("that is well there is no warning, a delay is as declared, and slots for later are no fault")
    func well() throws {
        try Self.with { hosts in
            _ = try Self.sql(hosts, "node1", "CREATE TABLE public.orders AS SELECT generate_series(1, 1000) n")
            let end = try Self.sql(hosts, "node1", "SELECT pg_current_wal_lsn()")
            try eventually("node3 has it, and has not replayed it") {
                try Self.sql(
                    hosts, "node3", "SELECT pg_last_wal_receive_lsn() >= '\(end)' AND pg_last_wal_replay_lsn() < '\(end)'")
                    == "t"
            }
            try #expect(Self.remarks(hosts) == [])
            let checked = try hosts.pgark("check", "standby-delay", "standby-lag", "standby-slot", "slot-budget")
            #expect(checked.status == .exited(0) && checked.output.contains("60 min, as declared"), "\(checked.text)")

            let status = try hosts.json(0, "status")
            let warnings = status.warnings.array.compactMap(\.string).filter { !$0.hasPrefix("free-space") }
            #expect(warnings == [])
            let nodes = status.nodes.array
            #expect(nodes.map(\.role.string) == ["primary", "standby", "standby"])
            #expect(nodes.map(\.upstream.string) == [nil, "node1", "node2"])
            #expect(nodes.map(\.slot.string) == [nil, "node2", "node3"])
            #expect(nodes.map(\.sync.string) == [nil, "async", "async"])
            #expect(nodes.allSatisfy { $0.timeline.int == 1 && $0.received_lsn.string != nil })
            #expect(nodes.map(\.delay_seconds.double) == [nil, nil, 3600])
            #expect((nodes[2].lag_bytes.int ?? 0) > 0 && (nodes[2].lag_seconds.double ?? 3600) < 3600)
            #expect(status.repository.upstream.string == "node1" && status.repository.receiving.bool == true)
            #expect(status.repository.last_backup.id.string != nil)

            let slots = try hosts.json(0, "slots").slots.array.map {
                "\($0.node.string!) \($0.slot.string!) \($0.owner.string!) \($0.state.string!) \($0.managed.bool!)"
            }
            #expect(
                slots == [
                    "node1 node2 node2 active true", "node1 node3 node3 spare true", "node1 pgark the repository active true",
                    "node2 node1 node1 spare true", "node2 node3 node3 active true", "node2 pgark the repository spare true",
                    "node3 node1 node1 spare true", "node3 node2 node2 spare true", "node3 pgark the repository spare true",
                ])

            // From another host, as nobody in particular; and on a terminal, which is drawn over until Ctrl-C.
            let table = try hosts.pgark("status")
            #expect(table.output.contains("(delayed 60 min 0 s)") && !table.output.contains("holds back"), "\(table.text)")
            try Self.expectWatch(hosts, finds: "streaming")
            try hosts["node2"].run("ip link set eth0 down")
            try Self.expectWatch(hosts, finds: "unreachable")
        }
    }

    /// Some seconds of `status --watch` on a terminal, which is also one on the repository's host.
    private static func expectWatch(_ hosts: TestHosts, finds word: String) throws {
        let pgark = try TestMachine.pgark()
        let script = "(sleep 7; printf '\\003'; sleep 2) | script --quiet --return --command '\(pgark) status --watch' /dev/null"
        var command = hosts.control.command(["/bin/sh", "-c", script])
        command.environment["PGARK_CONFIG"] = hosts.configuration.string
        command.environment["TERM"] = "xterm"
        let outcome = try command.outcome()
        #expect(outcome.status == .exited(0) && outcome.seconds < 15, "\(outcome)")
        let frames = outcome.output.components(separatedBy: "\u{1B}[H").dropFirst(2)
        #expect(frames.count >= 2, "\(outcome.output)")
        #expect(frames.allSatisfy { $0.contains("lab") && $0.contains("node3") && $0.contains(word) }, "\(outcome.output)")
        #expect(!outcome.output.dropFirst(100).contains("\u{1B}[2J"), "nothing is cleared once something is drawn")
        #expect(outcome.output.contains("\u{1B}[?25h"), "the cursor is back")
    }

    @Test("that is broken each fault is said with its remedy, which works")
    func broken() throws {
        try Self.with { hosts in
            func sql(_ node: String, _ statement: String) throws -> String { try Self.sql(hosts, node, statement) }
            _ = try sql("node3", "ALTER SYSTEM SET recovery_min_apply_delay = 0")
            _ = try sql("node3", "SELECT pg_reload_conf()")
            try eventually("the delay is missed") {
                try Self.remarks(hosts, with: "is not delayed; the cluster file says by 60 min") == [
                    "warning standby-delay node3"
                ]
            }
            try hosts.json(0, "apply", "--yes")
            try #expect(Self.remarks(hosts) == [])

            try eventually("the slot is dropped") {
                (try? sql(
                    "node1",
                    """
                    SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'node2';
                    SELECT pg_drop_replication_slot('node2')
                    """)) != nil
            }
            try eventually("it is missed") {
                try Self.remarks(hosts, with: "its slot node2 is not there on node1 / pgark apply") == ["failed streaming node2"]
            }
            try hosts.json(0, "apply", "--yes")
            try #expect(Self.remarks(hosts) == [])

            try Self.control(hosts, "node2", "stop", "-m", "fast")
            try #expect(Self.remarks(hosts, with: "no server runs there").contains("failed connection node2"))
            #expect(try hosts.json(0, "status").nodes.array[1].role.string == "unreachable")
            #expect(try hosts.json(0, "slots").slots.array.first { $0.slot.string == "node2" }?.state.string == "waiting")
            try hosts.json(0, "apply", "--yes")
            try #expect(Self.remarks(hosts, with: "node2") == [])

            try Self.control(hosts, "node2", "promote")
            try #expect(
                Self.remarks(hosts, with: "node1 (timeline 1) and node2 (timeline 2) both accept writes") == ["failed primary -"])
            _ = try sql("node2", "CREATE TABLE public.orders AS SELECT 1 n")
            try hosts.json(0, "rejoin", "node1", "--yes")
            try eventually("the receiver follows, through the slot that was there for it") {
                let slots = try hosts.json(0, "slots").slots.array
                return slots.first { $0.node.string == "node2" && $0.slot.string == "pgark" }?.state.string == "active"
            }
            try eventually("there is one primary, and one timeline") {
                try Self.remarks(hosts).filter { !$0.hasSuffix(" node3") } == []
            }
            let events = try hosts.json(0, "history").events.array
            let timeline = try #require(events.first { $0.kind.string == "timeline" }, "\(events)")
            #expect(timeline.timeline.int == 2 && timeline.time.string != nil && timeline.at_lsn.string != nil, "\(timeline)")
            #expect(timeline.detail.string?.hasPrefix("promoted, from timeline 1") == true, "\(timeline)")
            #expect(
                events.map { $0.kind.string ?? "" }.filter { $0 != "timeline" } == [
                    "apply", "system", "apply", "apply", "apply", "rejoin",
                ])
            #expect(events.last?.node.string == "node1" && events.last?.result.string == "done")
        }
    }

    @Test("a restore of a node is in its history, with the time for which nobody could write")
    func restored() throws {
        try TestHosts.with(["node1", "repo"], major: TestMachine.newest) { hosts in
            try hosts.write(
                Self.text(hosts).split(separator: "\n").filter { !$0.contains("node2") && !$0.contains("node3") }.joined(
                    separator: "\n"
                )
                .replacing("192.168.20.230", with: "192.168.20.229"))
            try hosts.json(0, "apply", "--yes")
            try hosts.json(0, "backup")
            _ = try Self.sql(hosts, "node1", "CREATE TABLE public.orders AS SELECT generate_series(1, 1000) n")
            let end = try Self.sql(hosts, "node1", "SELECT pg_current_wal_lsn()")
            try eventually("the repository has it") {
                try hosts.json(0, "wal", "status").durable_lsn.string.flatMap { LSN($0) }.map { $0 >= LSN(end)! } ?? false
            }
            try hosts.json(0, "restore", "--node", "node1", "--target-immediate", "--yes")
            _ = try Self.sql(hosts, "node1", "CREATE TABLE public.others AS SELECT 1 n")
            let history = try eventually("the new timeline is stored") { () -> JSON? in
                let history = try hosts.json(0, "history")
                let isThere = history.events.array.contains { $0.kind.string == "timeline" && $0.time.string != nil }
                return isThere ? history : nil
            }
            let restore = try #require(history.events.array.first { $0.kind.string == "restore" })
            #expect(restore.result.string == "done" && restore.node.string == "node1" && restore.outage_from.string == "journal")
            #expect((restore.outage_seconds.double ?? 0) > 0.1 && restore.outage_seconds.double! < 60, "\(restore)")
            let timeline = try #require(history.events.array.first { $0.kind.string == "timeline" })
            #expect(timeline.timeline.int == 2 && timeline.node.string == "node1", "\(timeline)")
            #expect(timeline.detail.string?.contains("recovered (") == true, "\(timeline)")
            #expect(timeline.detail.string?.contains("timeline 1 went on to 0/") == true, "\(timeline)")
            #expect(restore.timeline.int == 2 && restore.at_lsn.string == timeline.at_lsn.string)
            try hosts["repo"].command(["pkill", "-x", "sshd"]).run()
            let alone = try hosts.pgark("history")
            #expect(alone.status == .exited(8) && alone.output.contains("restore"), "\(alone.text)")
        }
    }
}
