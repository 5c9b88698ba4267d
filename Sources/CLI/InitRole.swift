import Cluster
import Postgres
import PostgresModel
import Storage
import SystemPackage

/// pgark's role on a server that is only protected, and the passfile with its password. The password is in the file before the role has
/// it, so that one who is cut short goes on with it.
final class InitRole {
    let passfile: FilePath
    private let survey: ServerSurvey
    private let superuser: Connection
    private let creates: Bool
    private let renews: Bool
    private let mayAsk: Bool
    private let output: Output
    /// Nil where it is not ours to know.
    private var password: String?
    private var isMade = false

    init(
        passfile: FilePath, survey: ServerSurvey, superuser: Connection, creates: Bool, renews: Bool, mayAsk: Bool, output: Output
    ) {
        self.passfile = passfile
        self.survey = survey
        self.superuser = superuser
        self.creates = creates
        self.renews = renews
        self.mayAsk = mayAsk
        self.output = output
    }

    /// Returns what became of it; nil where it was left as it is.
    func make(for places: [(String, Int)]) throws -> String? {
        let old = try SmallFile.readText(passfile)
        var secrets = Secrets(Secrets.passwords(in: [old ?? ""]))
        password = secrets[RepositoryRole.name]
        let isMissing = survey.repositoryRole == nil
        guard try isWanted(isMissing: isMissing) else { return nil }
        guard survey.isSuperuser else {
            throw Failure(
                .permissionDenied, "could not make the role \(RepositoryRole.name): \(survey.role) is no superuser",
                hint: "Connect as one: pgark init --from \"host=… user=postgres\"")
        }
        isMade = isMissing || renews
        if isMade {
            secrets.complete([RepositoryRole.name])
            password = secrets[RepositoryRole.name]
        }
        try write(for: places)
        try RepositoryRole.make(survey.repositoryRole, password: isMade ? password : nil, on: superuser)
        return isMissing ? "created, no superuser" : renews ? "has a new password" : "has what it needs"
    }

    private func isWanted(isMissing: Bool) throws -> Bool {
        if creates || (renews && !isMissing) { return true }
        guard isMissing else { return false }
        if mayAsk, survey.isSuperuser {
            let answer = try output.ask(
                "Create the role \(RepositoryRole.name) there (login, replication, no superuser)?", standard: "yes")
            if InitChoices.truth(answer) == true { return true }
        }
        throw Failure(
            .confirmationNeeded, "could not protect the server: it has no role \(RepositoryRole.name); nothing was written",
            details: ["to make it yourself, as a superuser, in psql:"] + RepositoryRole.script,
            hint: "Let pgark make it: add --create-role. Or make it, and put its password into a passfile: \(lineForm)")
    }

    private var lineForm: String { "\(passfile), mode 0600, host:port:*:\(RepositoryRole.name):password" }

    /// A line for each server, where the password is ours.
    func write(for places: [(String, Int)]) throws {
        guard let password else { return }
        let lines = places.flatMap { address, port in
            ConnectionText("host=\(address) port=\(port)").places.map {
                Passfile.line($0.host, $0.port, RepositoryRole.name, Passfile.escaped(password))
            }
        }
        let old = try SmallFile.readText(passfile), new = Passfile.text(old, adding: lines)
        if new != old { try SmallFile.write(new, to: passfile, permissions: 0o600) }
    }

    // MARK: Logging in

    /// Whose fault a refusal is: not that of pg_hba.conf, where it speaks of a password, or where no rule's address is named.
    func wrongPassword(_ refusal: Failure) -> Failure? {
        guard refusal.code == .authenticationFailed, !isMade,
            refusal.message.contains("password") || AccessLine.address(in: refusal.message) == nil
        else { return nil }
        return Failure(
            refusal.code, refusal.message,
            details: [
                password == nil
                    ? "no passfile here has the password of \(RepositoryRole.name), which is a role there already"
                    : "the password in \(passfile) is not the one of \(RepositoryRole.name) there", "nothing was written",
            ], hint: "Put it into \(lineForm); or let it have a new one: pgark init … --new-password")
    }

    func conninfo(_ address: String, _ port: Int, _ security: [(keyword: String, value: String)]) -> String {
        let parts = [("host", address), ("port", "\(port)"), ("user", RepositoryRole.name), ("dbname", "postgres")]
        let text = ConnectionText.make(parts.map { (keyword: $0.0, value: $0.1) } + security)
        return password == nil ? text : ConnectionText.withPassfile(passfile.string, text)
    }

    /// Why it may not do what pgark does; nil where it may.
    func refusal(_ address: String, _ port: Int, _ security: [(keyword: String, value: String)]) -> Failure? {
        do {
            let text = conninfo(address, port, security)
            _ = try Connection(text, application: "pgark init")
            _ = try Connection(text, mode: .replication, application: "pgark init").identifySystem()
            return nil
        } catch let failure as Failure { return failure } catch { return Failure(.internalError, "\(error)") }
    }
}
