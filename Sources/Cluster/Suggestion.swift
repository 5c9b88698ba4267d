/// The word that was probably meant where an unknown one stands.
package enum Suggestion {
    /// Nil where none of `words` is close: at most a third of the letters may differ, and at least one may.
    package static func closest(to word: String, among words: [String]) -> String? {
        let closest = words.map { (word: $0, distance: distance(word, $0)) }.min { $0.distance < $1.distance }
        guard let closest, closest.distance <= max(1, word.count / 3) else { return nil }
        return closest.word
    }

    /// " (did you mean "x"?)", or nothing.
    package static func text(for word: String, among words: [String]) -> String {
        closest(to: word, among: words).map { " (did you mean \"\($0)\"?)" } ?? ""
    }

    /// How many insertions, removals, replacements or swaps of neighbours turn `a` into `b`.
    private static func distance(_ a: String, _ b: String) -> Int {
        let (a, b) = (Array(a.lowercased()), Array(b.lowercased()))
        var rows = [Array(0...b.count)]
        for i in a.indices {
            var row = [i + 1]
            for j in b.indices {
                var cost = min(rows[i][j + 1] + 1, row[j] + 1, rows[i][j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { cost = min(cost, rows[i - 1][j - 1] + 1) }
                row.append(cost)
            }
            rows.append(row)
        }
        return rows[a.count][b.count]
    }
}
