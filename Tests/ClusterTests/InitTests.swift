@testable import Cluster
import Postgres
import PostgresModel
import SystemPackage
import Testing

/// A cluster as `init` would find it, without any server.
private struct Found {
    var servers: [String: ServerSurvey] = [:]

    static func survey(
        port: Int = 5432, isStandby: Bool = false, of upstream: String? = nil, slot: String? = nil,
        _ settings: [String: String] = [:],
        standbys: [ServerSurvey.Standby] = []
    ) -> ServerSurvey {
        ServerSurvey(
            version: 150_007, systemIdentifier: 7, isInRecovery: isStandby,
            settings: ["port": "\(port)", "data_directory": "/srv/pg", "wal_level": "replica", "max_wal_senders": "10"].merging(
                settings
            ) { $1 },
            programs: "/usr/lib/postgresql/15/bin", standbys: standbys,
            upstream: upstream.map { .init(host: $0, port: 5432, slot: slot) }, role: "postgres", isSuperuser: true,
            repositoryRole: nil, clientAddress: "10.0.0.9")
    }

    /// A primary, two standbys and one behind a standby.
    static var cascade: Found {
        Found(servers: [
            "10.0.0.1": survey(standbys: [
                .init(application: "walreceiver", address: "10.0.0.2", slot: "Slot2"),
                .init(application: "db3", address: "10.0.0.3", slot: nil),
            ]),
            "10.0.0.2": survey(
                isStandby: true, of: "10.0.0.1", slot: "slot2",
                standbys: [.init(application: "15/main", address: "10.0.0.4", slot: "x")]),
            "10.0.0.3": survey(isStandby: true, of: "10.0.0.1", ["recovery_min_apply_delay": "3600000"]),
            "10.0.0.4": survey(port: 5444, isStandby: true, of: "10.0.0.2", slot: "x"),
        ])
    }

    var discovery: ClusterDiscovery {
        ClusterDiscovery { [servers] address, _ in
            if let survey = servers[address] { return [survey] }
            throw Failure(.serverUnreachable, "could not connect to \(address)")
        }
    }
}

@Suite("init finds")
struct DiscoveryTests {
    @Test("the primary above a standby, and every standby below")
    func cascade() throws {
        let found = Found.cascade
        let primary = try found.discovery.primary(above: found.servers["10.0.0.4"]!, at: "10.0.0.4")
        #expect(primary.address == "10.0.0.1" && primary.port == 5432)
        let servers = found.discovery.servers(of: primary.survey, at: primary.address, port: primary.port)
        #expect(servers.map(\.address) == ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"])
        #expect(servers.map(\.upstream) == [nil, 0, 0, 1] && servers[3].port == 5444)
    }

    @Test("an end where a standby follows one that does not answer, another system, or itself")
    func ends() throws {
        var found = Found.cascade
        found.servers["10.0.0.1"] = nil
        let failure = #expect(throws: Failure.self) {
            _ = try found.discovery.primary(above: found.servers["10.0.0.2"]!, at: "10.0.0.2")
        }
        #expect(
            failure?.message.contains("is a standby of 10.0.0.1:5432") == true && failure?.hint?.contains("host=10.0.0.1") == true
        )
        found.servers["10.0.0.1"] = Found.survey()
        found.servers["10.0.0.1"]!.systemIdentifier = 8
        #expect(throws: Failure.self) { _ = try found.discovery.primary(above: found.servers["10.0.0.2"]!, at: "10.0.0.2") }
        found.servers["10.0.0.1"] = Found.survey(isStandby: true, of: "127.0.0.1")
        #expect(throws: Failure.self) { _ = try found.discovery.primary(above: found.servers["10.0.0.2"]!, at: "10.0.0.2") }
    }

    @Test("what cannot be asked too, and says so")
    func silent() throws {
        var found = Found.cascade
        found.servers["10.0.0.3"] = nil
        let servers = found.discovery.servers(of: found.servers["10.0.0.1"]!, at: "10.0.0.1", port: 5432)
        let silent = try #require(servers.first { $0.address == "10.0.0.3" })
        #expect(!silent.isThere && silent.problem == "could not connect to 10.0.0.3")
    }
}

@Suite("A cluster file by init")
struct ClusterDraftTests {
    private func draft() -> ClusterDraft { ClusterDraft(cluster: "shop", repositoryPath: "/var/lib/pgark") }

