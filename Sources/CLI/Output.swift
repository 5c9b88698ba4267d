import Glibc
import PostgresModel
import Storage

/// The one place that writes for people and for scripts: data on stdout, everything else on stderr.
///
/// With --json a command prints exactly one JSON document, whatever happens; without it, text for a person, coloured
/// only on a terminal.
package struct Output: Sendable {
    let json: Bool
    let color: Bool

    init(json: Bool, noColor: Bool) {
        self.json = json
        color = !noColor && getenv("NO_COLOR") == nil && isatty(STDOUT_FILENO) == 1
    }

    // MARK: Data

    /// Prints `document` where JSON was asked for, else what `text` makes. Only one of them is made.
    func data<Document: Encodable>(_ document: @autoclosure () throws -> Document, text: () -> String) throws {
        if json {
            FileHandleText.write(try Self.encoded(document()), to: STDOUT_FILENO)
        } else {
            let text = text()
            if !text.isEmpty { FileHandleText.write(text.hasSuffix("\n") ? text : text + "\n", to: STDOUT_FILENO) }
        }
    }

    /// One JSON document, and a line of its own.
    package static func encoded(_ document: some Encodable) throws -> [UInt8] {
        var bytes = try JSONText.bytes(of: Document(content: document), snakeCase: true)
        bytes.append(UInt8(ascii: "\n"))
        return bytes
    }

    /// Adds the schema number beside the fields of the content.
    private struct Document<Content: Encodable>: Encodable {
        let content: Content

        private enum Key: String, CodingKey { case schema }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Key.self)
            try container.encode(1, forKey: .schema)
            try content.encode(to: encoder)
        }
    }

    // MARK: Remarks

    /// A line of explanation, on stderr.
    func note(_ text: String) { FileHandleText.write(text + "\n", to: STDERR_FILENO) }

    /// What to do next, after a success; silent with --json.
    func next(_ command: String) {
        if !json { FileHandleText.write(paint("next: ", .faint) + command + "\n", to: STDERR_FILENO) }
    }

    func failure(_ failure: Failure) {
        if json {
            let document = ErrorDocument(
                error: .init(
                    code: failure.code.rawValue, message: failure.message,
                    detail: failure.details.isEmpty ? nil : failure.details.joined(separator: "\n"), hint: failure.hint))
            // A document of strings cannot fail to encode; were it to, the plain text still says what happened.
            if let bytes = try? Self.encoded(document) {
                FileHandleText.write(bytes, to: STDOUT_FILENO)
                return
            }
        }
        var lines = ["pgark: \(failure.message)"]
        lines += failure.details.map { "detail: \($0)" }
        if let hint = failure.hint { lines.append("hint: \(hint)") }
        FileHandleText.write(lines.joined(separator: "\n") + "\n", to: STDERR_FILENO)
    }

    private struct ErrorDocument: Encodable {
        struct Content: Encodable {
            let code: String
            let message: String
            @Nullable var detail: String?
            @Nullable var hint: String?
        }
        let error: Content
    }

    // MARK: Questions

    /// Asks before something that cannot be undone. Without a terminal and without --yes it is refused.
    func confirm(
        _ question: String, yes: Bool, hint: String = "Add --yes to answer it, or --dry-run to see what would happen."
    ) throws {
        if yes { return }
        guard isatty(STDIN_FILENO) == 1 else {
            throw Failure(
                .confirmationNeeded, "could not ask \"\(question)\": there is no terminal",
                hint: hint)
        }
        FileHandleText.write("\(question) [y/N] ", to: STDERR_FILENO)
        let typed = readLine()
        try Interruption.check()
        guard let answer = typed, ["y", "yes"].contains(answer.lowercased()) else {
            throw Failure(.confirmationNeeded, "could not go on: the answer was not yes; nothing was changed")
        }
    }

    /// Asks something that has no other way in; an empty answer is the standard one.
    func ask(_ question: String, standard: String?) throws -> String {
        FileHandleText.write(question + (standard.map { " [\($0)]" } ?? "") + ": ", to: STDERR_FILENO)
        let typed = readLine()
        try Interruption.check()
        guard let typed else {
            throw Failure(.confirmationNeeded, "could not ask \"\(question)\": the input ended; nothing was written")
        }
        return typed.isEmpty ? standard ?? "" : typed
    }

    // MARK: Form

    enum Style: String { case faint = "2", good = "32", bad = "31", warning = "33", strong = "1" }

    func paint(_ text: String, _ style: Style) -> String { color ? "\u{1B}[\(style.rawValue)m\(text)\u{1B}[0m" : text }

    /// Columns padded to their widest cell. Cells may hold paint, which takes no room.
    package static func table(_ header: [String], _ rows: [[String]]) -> String {
        let all = [header] + rows
        let counts = all.map { $0.map(visibleCount) }
        let widths = header.indices.map { column in counts.reduce(0) { max($0, $1[column]) } }
        return zip(all, counts).map { row, counts in
            row.indices.map { column in
                column == row.count - 1
                    ? row[column] : row[column] + String(repeating: " ", count: widths[column] - counts[column])
            }.joined(separator: "  ")
        }.joined(separator: "\n")
    }

    private static func visibleCount(_ text: String) -> Int {
        // Mostly each byte is a letter, and then nothing need be known of Unicode.
        if text.utf8.allSatisfy({ (0x20..<0x7F).contains($0) }) { return text.utf8.count }
        var count = 0
        var isInEscape = false
        for character in text {
            if character == "\u{1B}" {
                isInEscape = true
            } else if isInEscape {
                isInEscape = character != "m"
            } else {
                count += 1
            }
        }
        return count
    }

    package static func duration(_ seconds: Double) -> String {
        switch seconds {
        case ..<10: "\(decimal(seconds, places: 1)) s"
        case ..<120: "\(Int(seconds.rounded())) s"
        case ..<7200: "\(Int(seconds) / 60) min \(Int(seconds) % 60) s"
        case ..<172_800: "\(Int(seconds) / 3600) h \(Int(seconds) % 3600 / 60) min"
        case ..<31_536_000: "\(Int(seconds) / 86_400) days"
        default: "more than a year"
        }
    }
}

/// Writes text to a descriptor, whole.
enum FileHandleText {
    @discardableResult
    static func write(_ text: String, to descriptor: Int32) -> Bool { write(Array(text.utf8), to: descriptor) }

    /// False where nobody reads any more; there is nowhere left to say so.
    @discardableResult
    static func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        var bytes = bytes[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            bytes = bytes.dropFirst(count)
        }
        return true
    }
}
