import Cluster
import Postgres
import PostgresModel
import Storage
import SystemPackage
import Testing

@Suite struct ClusterFileParserTests {
    private static let smallest = """
        cluster: shop
        nodes:
          node1: { host: 10.0.0.11 }
        repository:
          path: /var/lib/pgark
        """

    private func parse(_ text: String) throws -> ClusterFile { try ClusterFile.parse(text: text, path: "/etc/pgark/shop.yaml") }

    /// The remarks about a file, without its path.
    private func problems(_ text: String) -> [String] {
        do {
            _ = try parse(text)
            return []
        } catch let failure as Failure {
            #expect(failure.code == .configuration)
            #expect(failure.details.allSatisfy { $0.hasPrefix("/etc/pgark/shop.yaml:") })
            return failure.details.map { String($0.dropFirst("/etc/pgark/shop.yaml:".count)) }
        } catch {
            return ["not a Failure: \(error)"]
        }
    }

    private func positions(_ problems: [String]) -> [String] { problems.map { String($0.prefix { $0 != " " }) } }

    @Test func theSmallestFileGetsEveryDefault() throws {
        let file = try parse(Self.smallest)
        #expect(file.name == "shop")
        #expect(file.nodes.map(\.name) == ["node1"])
        #expect(file.nodes[0].connection == "host=10.0.0.11 port=5432 user=pgark dbname=postgres")
        #expect(file.repository.path == "/var/lib/pgark")
        #expect(file.repository.slot.description == "pgark")
        #expect(file.repository.compression == .standard)
        #expect(file.backup.maximumAgeSeconds == nil)
        #expect(file.backup.minimumRedundancy == 1)
        #expect(file.replication.slotBudget == nil)
    }

    @Test func everyKeyIsRead() throws {
        let file = try parse(
            """
            cluster: shop
            nodes:
              b: { connection: "host=10.0.0.12 user=x" }
              a: { host: "/run/my dir", port: 5433, user: o'hara }
            repository: { path: data/../repo, compression: "zstd:9", slot: other }
            backup: { maximum_age: 26h, minimum_redundancy: 3 }
            replication: { slots: { keep: 20GB } }
            """)
        #expect(file.nodes.map(\.name) == ["b", "a"])
        #expect(file.nodes[1].connection == #"host='/run/my dir' port=5433 user='o\'hara' dbname=postgres"#)
        #expect(file.repository.path == "/etc/pgark/repo")
        #expect(file.repository.compression == CompressionLevel(9))
        #expect(file.repository.slot.description == "other")
        #expect(file.backup.maximumAgeSeconds == 93_600.0)
        #expect(file.backup.minimumRedundancy == 3)
        #expect(file.replication.slotBudget == ByteCount(20 << 30))
    }

