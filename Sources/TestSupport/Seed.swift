import Hosts
import Lab

/// Where a test's random numbers begin. It is an argument of the test, so a failure shows it, and
/// `PGARK_TEST_SEED=…` gives the same numbers again.
package struct Seed: Sendable, CustomStringConvertible {
    package let value: UInt64

    package init(value: UInt64) { self.value = value }

    package var description: String { "PGARK_TEST_SEED=\(value)" }

    /// `count` new seeds at every run, or the one that was asked for.
    package static func some(_ count: Int) -> [Seed] {
        if let text = Environment["PGARK_TEST_SEED"], let value = UInt64(text) { return [Seed(value: value)] }
        return (0..<count).map { _ in Seed(value: UInt64.random(in: 0..<1 << 32)) }
    }

    package var generator: SeededGenerator { SeededGenerator(state: value) }
}

/// SplitMix64.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
    fileprivate var state: UInt64

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    package mutating func bytes(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 7)
        while bytes.count < count { withUnsafeBytes(of: next()) { bytes.append(contentsOf: $0) } }
        bytes.removeLast(bytes.count - count)
        return bytes
    }

    /// From 0 up to, not including, `bound`.
    package mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }

    /// A path below a directory, empty or of parts that may be in one.
    package mutating func path(_ lengths: ClosedRange<Int>) -> String {
        text(lengths, of: "abc/0123456789ü€.").split(separator: "/").map { "p\($0)" }.joined(separator: "/")
    }

    /// Text of these characters.
    package mutating func text(_ lengths: ClosedRange<Int>, of alphabet: String) -> String {
        let characters = Array(alphabet)
        return String((0..<Int.random(in: lengths, using: &self)).map { _ in characters.randomElement(using: &self)! })
    }
}
