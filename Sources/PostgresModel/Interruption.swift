internal import CLinux

/// The process was asked to end (SIGINT, SIGTERM, SIGHUP). Long work looks here between its steps and ends in order.
package enum Interruption {
    package static func install() { pgark_catch_interrupts() }

    package static var isRequested: Bool { pgark_interrupted() != 0 }

    package static func check() throws {
        if isRequested { throw Failure(.interrupted, "interrupted; the repository is as it was before") }
    }
}
