import Yams

/// Yams gives up at a mapping that has a key twice, and would keep silent about everything else in the file. So the
/// second one gets another first letter, out of Unicode's private use area, and reading goes on; who meets such a key
/// later knows what it was. The letter takes one column as the old one did, so that positions stay true.
enum DuplicateKeys {
    private static let firstMark: UInt32 = 0xE000
    private static let lettersPerRound: UInt32 = 0x80
    /// A file with more duplicates is reported up to here.
    private static let rounds: UInt32 = 40

    /// What Yams makes of `text`, its duplicate keys renamed.
    static func compose(_ text: String) throws -> Node? {
        var text = text
        var round: UInt32 = 0
        while true {
            do {
                // Every scalar is text to us. Yams's own resolver would tell what else it might be by regular expressions,
                // and to compile those takes longer than all the rest of reading a cluster file.
                return try Yams.compose(yaml: text, .basic)
            } catch let error as YamlError {
                guard case .duplicatedKeysInMapping(let keys, let context) = error, round < rounds, let key = keys.first,
                    let renamed = rename(key, in: text, firstAt: Position(context.mark), round: round)
                else { throw error }
                text = renamed
                round += 1
            }
        }
    }

    /// The key as it was in the file; nil where it was not renamed.
    static func original(_ key: String) -> String? {
        let end = firstMark + rounds * lettersPerRound
        guard let first = key.unicodeScalars.first, (firstMark..<end).contains(first.value),
            let letter = Unicode.Scalar((first.value - firstMark) % lettersPerRound)
        else { return nil }
        return String(letter) + String(String.UnicodeScalarView(key.unicodeScalars.dropFirst()))
    }

    /// Renames the second `key` of the mapping whose first `key` is at `begin`: in a block, the one in the same column.
    private static func rename(_ key: String, in text: String, firstAt begin: Position, round: UInt32) -> String? {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { Array($0.unicodeScalars) }
        let letters = Array(key.unicodeScalars)
        guard let first = letters.first, first.isASCII, lines.indices.contains(begin.line - 1),
            let mark = Unicode.Scalar(firstMark + round * lettersPerRound + first.value)
        else { return nil }
        let isFlow = lines[begin.line - 1].prefix(begin.column - 1).contains { $0 != " " }
        var found = 0
        for line in lines.indices.dropFirst(begin.line - 1) {
            for column in lines[line].indices where isKey(letters, at: column, of: lines[line]) {
                let isBefore = line == begin.line - 1 && column < begin.column - 1
                guard !isBefore, isFlow || column == begin.column - 1 else { continue }
                found += 1
                guard found == 2 else { continue }
                lines[line][column] = mark
                return lines.map { String(String.UnicodeScalarView($0)) }.joined(separator: "\n")
            }
        }
        return nil
    }

    private static func isKey(_ letters: [Unicode.Scalar], at column: Int, of line: [Unicode.Scalar]) -> Bool {
        guard line[column...].starts(with: letters) else { return false }
        let isAtBoundary = column == 0 || [" ", "{", ","].contains(line[column - 1])
        return isAtBoundary && line[(column + letters.count)...].first { $0 != " " } == ":"
    }
}