    @Test func everyKeyOfHostsIsRead() throws {
        let file = try parse(
            """
            cluster: shop
            postgres: { version: 18, bin: /pg/bin, packages: apt, parameters: { Work_Mem: 8MB }, hba: [ host all app all scram-sha-256 ] }
            nodes:
              a: { host: 10.0.0.11 }
              b: { host: 10.0.0.12, port: 5433, ssh: admin@b, data: /srv/pg, upstream: a, delay: 1h }
              c: { connection: "host=10.0.0.13" }
              d: { host: /run/postgresql }
            repository: { host: 10.0.0.20, ssh: root@r, user: backup, service: cron, path: /repo }
            """)
        #expect(file.postgres.major == 18 && file.postgres.programs == "/pg/bin" && file.postgres.installs)
        #expect(
            file.postgres.parameters.map(\.name) == ["work_mem"]
                && file.postgres.accessRules == ["host all app all scram-sha-256"])
        let placements = file.nodes.map(\.placement)
        #expect(placements[0] == .init(host: "10.0.0.11", port: 5432, ssh: "10.0.0.11"))
        #expect(
            placements[1]
                == .init(host: "10.0.0.12", port: 5433, ssh: "admin@b", data: "/srv/pg", upstream: "a", delaySeconds: 3600))
        #expect(placements[2] == nil && placements[3] == nil, "these are protected and not set up")
        #expect(file.repository.host == "10.0.0.20" && file.repository.ssh == "root@r" && file.repository.account == "backup")
        #expect(file.repository.service == .cron)
    }

    @Test(arguments: [
        ("postgres: { version: 9 }", "a major version from 15 to 18"), ("postgres: { bin: pg/bin }", "an absolute path"),
        ("postgres: { parameters: { port: 5 } }", "is decided by \"nodes.NODE.port\""),
        ("postgres: { parameters: { primary_conninfo: x } }", "is decided by the nodes"),
        ("postgres: { parameters: { recovery_target_time: x } }", "pgark restore"),
        ("postgres: { parameters: { \"a b\": x } }", "is no name of a setting"), ("postgres: { hba: x }", "must be a list"),
    ])
    func whatServersCannotHaveIsSaid(_ line: String, _ reason: String) {
        let found = problems(Self.smallest + "\n" + line)
        #expect(found.count == 1 && found[0].contains(reason), "\(found)")
    }

    @Test(arguments: [
        ("b: { host: b, upstream: c }", "is \"c\", which is no node"), ("b: { host: b, upstream: b }", "leads back to itself"),
        ("b: { connection: \"host=b\", data: /d }", "is for a node that pgark sets up"),
        ("b: { host: b, data: d }", "an absolute path"),
        ("b: { host: b, delay: soon }", "a span of time"),
        ("b: { host: b, slot: \"B b\" }", "1 to 63 of a-z"), ("b: { host: b, slot: a }", "have the same slot"),
        ("repository: { host: b }", "a node cannot be named \"repository\""),
        ("pgark: { host: b }", "the repository's WAL receiver have the same slot, pgark"),
        ("b: { connection: \"host=b\", slot: b }", "is for a node that pgark sets up"),
    ])
    func whatANodeCannotBeIsSaid(_ line: String, _ reason: String) {
        let found = problems("cluster: a\nnodes:\n  a: { host: a }\n  \(line)\nrepository: { path: /r }")
        #expect(found.count == 1 && found[0].contains(reason), "\(found)")
    }

    @Test func whereAnotherHostHasTheRepositoryItsPathIsWhole() throws {
        func text(_ repository: String) -> String { "cluster: a\nnodes:\n  a: { host: a }\nrepository: { \(repository) }" }
        let found = problems(text("host: r, path: data"))
        #expect(found.count == 1 && found[0].contains("must be an absolute path"), "\(found)")
        #expect(try parse(text("path: data")).repository.isRelative && !parse(text("host: r, path: /r")).repository.isRelative)
    }

    @Test func backupsAreScheduledUnlessSomebodySaysOtherwise() throws {
        let standard = try parse(Self.smallest).backup
        #expect(standard.schedule?.line == "0 1 * * *" && !standard.scheduleIsGiven)
        let given = try parse(Self.smallest + "\nbackup: { schedule: \"@weekly\" }").backup
        #expect(given.schedule?.line == "0 0 * * 0" && given.scheduleIsGiven)
        let none = try parse(Self.smallest + "\nbackup: { schedule: none }").backup
        #expect(none.schedule == nil && none.scheduleIsGiven)
    }

    @Test(arguments: [
        ("\"0 25 * * *\"", "6:21: \"backup.schedule\" must be minute, hour, day", "the hour \"25\" is not a number from 0 to 23"),
        ("daily", "6:21:", "it has 1 field, not"), ("[1, 2]", "6:21:", "must be one value"), ("@daily", "6:21:", "needs quotes"),
        ("* * * * *", "6:22:", "needs quotes"),
    ])
    func whatIsNoScheduleIsSaid(_ value: String, _ position: String, _ reason: String) {
        let found = problems(Self.smallest + "\nbackup: { schedule: \(value) }")
        #expect(found.count == 1 && found[0].hasPrefix(position) && found[0].contains(reason), "\(found)")
    }

    @Test func everyProblemOfAFileIsReportedAtOnceInItsOrder() {
        let found = problems(
            """
            cluster: my shop
            nodse:
              node1: { host: 10.0.0.11 }
            repository:
              compression: gzip
              slot: Big-Slot
            backup:
              maximum_age: soon
              minimum_redundancy: -1
            """)
        #expect(positions(found) == ["1:1:", "1:10:", "2:1:", "5:3:", "5:16:", "6:9:", "8:16:", "9:23:"])
        #expect(found[0].contains("\"nodes\" is missing"))
        #expect(found[2].contains("did you mean \"nodes\"?"))
        #expect(found[3].contains("\"repository.path\" is missing"))
    }

    @Test(arguments: [
        ("repositroy", "repository"), ("Cluster", "cluster"), ("clsuter", "cluster"), ("backups", "backup"),
    ])
    func anUnknownKeyIsMetWithTheOneThatWasProbablyMeant(_ key: String, _ meant: String) {
        let found = problems(Self.smallest + "\n\(key): x")
        #expect(found.count == 1)
        #expect(found[0].hasPrefix("6:1: unknown key \"\(key)\" (did you mean \"\(meant)\"?)"))
    }

    @Test(arguments: ["failover: { mode: manual }", "backup: { drill: weekly }"])
    func aKeyOfALaterVersionIsSaidToBeOne(_ line: String) {
        let found = problems(Self.smallest + "\n" + line)
        #expect(found.count == 1)
        #expect(found[0].contains("is not supported by this version of pgark"))
    }

    @Test(arguments: [
        "host=h password=hunter2", "password = 'hunter2' host=h", "postgresql://me:hunter2@h/db",
        "postgres://h/db?password=hunter2", "host=h sslpassword=hunter2",
    ])
    func aPasswordIsRefusedAndNotRepeated(_ connection: String) {
        let found = problems("cluster: a\nnodes:\n  n: { connection: \"\(connection)\" }\nrepository: { path: /r }")
        #expect(found.count == 1)
        #expect(found[0].hasPrefix("3:20: "))
        #expect(found[0].contains("passfile"))
        #expect(!found[0].contains("hunter2"))
    }

    @Test(arguments: ["host=h passfile=/x/password user=password", "postgresql://me@h/password", "service=password"])
    func aConnectionThatOnlyMentionsThePasswordIsFine(_ connection: String) throws {
        let file = try parse("cluster: a\nnodes:\n  n: { connection: \"\(connection)\" }\nrepository: { path: /r }")
        #expect(file.nodes[0].connection == connection)
    }

    @Test func duplicatesAreFoundAlongsideOtherProblems() {
        let found = problems(
            """
            cluster: shop
            nodes:
              node1: { host: a, host: b }
              node2: { host: c }
              node1: { host: d }
            repository:
              path: /r
              path: /s
            clustre: shop
            """)
        #expect(positions(found) == ["3:21:", "5:3:", "8:3:", "9:1:"])
        #expect(found[0].contains("\"nodes.node1.host\" is given twice"))
        #expect(found[1].contains("\"nodes.node1\" is given twice"))
        #expect(found[2].contains("\"repository.path\" is given twice"))
    }

    @Test(arguments: [
        (smallest + "\n---\ncluster: other\n", "7:1: a second document begins here"),
        (smallest + "\n# \u{1}\n", "6:3: this is not text: control characters are not allowed"),
        ("cluster: shop\nnodes: [", "3:1: this is not YAML: did not find expected node content (while parsing a flow node"),
        ("cluster: &it [*it]\nnodes: *it", "1:10: \"cluster\" must be one value"), ("cluster: *it", "1:10: this is not YAML"),
        ("- cluster", "1:1: the file must be a mapping"), ("", "1:1: the file is empty"), ("# nothing", "1:1: the file is empty"),
    ])
    func whatIsNoClusterFileIsRefusedAtItsPlace(_ text: String, _ expected: String) {
        let found = problems(text)
        #expect(found.contains { $0.hasPrefix(expected) }, "\(found)")
    }

    @Test func aliasesStandForWhatTheyName() throws {
        let file = try parse("cluster: &name shop\nnodes: { n: { host: *name } }\nrepository: { path: /r }")
        #expect(
            file.name == "shop" && file.nodes[0].connection.contains("host='shop'")
                || file.nodes[0].connection.contains("host=shop"))
    }

    @Test func contradictionsAreProblems() {
        let found = problems(
            """
            cluster: shop
            nodes:
              node1: { connection: "host=a", port: 5433 }
              node2: { host: b }
              node3: { host: b }
              node4: {}
            repository: { path: /r }
            """)
        #expect(positions(found) == ["3:34:", "5:3:", "6:10:"])
        #expect(found[0].contains("contradicts"))
        #expect(found[1].contains("have the same connection"))
        #expect(found[2].contains("needs a \"host\" or a \"connection\""))
    }

    @Test(arguments: [
        ("cluster: [a]", "1:10: \"cluster\" must be one value"), ("cluster:", "1:9: \"cluster\" must be one value"),
        ("cluster: ../up", "1:10: \"../up\" cannot name a cluster"),
    ])
    func aNameOfTheWrongKindIsAProblem(_ line: String, _ expected: String) {
        let found = problems(line + "\nnodes: { n: { host: h } }\nrepository: { path: /r }")
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix(expected) == true, "\(found)")
    }

    @Test(arguments: [
        ("nodes: [a]", "must be a mapping"), ("nodes: {}", "is empty"), ("nodes: { n: h }", "\"nodes.n\" must be a mapping"),
        ("nodes: { n: { connection: db.example.com } }", "is no connection string"),
        ("nodes: { n: { host: h, port: 70000 } }", "must be a number from 1 to 65535"),
    ])
    func nodesOfTheWrongKindAreAProblem(_ line: String, _ expected: String) {
        let found = problems("cluster: a\nrepository: { path: /r }\n" + line)
        #expect(found.count == 1)
        #expect(found.first?.contains(expected) == true, "\(found)")
    }

    @Test(arguments: [
        ("cluster: \"shop\nnodes: x", "2:9:"), ("cluster: shop\n\tnodes: x", "2:1:"), ("cluster: shop\n nodes: [", "2:"),
        ("", "1:1:"), ("# nothing\n", "1:1:"), ("- a\n- b", "1:1:"), ("just words", "1:1:"),
    ])
    func whatIsNotYAMLOrNoMappingSaysWhere(_ text: String, _ position: String) {
        let found = problems(text)
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix(position) == true, "\(found)")
    }

    @Test(arguments: ["zstd:0", "zstd:20", "lz4", "zstd:", "zstd:x"])
    func aCompressionThatIsNoneIsAProblem(_ text: String) {
        #expect(problems(Self.smallest + "\n  compression: \"\(text)\"").count == 1)
    }

    @Test(arguments: [("90s", 90.0), ("30min", 1800), ("26h", 93_600), ("7d", 604_800), ("2w", 1_209_600)])
    func agesHaveUnits(_ text: String, _ seconds: Double) throws {
        #expect(try parse(Self.smallest + "\nbackup: { maximum_age: \(text) }").backup.maximumAgeSeconds == seconds)
    }

    @Test(arguments: ["26", "h", "0h", "-1h", "1.5h", "26 hours", "99999999999999999999h"])
    func anAgeWithoutAKnownUnitIsAProblem(_ text: String) {
        #expect(problems(Self.smallest + "\nbackup: { maximum_age: \"\(text)\" }").count == 1)
    }

    @Test func damagedFilesNeverCrashTheParser() {
        var generator = SplitMix(seed: 20_261_122)
        let original = Array((Self.smallest + "\nbackup: { maximum_age: 26h }\n").utf8)
        for _ in 0..<500 {
            var bytes = original
            for _ in 0...Int(generator.next() % 4) {
                bytes[Int(generator.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: generator.next())
            }
            _ = problems(String(decoding: bytes, as: UTF8.self))
        }
    }
}

/// A small generator that gives the same numbers for the same seed.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
