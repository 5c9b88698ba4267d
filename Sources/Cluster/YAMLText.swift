/// Values as a cluster file has them.
enum YAMLText {
    /// Without quotes where it can be read as nothing but this text, inside of { } too.
    static func scalar(_ text: String) -> String {
        let isSafe = text.utf8.allSatisfy { byte in
            let character = Character(Unicode.Scalar(byte))
            return byte < 0x80 && (character.isLetter || character.isNumber || "_./@-".contains(character))
        }
        let isWord = !text.isEmpty && !"-@".contains(text.first!) && Double(text) == nil
        let isTruth = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"].contains(text.lowercased())
        return isSafe && isWord && !isTruth ? text : quoted(text)
    }

    static func quoted(_ text: String) -> String {
        "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }

    static func mapping(_ pairs: [(key: String, value: String)]) -> String {
        "{ " + pairs.map { "\($0.key): \($0.value)" }.joined(separator: ", ") + " }"
    }
}

extension ClusterFile.Placement {
    /// As the mapping of a node says it.
    var yaml: String {
        var pairs = [("host", YAMLText.scalar(host))]
        if port != 5432 { pairs.append(("port", "\(port)")) }
        if ssh != host { pairs.append(("ssh", YAMLText.scalar(ssh))) }
        if let data { pairs.append(("data", YAMLText.scalar(data))) }
        if let slot { pairs.append(("slot", YAMLText.scalar("\(slot)"))) }
        if let upstream { pairs.append(("upstream", YAMLText.scalar(upstream))) }
        if let delaySeconds { pairs.append(("delay", "\(Int(delaySeconds))s")) }
        return YAMLText.mapping(pairs.map { (key: $0.0, value: $0.1) })
    }
}
