/// What `strace -f -ttt -y -xx -o FILE` wrote, one line after the other, cut into begins and ends of system calls.
///
/// strace sees a call begin and end at the moments when it writes so. Therefore the order of the lines is the order of
/// events: a call whose end stands above another's begin was over before.
struct SystemCallTrace {
    struct Call {
        let thread: String
        let name: String
        /// As printed, hexadecimal strings included.
        var arguments: String
        /// Nil while it runs.
        var result: Int?

        /// The file behind the descriptor that is the first argument; strace says it between angle brackets.
        var file: String {
            arguments.split(separator: "<").dropFirst().first?.split(separator: ">").first.map(Self.decoded) ?? ""
        }

        /// The strings among the arguments. One that strace cut short counts as damaged: it throws.
        func strings() throws -> [[UInt8]] {
            guard !arguments.contains("\"...") else { throw TraceFailure("a string is cut short: \(name)") }
            return arguments.split(separator: "\"", omittingEmptySubsequences: false).enumerated()
                .compactMap { $0.offset % 2 == 1 ? Self.bytes($0.element) : nil }
        }

        var paths: [String] { get throws { try strings().map { String(decoding: $0, as: UTF8.self) } } }

        /// Numbers that follow the last string, in order.
        var numbers: [Int] {
            let tail = arguments.split(separator: "\"", omittingEmptySubsequences: false).last ?? ""
            return tail.split(separator: ",").compactMap { Int($0.filter { !$0.isWhitespace && $0 != ")" }) }
        }

        private static func decoded(_ text: Substring) -> String { String(decoding: bytes(text), as: UTF8.self) }

        private static func bytes(_ text: Substring) -> [UInt8] {
            guard text.hasPrefix("\\x") else { return Array(text.utf8) }
            return text.split(separator: "\\x").compactMap { UInt8($0, radix: 16) }
        }
    }

    enum Event {
        case begin(Call)
        case end(Call)
    }

    let events: [Event]

    init(parsing text: String) throws {
        var events: [Event] = []
        var running: [String: Call] = [:]
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: true)
            guard fields.count == 3 else { throw TraceFailure("not a line of a trace: \(line)") }
            let thread = String(fields[0])
            let rest = fields[2].drop { $0 == " " }
            if rest.hasPrefix("+++") || rest.hasPrefix("---") { continue }
            if rest.hasPrefix("<... ") {
                guard var call = running.removeValue(forKey: thread) else { throw TraceFailure("ends without a begin: \(line)") }
                call.result = Self.result(rest)
                events.append(.end(call))
                continue
            }
            guard let parenthesis = rest.firstIndex(of: "(") else { throw TraceFailure("not a call: \(line)") }
            var call = Call(thread: thread, name: String(rest[..<parenthesis]), arguments: "", result: nil)
            let body = rest[rest.index(after: parenthesis)...]
            if body.hasSuffix("<unfinished ...>") {
                call.arguments = String(body.dropLast("<unfinished ...>".count))
                running[thread] = call
                events.append(.begin(call))
            } else {
                call.arguments = Self.beforeResult(body)
                events.append(.begin(call))
                call.result = Self.result(rest)
                events.append(.end(call))
            }
        }
        self.events = events
    }

    /// What follows the last " = "; nil where the process ended first ("= ?").
    private static func result(_ line: Substring) -> Int? {
        guard let sign = line.ranges(of: ") ").last(where: { line[$0.upperBound...].trimmingSpaces.hasPrefix("= ") }) else {
            return nil
        }
        let text = line[sign.upperBound...].trimmingSpaces.dropFirst(2)
        return Int(text.prefix { $0 == "-" || $0.isNumber })
    }

    private static func beforeResult(_ body: Substring) -> String {
        guard let end = body.ranges(of: ") ").last(where: { body[$0.upperBound...].trimmingSpaces.hasPrefix("= ") }) else {
            return String(body)
        }
        return String(body[..<end.lowerBound])
    }
}

extension Substring {
    fileprivate var trimmingSpaces: Substring { drop { $0 == " " } }
}

struct TraceFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
