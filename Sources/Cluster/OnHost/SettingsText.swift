import Hosts
import PostgresModel
import Storage
import SystemPackage

/// Text of postgresql.conf and its includes.
enum SettingsText {
    /// `name = 'value'` (PostgreSQL: src/backend/utils/misc/guc-file.l, DeescapeQuotedString).
    static func line(_ name: String, _ value: String) -> String { "\(name) = \(quoted(value))" }

    static func quoted(_ value: String) -> String {
        "'" + value.map { $0 == "'" ? "''" : $0 == "\\" ? "\\\\" : String($0) }.joined() + "'"
    }

    /// What a file says, the last word on each name; no includes.
    static func values(_ text: String) -> [String: String] {
        var values: [String: String] = [:]
        for line in text.split(whereSeparator: \.isNewline) {
            let line = line.drop { $0.isWhitespace }
            let name = line.prefix { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "." }
            guard !name.isEmpty else { continue }
            var rest = line.dropFirst(name.count).drop { $0.isWhitespace }
            if rest.first == "=" { rest = rest.dropFirst().drop { $0.isWhitespace } }
            values[name.lowercased()] = value(rest)
        }
        return values
    }

    private static func value(_ text: Substring) -> String {
        guard text.first == "'" else { return String(text.prefix { !$0.isWhitespace && $0 != "#" }) }
        var value = ""
        var rest = text.dropFirst()
        while let character = rest.popFirst() {
            if character == "'" {
                guard rest.first == "'" else { break }
                rest.removeFirst()
                value.append("'")
            } else if character == "\\", let next = rest.popFirst() {
                value.append(next == "n" ? "\n" : next == "t" ? "\t" : next)
            } else {
                value.append(character)
            }
        }
        return value
    }
}

/// The line by which postgresql.conf reads our file: Debian's has a directory for such files already.
enum IncludeLine {
    static let text = "include_if_exists = 'pgark.conf'  # settings that pgark apply writes; the rest of this file is yours"

    static func isThere(_ layout: InstanceLayout) throws -> Bool {
        guard let content = try SmallFile.readText(FilePath(layout.mainFile)) else { return false }
        return isThere(content, layout)
    }

    static func isThere(_ content: String, _ layout: InstanceLayout) -> Bool {
        content.split(whereSeparator: \.isNewline).contains { line in
            let words = line.split { $0.isWhitespace || $0 == "=" || $0 == "'" }
            switch layout.kind {
            case .plain: return words.first == "include_if_exists" && words.dropFirst().first == "pgark.conf"
            case .debian: return words.first == "include_dir" && words.dropFirst().first == "conf.d"
            }
        }
    }
}