    private func parsed(_ draft: ClusterDraft) throws -> ClusterFile {
        let text = draft.text(schema: "pgark.schema.json")
        let schema = try SchemaValidator(ClusterFileSchema.text)
        #expect(try schema.problems(YAMLDocument.root(of: text)!) == [], "\(text)")
        return try ClusterFile.parse(text: text, path: "/etc/pgark.yaml")
    }

    private func servers() throws -> [ClusterDiscovery.Server] {
        let found = Found.cascade
        return found.discovery.servers(of: found.servers["10.0.0.1"]!, at: "10.0.0.1", port: 5432)
    }

    @Test("only protects what is there")
    func protected() throws {
        var draft = draft()
        draft.protect(try servers(), base: [("sslmode", "require")])
        let file = try parsed(draft)
        #expect(file.nodes.map(\.name) == ["node1", "node2", "db3", "node3"] && file.nodes.allSatisfy { $0.placement == nil })
        #expect(file.nodes[3].connection == "host=10.0.0.4 port=5444 user=pgark dbname=postgres sslmode=require")
        #expect(file.repository.path == "/var/lib/pgark")
    }

    @Test("has what did not answer as a comment")
    func silent() throws {
        var servers = try servers(), draft = draft()
        servers[2].isThere = false
        servers[2].problem = "could not connect:\nrefused"
        servers[2].survey = nil
        draft.protect(servers, base: [])
        #expect(try parsed(draft).nodes.map(\.name) == ["node1", "node2", "node3"])
        #expect(draft.text().contains("\n  # db3: { connection:") && draft.remarks.count == 1)
    }

    @Test("takes servers over with their places, their slots, whom they follow, and how far behind they are")
    func managed() throws {
        var draft = draft()
        try draft.manage(try servers())
        let file = try parsed(draft)
        #expect(file.postgres.major == 15 && file.postgres.programs == nil && draft.remarks.isEmpty)
        let places = file.nodes.compactMap(\.placement)
        #expect(
            places.map(\.host) == ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"] && places.allSatisfy { $0.data == "/srv/pg" })
        #expect(
            places.map { $0.slot?.description } == [nil, "slot2", nil, "x"] && places.map(\.port) == [5432, 5432, 5432, 5444])
        #expect(places.map(\.upstream) == [nil, nil, nil, "node2"] && places[2].delaySeconds == 3600)
    }

    @Test("names the programs that are not of packages, and warns where a synchronous standby's name would change")
    func programs() throws {
        var servers = try servers(), draft = draft()
        for index in servers.indices { servers[index].survey!.programs = "/opt/pg/bin" }
        servers[0].survey!.settings["synchronous_standby_names"] = "walreceiver"
        try draft.manage(servers)
        #expect(try parsed(draft).postgres.programs == "/opt/pg/bin")
        #expect(draft.remarks.count == 1 && draft.remarks[0].contains("node2 has called itself \"walreceiver\""))
    }

    @Test("takes nothing over that could not be asked")
    func refused() throws {
        var servers = try servers(), draft = draft()
        servers[1].survey = nil
        #expect(throws: Failure.self) { try draft.manage(servers) }
    }

    @Test("of bare hosts, with and without a version")
    func hosts() throws {
        var draft = draft()
        draft.place(["db1", "10.0.0.2", "fe80::1"])
        draft.repositoryHost = "backup"
        #expect(try parsed(draft).postgres.major == nil)
        draft.major = 18
        draft.installs = true
        let file = try parsed(draft)
        #expect(file.nodes.compactMap(\.placement?.host) == ["db1", "10.0.0.2", "fe80::1"] && file.repository.host == "backup")
        #expect(file.postgres.major == 18 && file.postgres.installs)
    }

    @Test(
        "has texts as they are meant",
        arguments: [
            "yes", "18", "1e3", "a b", "a: b", "#x", "it's", "\"", "\\", "-x", "@x", "x,y", "{}", "", "null", "ü", "0x1F", "/a/b",
        ])
    func scalars(text: String) throws {
        let read = try YAMLDocument.root(of: "{ a: \(YAMLText.scalar(text)), b: c }")!
        #expect(read["a"]?.text == text && read["b"]?.text == "c")
        if YAMLText.scalar(text) == text { #expect(read["a"]!.types == ["string"]) }
    }
}

