import FoundationEssentials
import Glibc
import Postgres
import PostgresModel
import Storage
import SystemPackage

/// pgark on a host, for as long as one command of ours works with it: this very program travels there and acts in one-shot
/// calls, each a JSON request on its standard input and a JSON answer on its standard output.
///
/// A secret may be part of a request or an answer; it is never part of an argument.
package final class HostSession: Sendable {
    package let host: Host
    /// Who we are there.
    package let user: String
    /// False where we are neither root nor may become it by `sudo -n`.
    package let isRoot: Bool
    /// From where we came, as the host sees it; nil where we are there already.
    package let clientAddress: String?
    private let ssh: SSH?
    /// The words that run the program there.
    private let program: [String]

    private init(host: Host, user: String, isRoot: Bool, clientAddress: String?, ssh: SSH?, program: [String]) {
        self.host = host
        self.user = user
        self.isRoot = isRoot
        self.clientAddress = clientAddress
        self.ssh = ssh
        self.program = program
    }

    /// The name of the hidden command that answers.
    package static let commandName = "on-host"

    /// Connects, and brings the program there where it is missing.
    package static func open(_ host: Host, _ ssh: @autoclosure () throws -> SSH) throws -> HostSession {
        switch host.way {
        case .here:
            let who = try probe(host, Command("/bin/sh", ["-c", probeScript(digest: "")]))
            return HostSession(
                host: host, user: who.user, isRoot: who.isRoot, clientAddress: "127.0.0.1", ssh: nil,
                program: who.sudo + [OwnProgram.path.string])
        case .ssh(let destination):
            let ssh = try ssh()
            let digest = try OwnProgram.digest()
            let who = try probe(host, ssh.command(destination, "/bin/sh -c " + Shell.quoted(probeScript(digest: digest))))
            if !who.hasProgram {
                try send(digest, to: host, who, ssh.command(destination, "/bin/sh -c " + Shell.quoted(receiveScript(digest))))
            }
            return HostSession(
                host: host, user: who.user, isRoot: who.isRoot, clientAddress: who.clientAddress, ssh: ssh,
                program: who.sudo + ["\(who.home)/\(place(digest))"])
        }
    }

    // MARK: Who we are there

    private struct Who {
        let user: String
        let home: String
        let isRoot: Bool
        let sudo: [String]
        let hasProgram: Bool
        let clientAddress: String?
    }

    private static func place(_ digest: String) -> String { ".cache/pgark/pgark-\(digest.prefix(16))" }

    /// Prints a line each: machine, user, home, number, whether sudo needs no password, whether the program is there, our address.
    private static func probeScript(digest: String) -> String {
        """
        uname -sm; id -un; echo "$HOME"; id -u
        if [ "$(id -u)" = 0 ]; then echo none; elif sudo -n true 2>/dev/null; then echo sudo; else echo no; fi
        if [ -x "$HOME/\(place(digest))" ]; then echo have; else echo missing; fi
        echo "from ${SSH_CONNECTION%% *}"
        """
    }

    private static func probe(_ host: Host, _ command: Command) throws -> Who {
        let outcome = try command.outcome()
        guard outcome.succeeded else { throw unreachable(host, outcome) }
        let lines = outcome.output.split(separator: "\n").map(String.init).suffix(7)
        guard lines.count == 7, let system = lines.first else {
            throw Failure(.hostUnreachable, "could not use the shell of \(host.name): it did not answer what was asked")
        }
        let values = Array(lines)
        var own = utsname()
        uname(&own)
        let machine = withUnsafeBytes(of: &own.machine) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        guard system == "Linux \(machine)" else {
            throw Failure(.unsupported, "could not use \(host.name): it is \(system), and this program is for Linux \(machine)")
        }
        return Who(
            user: values[1], home: values[2], isRoot: values[4] != "no", sudo: values[4] == "sudo" ? ["sudo", "-n"] : [],
            hasProgram: values[5] == "have",
            clientAddress: values[6].split(separator: " ").dropFirst().first.map(String.init))
    }

    private static func unreachable(_ host: Host, _ outcome: Command.Outcome) -> Failure {
        let said = outcome.errors.split(whereSeparator: \.isNewline).suffix(4).map(String.init)
        guard case .ssh(let destination) = host.way else {
            return Failure(.hostUnreachable, "could not run a shell: \(outcome.status)", details: said)
        }
        return Failure(
            .hostUnreachable, "could not reach \(host.name): \(said.last ?? "ssh ended with \(outcome.status)")", details: said,
            hint: "Make this work without a question: ssh \(destination) true")
    }

    // MARK: The program

    /// Takes the program from its standard input, whole or not at all. Versions that nobody has used for long go.
    private static func receiveScript(_ digest: String) -> String {
        """
        set -e; umask 077; cd "$HOME"; mkdir -p .cache/pgark
        new=.cache/pgark/new.$$; trap 'rm -f "$new"' EXIT
        cat > "$new"; sum=$(sha256sum "$new"); [ "${sum%% *}" = \(digest) ]
        find .cache/pgark -name 'pgark-*' -mtime +30 -exec rm -f {} +
        chmod 700 "$new"; mv "$new" \(place(digest))
        """
    }

    private static func send(_ digest: String, to host: Host, _ who: Who, _ command: Command) throws {
        var command = command
        command.inputFile = OwnProgram.path
        command.timeoutSeconds = 600
        let outcome = try command.outcome()
        guard outcome.succeeded else {
            throw Failure(
                .hostUnreachable, "could not bring pgark to \(host.name) (into \(who.home)/.cache/pgark): \(outcome.status)",
                details: outcome.errors.split(whereSeparator: \.isNewline).suffix(4).map(String.init))
        }
    }

    // MARK: Calls

    private struct Answer<Content: Decodable>: Decodable { let answer: Content }

    private struct Complaint: Decodable {
        struct Text: Decodable { let code: String, message: String, detail: String?, hint: String? }
        let error: Text
    }

    private func command(_ arguments: [String]) -> Command {
        let words = program + [Self.commandName] + arguments
        switch host.way {
        case .here: return Command("/usr/bin/env", words)
        case .ssh(let destination): return ssh!.command(destination, words.map(Shell.quoted).joined(separator: " "))
        }
    }

    /// Runs the program there and on another host, with what it prints here as the other's input. Arguments are seen by everybody
    /// on both hosts.
    package func stream(_ arguments: [String], to other: HostSession, _ otherArguments: [String]) throws {
        var (source, target) = (command(arguments), other.command(otherArguments))
        source.timeoutSeconds = 7 * 24 * 3600
        target.timeoutSeconds = source.timeoutSeconds
        try source.run(into: target)
    }

    /// Asks the program there. What it could not do is thrown as it was said, with the host's name.
    package func call<Content: Decodable>(
        _ request: some Encodable, as type: Content.Type = Content.self, timeoutSeconds: Double = 120
    ) throws -> Content {
        var command = command([])
        command.input = Array(try JSONEncoder().encode(request))
        command.timeoutSeconds = timeoutSeconds
        let outcome = try command.outcome()
        let text = Data(outcome.output.utf8)
        if outcome.succeeded, let answer = try? JSONDecoder().decode(Answer<Content>.self, from: text) { return answer.answer }
        if let complaint = try? JSONDecoder().decode(Complaint.self, from: text).error {
            throw Failure(
                Failure.Code(rawValue: complaint.code) ?? .programFailed, "\(host.name): \(complaint.message)",
                details: complaint.detail.map { [$0] } ?? [], hint: complaint.hint)
        }
        if case .ssh = host.way, outcome.status == .exited(SSH.failed) { throw Self.unreachable(host, outcome) }
        // Its output may hold a secret; what it said on the other stream does not.
        throw Failure(
            .programFailed, "could not work on \(host.name): pgark there ended with \(outcome.status)",
            details: outcome.errors.split(whereSeparator: \.isNewline).suffix(6).map(String.init))
    }
}
