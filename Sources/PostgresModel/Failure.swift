/// The one error type of the program.
///
/// What a person reads is composed of four parts, in the manner of PostgreSQL's Error Message Style Guide: `message`
/// says "could not <verb> <object>: <reason>" in lower case without a full stop, `details` are facts, `hint` is a
/// sentence with a command to paste. What a script reads is `code`, which never changes once released, and the exit
/// status that follows from it. docs/errors.md lists every code.
package struct Failure: Error, Sendable, CustomStringConvertible {
    package let code: Code
    package let message: String
    package let details: [String]
    package let hint: String?

    package init(_ code: Code, _ message: String, details: [String] = [], hint: String? = nil) {
        self.code = code
        self.message = message
        self.details = details
        self.hint = hint
    }

    package var description: String {
        ([message] + details.map { "detail: \($0)" } + (hint.map { ["hint: \($0)"] } ?? [])).joined(separator: "\n")
    }

    package func adding(detail: String) -> Failure {
        Failure(code, message, details: details + [detail], hint: hint)
    }

    package enum Code: String, Sendable, CaseIterable {
        // Exit status 1: failed.
        case internalError = "internal-error"
        case diskFull = "disk-full"
        case inputOutput = "input-output"
        case permissionDenied = "permission-denied"
        case serverError = "server-error"
        case protocolViolation = "protocol-violation"
        case walConflict = "wal-conflict"
        case walGap = "wal-gap"
        case slotMissing = "slot-missing"
        case slotInUse = "slot-in-use"
        case damaged = "damaged"
        case unsupported = "unsupported"
        case programFailed = "program-failed"
        case timedOut = "timed-out"
        case labFailed = "lab-failed"
        // Exit status 3: refused.
        case confirmationNeeded = "confirmation-needed"
        case serverRunning = "server-running"
        case directoryNotEmpty = "directory-not-empty"
        case fileExists = "file-exists"
        case foreignSystem = "foreign-system"
        case targetUnreachable = "target-unreachable"
        case noSuitableBackup = "no-suitable-backup"
        case noSpace = "no-space"
        case diverged = "diverged"
        case backupKept = "backup-kept"
        // Exit status 5: a problem was found.
        case problemFound = "problem-found"
        // Exit status 6: it does not exist.
        case backupMissing = "backup-missing"
        case segmentMissing = "segment-missing"
        case nodeMissing = "node-missing"
        case clusterMissing = "cluster-missing"
        case labMissing = "lab-missing"
        // Exit status 7: locked.
        case locked = "locked"
        // Exit status 8: out of reach.
        case serverUnreachable = "server-unreachable"
        case authenticationFailed = "authentication-failed"
        case repositoryUnreachable = "repository-unreachable"
        case hostUnreachable = "host-unreachable"
        // Exit status 64: usage or configuration.
        case usage = "usage"
        case configuration = "configuration"
        // Exit status 130.
        case interrupted = "interrupted"

        package var exitStatus: Int32 {
            switch self {
            case .internalError, .diskFull, .inputOutput, .permissionDenied, .serverError, .protocolViolation, .walConflict,
                .walGap, .slotMissing, .slotInUse, .damaged, .unsupported, .programFailed, .timedOut, .labFailed:
                1
            case .confirmationNeeded, .serverRunning, .directoryNotEmpty, .fileExists, .foreignSystem, .targetUnreachable,
                .noSuitableBackup, .noSpace, .diverged, .backupKept:
                3
            case .problemFound: 5
            case .backupMissing, .segmentMissing, .nodeMissing, .clusterMissing, .labMissing: 6
            case .locked: 7
            case .serverUnreachable, .authenticationFailed, .repositoryUnreachable, .hostUnreachable: 8
            case .usage, .configuration: 64
            case .interrupted: 130
            }
        }
    }
}
