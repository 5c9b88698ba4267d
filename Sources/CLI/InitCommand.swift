import ArgumentParser
import Cluster
import Glibc
import PostgresModel
import Storage
import SystemPackage

struct InitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init", abstract: "Write a commented pgark.yaml, from questions or from a running server.",
        discussion: """
            For a server that runs already: pgark init --cluster shop --from "host=192.0.2.11 user=postgres" --create-role. It and \
            its standbys are only protected, and nothing on them is managed; with --manage they are taken over as they are. For \
            hosts that are to be set up: pgark init --cluster shop --host 192.0.2.11 --host 192.0.2.12. On a terminal it asks for what \
            is missing.
            """)

    @OptionGroup var global: GlobalOptions
    @Option(help: "The file to write; it must not be there yet.") var output = "pgark.yaml"
    @Option(
        help: ArgumentHelp("A server that runs already: how a superuser connects to it, as libpq has it.", valueName: "conninfo"))
    var from: String?
    @Flag(help: "Let plan and apply look after that server and its standbys, as they are.") var manage = false
    @Option(help: "How other hosts reach that server, where --from does not say it.") var address: String?
    @Flag(help: "Create the role pgark on it, or give it what it lacks.") var createRole = false
    @Flag(help: "Give the role pgark a new password.") var newPassword = false
    @Option(help: ArgumentHelp("A host to set up, the primary first; may be given several times.", valueName: "address"))
    var host: [String] = []
    @Option(name: .customLong("postgres"), help: ArgumentHelp("The major version for those hosts.", valueName: "major"))
    var major: Int?
    @Flag(help: "PostgreSQL may be installed there with apt.") var installPackages = false
    @Option(help: "The directory of the repository (default: /var/lib/pgark; without root ~/pgark).") var repository: String?
    @Option(help: "The host of the repository (default: this one).") var repositoryHost: String?
    @Flag(help: "Only print the JSON schema of cluster files, for editors.") var schema = false

    func run() throws {
        if schema {
            FileHandleText.write(ClusterFileSchema.text, to: STDOUT_FILENO)
            return
        }
        let path = Directory.absolute(FilePath(output))
        try checkPlace(path)
        let choices = try completed(choices)
        let draft: ClusterDraft
        var pending: Failure?, passfile: FilePath?, role: String?
        if choices.from == nil {
            draft = placed(choices)
        } else {
            let run = try InitFromServer(
                choices: choices, path: path, address: address.map { $0 }, createsRole: createRole, newPassword: newPassword,
                mayAsk: isTerminal, output: global.output)
            let outcome = try run.run()
            (draft, pending, passfile, role) = (outcome.draft, outcome.pending, outcome.passfile, outcome.role)
        }
        try write(draft, path)
        try finish(draft, path, passfile, role, pending)
    }

    private var isTerminal: Bool { isatty(STDIN_FILENO) == 1 }

    // MARK: What is wanted

    private var choices: InitChoices {
        var choices = InitChoices()
        choices.cluster = global.cluster
        choices.from = from
        choices.manages = manage
        choices.hosts = host
        choices.major = major
        choices.installs = installPackages ? true : nil
        choices.repositoryPath = repository.map { Directory.absolute(FilePath($0)).string }
        choices.repositoryHost = repositoryHost
        return choices
    }

    private var standardPath: String {
        guard !Owner.current.isRoot, repositoryHost == nil, let home = getenv("HOME") else { return "/var/lib/pgark" }
        return String(cString: home) + "/pgark"
    }

    private func completed(_ choices: InitChoices) throws -> InitChoices {
        var choices = choices
        if let contradiction = choices.contradiction { throw Failure(.usage, "could not use the options: \(contradiction)") }
        guard isTerminal else {
            guard choices.missing.isEmpty else {
                throw Failure(
                    .usage, "could not write a cluster file: what it should say is missing, and there is no terminal to ask",
                    details: choices.missing, hint: "See what there is to say: pgark init --help")
            }
            choices.repositoryPath = choices.repositoryPath ?? standardPath
            return choices
        }
        while let question = choices.next(standardPath: standardPath, standardCluster: "main") {
            let answer = try global.output.ask(question.text, standard: question.standard)
            if let reason = choices.take(answer, to: question) { global.output.note(reason) }
        }
        return choices
    }

    private func placed(_ choices: InitChoices) -> ClusterDraft {
        var draft = ClusterDraft(
            cluster: choices.cluster!, repositoryPath: choices.repositoryPath!, repositoryHost: choices.repositoryHost)
        draft.major = choices.major
        draft.installs = choices.installs ?? false
        draft.place(choices.hosts)
        return draft
    }

    // MARK: The file

    private func checkPlace(_ path: FilePath) throws {
        guard try !Directory.exists(path) else { throw Self.exists(path) }
        let directory = path.removingLastComponent()
        guard try Directory.exists(directory) else {
            throw Failure(
                .configuration, "could not write \(path): the directory \(directory) does not exist",
                hint: "mkdir -p \(directory)")
        }
    }

    private static func exists(_ path: FilePath) -> Failure {
        Failure(
            .fileExists, "could not write \(path): it exists, and a cluster file is never written over",
            hint: "Edit it, or write another: pgark init --output FILE")
    }

    private func write(_ draft: ClusterDraft, _ path: FilePath) throws {
        let schema = path.removingLastComponent().appending(ClusterFileSchema.fileName)
        let text = draft.text(schema: try Directory.exists(schema) ? ClusterFileSchema.fileName : nil)
        _ = try ClusterFile.parse(text: text, path: path)  // what we write we can read
        guard try SmallFile.create(text.utf8, at: path, permissions: 0o644) else { throw Self.exists(path) }
    }

    private struct Document: Encodable {
        struct Node: Encodable { let name: String, managed: Bool }
        let cluster: String
        let file: String
        let nodes: [Node]
        @Nullable var passfile: String?
        @Nullable var role: String?
        let remarks: [String]
    }

    private func finish(_ draft: ClusterDraft, _ path: FilePath, _ passfile: FilePath?, _ role: String?, _ pending: Failure?)
        throws
    {
        let output = global.output
        if let pending { throw pending.adding(detail: "\(path) is written") }
        let document = Document(
            cluster: draft.cluster, file: path.string,
            nodes: draft.active.map { .init(name: $0.name, managed: !draft.isProtecting) },
            passfile: passfile?.string, role: role, remarks: draft.remarks)
        try output.data(document) {
            (["\(path) is written: cluster \(draft.cluster), \(draft.active.map(\.name).joined(separator: ", "))"]
                + [role.map { "role \(RepositoryRole.name): \($0)" }, passfile.map { "its password is in \($0)" }].compactMap {
                    $0
                }
                + draft.remarks).joined(separator: "\n")
        }
        let option = path == Directory.absolute("pgark.yaml") ? "" : " --config \(path)"
        let isForRoot = draft.repositoryHost != nil || Owner.current.isRoot
        output.next(
            (!draft.isProtecting ? "pgark plan" : isForRoot ? "pgark apply" : "pgark wal receive") + option
                + (draft.isProtecting && !isForRoot ? " &" : ""))
    }
}
