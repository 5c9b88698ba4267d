@testable import CLI
import Testing

@Suite struct ScreenTests {
    /// Home, each line to its end, and then the rest of the screen: nothing is cleared before it is drawn over.
    @Test func aPictureIsDrawnOverTheLastOneInOnePiece() {
        #expect(Screen.frame("a\n\nb\n", rows: 24) == "\u{1B}[Ha\u{1B}[K\r\n\u{1B}[K\r\nb\u{1B}[K\u{1B}[J")
    }

    @Test func whatDoesNotFitIsCounted() {
        #expect(Screen.frame("1\n2\n3\n4\n5", rows: 3) == "\u{1B}[H1\u{1B}[K\r\n2\u{1B}[K\r\n… 3 more lines\u{1B}[K\u{1B}[J")
        #expect(Screen.frame("1\n2\n3", rows: 3).contains("more lines") == false)
    }
}
