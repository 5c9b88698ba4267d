/// A PostgreSQL server's version as server_version_num has it: 180004 is 18.4.
package struct ServerVersion: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let number: Int

    package init(number: Int) { self.number = number }

    package var major: Int { number / 10000 }
    package var minor: Int { number % 10000 }
    package var description: String { "\(major).\(minor)" }
    package static func < (a: ServerVersion, b: ServerVersion) -> Bool { a.number < b.number }

    /// The majors that pgark knows the replication protocol and the file formats of.
    package static let supportedMajors = 15...18
}
