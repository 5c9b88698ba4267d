import CYAML

/// A text as libyaml reads it: its values, each with its place. Whatever they mean, they are text here; a mapping keeps all its
/// pairs, also those whose key is given twice.
final class YAMLDocument {
    /// Why a text is no YAML, and where.
    struct Problem: Error {
        let position: Position
        let reason: String
    }

    fileprivate let document: UnsafeMutablePointer<yaml_document_t>

    private init(_ document: UnsafeMutablePointer<yaml_document_t>) { self.document = document }

    deinit {
        yaml_document_delete(document)
        document.deallocate()
    }

    /// The value that the text is; nil for an empty one.
    static func root(of text: String) throws -> YAMLNode? {
        var parser = yaml_parser_t()
        precondition(yaml_parser_initialize(&parser) == 1, "the system has no memory left")
        defer { yaml_parser_delete(&parser) }
        var text = text
        return try text.withUTF8 { bytes in
            yaml_parser_set_input_string(&parser, bytes.baseAddress, bytes.count)
            yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING)
            guard let root = try next(&parser, bytes) else { return nil }
            if let other = try next(&parser, bytes) {
                throw Problem(position: other.position, reason: "a second document begins here; there can be only one")
            }
            return root
        }
    }

    /// Nil at the end.
    private static func next(_ parser: inout yaml_parser_t, _ bytes: UnsafeBufferPointer<UInt8>) throws -> YAMLNode? {
        let memory = UnsafeMutablePointer<yaml_document_t>.allocate(capacity: 1)
        guard yaml_parser_load(&parser, memory) == 1 else {
            memory.deallocate()
            throw problem(parser, bytes)
        }
        let document = YAMLDocument(memory)
        return yaml_document_get_root_node(memory) == nil ? nil : YAMLNode(document: document, index: 1)
    }

    private static func problem(_ parser: yaml_parser_t, _ bytes: UnsafeBufferPointer<UInt8>) -> Problem {
        let what = parser.problem.map { String(cString: $0) } ?? "it cannot be read"
        if parser.error == YAML_READER_ERROR {
            // It has no mark yet, only how many bytes are before it.
            let before = String(decoding: bytes.prefix(Int(parser.problem_offset)), as: UTF8.self).unicodeScalars
            let lines = before.split(separator: "\n", omittingEmptySubsequences: false)
            return Problem(
                position: Position(line: lines.count, column: (lines.last?.count ?? 0) + 1), reason: "this is not text: \(what)")
        }
        let begun = parser.context.map { " (\(String(cString: $0)), begun in line \(parser.context_mark.line + 1))" } ?? ""
        // What YAML gives a meaning of its own: @daily, %a, * * * * *
        let hint =
            what.contains("cannot start any token") || begun.contains("scanning an alias")
            ? "; a value that begins so needs quotes" : ""
        return Problem(position: Position(parser.problem_mark), reason: "this is not YAML: \(what)\(begun)\(hint)")
    }
}

/// One value of a YAML text.
struct YAMLNode {
    fileprivate let document: YAMLDocument
    /// libyaml counts them from 1.
    fileprivate let index: Int32

    private var node: UnsafeMutablePointer<yaml_node_t> { yaml_document_get_node(document.document, index) }

    var position: Position { Position(node.pointee.start_mark) }

    /// Nil for lists and mappings.
    var text: String? {
        guard node.pointee.type == YAML_SCALAR_NODE else { return nil }
        let scalar = node.pointee.data.scalar
        return String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
    }

    /// True for one that is written without quotes, and so may be a number, a truth, or nothing.
    var isPlain: Bool { node.pointee.type == YAML_SCALAR_NODE && node.pointee.data.scalar.style == YAML_PLAIN_SCALAR_STYLE }

    /// True for a value that is written as none.
    var isNull: Bool { isPlain && ["", "~", "null", "Null", "NULL"].contains(text) }

    /// In the order of the file; nil for anything but a list.
    var elements: [YAMLNode]? {
        guard node.pointee.type == YAML_SEQUENCE_NODE else { return nil }
        let items = node.pointee.data.sequence.items
        return UnsafeBufferPointer(start: items.start, count: items.top - items.start).map {
            YAMLNode(document: document, index: $0)
        }
    }

    /// In the order of the file; nil for anything but a mapping.
    var pairs: [(key: YAMLNode, value: YAMLNode)]? {
        guard node.pointee.type == YAML_MAPPING_NODE else { return nil }
        let pairs = node.pointee.data.mapping.pairs
        return UnsafeBufferPointer(start: pairs.start, count: pairs.top - pairs.start).map {
            (YAMLNode(document: document, index: $0.key), YAMLNode(document: document, index: $0.value))
        }
    }
}

extension Position {
    fileprivate init(_ mark: yaml_mark_t) { self.init(line: mark.line + 1, column: mark.column + 1) }
}
