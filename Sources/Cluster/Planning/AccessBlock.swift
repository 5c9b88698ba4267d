/// The part of pg_hba.conf that is ours, between two marks, in front of everything else: the first line that matches counts
/// (PostgreSQL documentation: 20.1).
package enum AccessBlock {
    static let begin = "# BEGIN pgark: written by pgark apply; what is changed in here is changed back"
    static let end = "# END pgark"

    private static func isBegin(_ line: Substring) -> Bool { line.hasPrefix("# BEGIN pgark") }

    /// The lines of the block; nil where the text has none.
    package static func lines(in text: String) -> [String]? {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard let first = lines.firstIndex(where: isBegin) else { return nil }
        let rest = lines[(first + 1)...]
        return rest.prefix { $0 != end[...] }.map(String.init)
    }

    /// The text with this block in front; what is not ours stays as it is. Where the last mark is gone, nobody can say where ours
    /// ended, and only the first mark goes.
    package static func replace(in text: String, with block: [String]) -> String {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        if let first = lines.firstIndex(where: isBegin) {
            let last = lines[first...].firstIndex(of: end[...]) ?? first
            lines.removeSubrange(first...last)
        }
        return (([begin] + block + [end]).map { $0[...] } + lines).joined(separator: "\n")
    }
}