@Suite("What init must be told")
struct InitChoicesTests {
    /// Answers in turn; the questions that were asked.
    private func dialogue(_ choices: inout InitChoices, _ answers: [String]) -> [InitChoices.Question.Key] {
        var keys: [InitChoices.Question.Key] = []
        for answer in answers {
            guard let question = choices.next(standardPath: "/var/lib/pgark", standardCluster: "main") else { break }
            keys.append(question.key)
            _ = choices.take(answer, to: question)
        }
        return keys
    }

    @Test("is asked, with answers that are usual")
    func standard() {
        var choices = InitChoices()
        #expect(dialogue(&choices, ["", "", "", "", "?"]) == [.way, .from, .cluster, .repositoryPath])
        #expect(choices.from == "user=postgres" && choices.cluster == "main" && choices.repositoryPath == "/var/lib/pgark")
    }

    @Test("is asked again where an answer will not do")
    func again() {
        var choices = InitChoices()
        let keys = dialogue(
            &choices, ["3", "2", "", "10.0.0.1, 10.0.0.2", "my shop", "shop", "9", "17", "perhaps", "y", "", "pgark", "/srv"])
        #expect(
            keys == [
                .way, .way, .hosts, .hosts, .cluster, .cluster, .major, .major, .installs, .installs, .repositoryHost,
                .repositoryPath, .repositoryPath,
            ])
        #expect(choices.hosts == ["10.0.0.1", "10.0.0.2"] && choices.major == 17 && choices.installs == true)
        #expect(choices.repositoryHost == nil && choices.repositoryPath == "/srv")
    }

    @Test("is all named at once where nobody can be asked")
    func missing() {
        var choices = InitChoices()
        #expect(choices.missing.count == 2)
        choices.from = "host=a"
        #expect(choices.missing == ["--cluster NAME"])
    }

    @Test(
        "makes sense together",
        arguments: [
            ("host=a password=x", "password"), ("postgresql://u:secret@h", "password"), ("just-a-host", "connection string"),
        ])
    func contradictions(from: String, reason: String) {
        var choices = InitChoices()
        choices.from = from
        #expect(choices.contradiction?.contains(reason) == true && choices.contradiction?.contains("secret") == false)
    }
}

@Suite("pgark's role on a protected server")
struct RepositoryRoleTests {
    @Test("gets no more statements than it lacks")
    func statements() {
        let all = RepositoryRole.statements(nil, verifier: "SCRAM")
        #expect(all.first == "CREATE ROLE pgark LOGIN REPLICATION PASSWORD 'SCRAM'" && all.count == 8)
        #expect(!all.contains { $0.contains("SUPERUSER") })
        let whole = ServerSurvey.Role(mayLogIn: true, mayReplicate: true, missingGrants: [])
        #expect(RepositoryRole.statements(whole, verifier: nil) == [])
        let part = ServerSurvey.Role(mayLogIn: true, mayReplicate: false, missingGrants: ["pg_monitor"])
        #expect(
            RepositoryRole.statements(part, verifier: "V")
                == ["ALTER ROLE pgark LOGIN REPLICATION", "ALTER ROLE pgark PASSWORD 'V'", "GRANT pg_monitor TO pgark"])
    }

    @Test(
        "has the line of pg_hba.conf that a refusal asks for",
        arguments: [
            (
                "connection to server at \"10.0.0.1\", port 5432 failed: FATAL:  no pg_hba.conf entry for host \"10.0.0.9\", user \"pgark\"",
                "10.0.0.9"
            ),
            (
                "… »::1«, Port 5432 fehlgeschlagen: FATAL:  kein pg_hba.conf-Eintrag für Host »fe80::9«, Benutzer »pgark«",
                "fe80::9"
            ),
        ])
    func address(refusal: String, address: String) {
        #expect(AccessLine.address(in: refusal) == address)
        let other =
            "connection to server at \"10.0.0.1\", port 5432 failed: FATAL:  password authentication failed for user \"pgark\""
        #expect(AccessLine.address(in: other) == nil)
        #expect(AccessLine.text(from: address).hasPrefix("host all,replication pgark \(address)/"))
    }

    @Test("has its passfile's lines once")
    func passfile() {
        let once = Passfile.text(nil, adding: ["a:1:*:b:c"])
        #expect(Passfile.text(once, adding: ["a:1:*:b:c"]) == once && Passfile(once).entries.count == 1)
        #expect(Passfile.text("x:1:*:y:z", adding: ["a:1:*:b:c"]) == "x:1:*:y:z\na:1:*:b:c\n")
    }
}
