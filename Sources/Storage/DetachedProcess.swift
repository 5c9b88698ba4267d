internal import CLinux
import Glibc
import PostgresModel
import SystemPackage

/// This same program, started to go on by itself after we have ended.
package enum DetachedProcess {
    /// In a session of its own, so that nobody's signals to a group reach it, and without any of our descriptors: a server's
    /// log would otherwise stay open in it.
    package static func start(_ arguments: [String]) throws {
        var words = (["pgark"] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        let status = pgark_start_detached(&words)
        guard status == 0 else {
            throw Failure.system("start", FilePath("pgark \(arguments.joined(separator: " "))"), error: status)
        }
    }
}
