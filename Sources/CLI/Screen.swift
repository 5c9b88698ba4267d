import Glibc

/// A terminal on which one picture is drawn again and again: each line over the old one, so that nothing flickers.
struct Screen {
    private let descriptor = STDOUT_FILENO

    static var isThere: Bool { isatty(STDOUT_FILENO) == 1 }

    /// An empty screen without a cursor, on which lines that are too long end at its edge.
    func begin() { FileHandleText.write("\u{1B}[?25l\u{1B}[?7l\u{1B}[H\u{1B}[2J", to: descriptor) }

    /// As it was, below what was drawn last.
    func end() { FileHandleText.write("\u{1B}[?7h\u{1B}[?25h\n", to: descriptor) }

    /// False where nobody is there any more to see it.
    func draw(_ text: String) -> Bool { FileHandleText.write(Self.frame(text, rows: rows), to: descriptor) }

    private var rows: Int {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_row > 1 else { return 24 }
        return Int(size.ws_row)
    }

    /// In one piece. What does not fit is counted in the last line.
    static func frame(_ text: String, rows: Int) -> String {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        if lines.last?.isEmpty == true { lines.removeLast() }
        if lines.count > rows { lines = lines.prefix(rows - 1) + ["… \(lines.count - rows + 1) more lines"] }
        return "\u{1B}[H" + lines.map { "\($0)\u{1B}[K" }.joined(separator: "\r\n") + "\u{1B}[J"
    }
}
