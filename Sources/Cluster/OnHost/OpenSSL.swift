import Glibc
import Hosts
import PostgresModel
import Storage
import SystemPackage

/// The host's openssl(1), for everything about keys and certificates. Keys are in its files and never pass through us.
struct OpenSSL {
    static let program: FilePath = "/usr/bin/openssl"
    static var isThere: Bool { access(program.string, X_OK) == 0 }

    /// Who runs it; nil for ourselves.
    var account: Account?

    private func command(_ arguments: [String], input: String = "") -> Command {
        var command = Command(Self.program, arguments)
        command.environment["LC_ALL"] = "C"
        command.directory = "/"
        command.input = Array(input.utf8)
        command.timeoutSeconds = 30
        guard let account, Owner.current.isRoot else { return command }
        return account.running(command)
    }

    @discardableResult
    func run(_ arguments: [String], input: String = "") throws -> String { try command(arguments, input: input).run().output }

    /// What it printed; nil where it failed.
    func answer(_ arguments: [String], input: String = "") throws -> String? {
        let outcome = try command(arguments, input: input).outcome()
        return outcome.succeeded ? outcome.output : nil
    }

    // MARK: Questions

    /// When a certificate begins and ends; nil for what is none.
    func validity(_ certificate: String) throws -> (begins: Double, ends: Double)? {
        guard let text = try answer(["x509", "-noout", "-startdate", "-enddate"], input: certificate) else { return nil }
        let times = text.split(whereSeparator: \.isNewline).compactMap { line in
            line.split(separator: "=", maxSplits: 1).last.flatMap { Self.time(String($0)) }
        }
        return times.count == 2 ? (times[0].seconds, times[1].seconds) : nil
    }

    /// "Nov 23 12:00:00 2026 GMT".
    static func time(_ text: String) -> Timestamp? {
        func twoDigits(_ text: String) -> String { text.count < 2 ? "0" + text : text }
        let words = text.split(separator: " ").map(String.init)
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        guard words.count == 5, let month = months.firstIndex(of: words[0]), words[4] == "GMT",
            case .instant(let time)? = TimeText("\(words[3])-\(twoDigits("\(month + 1)"))-\(twoDigits(words[1])) \(words[2])+00")
        else { return nil }
        return time
    }

    /// The public key of a certificate; nil for what is none.
    func publicKey(ofCertificate text: String) throws -> String? {
        try answer(["x509", "-noout", "-pubkey"], input: text)
    }

    /// The public half of a key; nil for what is none, or asks for a password.
    func publicKey(ofKey path: String) throws -> String? {
        try answer(["pkey", "-in", path, "-passin", "pass:", "-pubout"])
    }

    /// Subject alternative names, or the subject where there are none.
    func names(_ certificate: String) throws -> String {
        let text = try answer(["x509", "-noout", "-ext", "subjectAltName"], input: certificate) ?? ""
        let names = text.split(whereSeparator: \.isNewline).dropFirst().map(\.trimmed).joined(separator: ", ")
        if !names.isEmpty { return names }
        return (try answer(["x509", "-noout", "-subject"], input: certificate) ?? "").trimmed
    }

    func names(_ certificate: String, host: String) throws -> Bool {
        let question = HostName(host).isAddress ? "-checkip" : "-checkhost"
        return try answer(["x509", "-noout", question, host], input: certificate)?.contains("does match certificate") ?? false
    }

    /// Why it is not a server's certificate of that authority, at whatever time; nil where it is.
    func distrust(_ certificate: String, authority: String) throws -> String? {
        var command = command([
            "verify", "-purpose", "sslserver", "-no_check_time", "-CAfile", authority, "-untrusted", certificate, certificate,
        ])
        // Authorities that the system trusts are no authorities here, as in libpq.
        for name in ["SSL_CERT_DIR", "SSL_CERT_FILE"] { command.environment[name] = "/nonexistent" }
        let outcome = try command.outcome()
        if outcome.succeeded { return nil }
        let lines = (outcome.errors + outcome.output).split(whereSeparator: \.isNewline).map(String.init)
        return (lines.first { $0.hasPrefix("error ") } ?? lines.first ?? "\(outcome.status)").trimmed
    }

    /// What a server shows that speaks PostgreSQL's protocol; empty where it speaks no TLS, nil where nobody answers.
    func shown(_ host: String, _ port: Int) throws -> String? {
        let address = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        let output = try command(["s_client", "-starttls", "postgres", "-connect", address]).outcome().output
        return output.contains("CONNECTED(") ? Self.certificate(in: output) ?? "" : nil
    }

    /// The first certificate in a text, without its line breaks.
    static func certificate(in text: String) -> String? {
        let lines = text.split(whereSeparator: \.isNewline).drop { $0 != "-----BEGIN CERTIFICATE-----" }.dropFirst()
        guard let end = lines.firstIndex(of: "-----END CERTIFICATE-----") else { return nil }
        return lines[..<end].joined().filter { !$0.isWhitespace }
    }
}

/// A host as libpq takes it: an address, or a name.
struct HostName {
    let text: String
    init(_ text: String) { self.text = text }
    var isAddress: Bool { text.contains(":") || text.allSatisfy { $0.isNumber || $0 == "." } }
}
