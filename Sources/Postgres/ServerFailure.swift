package import PostgresModel

/// Turns an error that the server reported into a `Failure`, with the way out where we know one.
enum ServerFailure {
    static func failure(message: String, state: String, details: [String], hint: String?) -> Failure {
        let (code, ours): (Failure.Code, String?) =
            switch state {
            case "42501": (.permissionDenied, "Give the role what it needs; `pgark check` names each missing privilege.")
            case "55006": (.slotInUse, "Another process streams from this slot. Stop it, or give this one its own slot.")
            case "42704" where message.contains("replication slot"): (.slotMissing, nil)
            case "53100": (.diskFull, nil)
            case "58P01" where namesSegment(message): (.walGap, "Take a new backup: pgark backup")
            case "57P01", "57P02", "57P03", "08006", "08003": (.serverUnreachable, nil)
            default: (.serverError, nil)
            }
        return Failure(code, "could not run a command on PostgreSQL: \(message)", details: details, hint: hint ?? ours)
    }

    /// The server speaks the language of its lc_messages; the name of a segment that it no longer has is the same in all of them.
    private static func namesSegment(_ message: String) -> Bool {
        message.split { !$0.isASCII || !($0.isLetter || $0.isNumber) }.contains {
            $0.utf8.count == 24 && $0.allSatisfy(\.isHexDigit)
        }
    }
}

extension Failure {
    /// True for what a server reported under this SQLSTATE (PostgreSQL documentation: appendix A).
    package func hasSQLState(_ state: String) -> Bool { details.contains { $0.hasPrefix("SQLSTATE \(state) ") } }
}
