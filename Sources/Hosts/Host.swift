import Glibc
import PostgresModel
import Storage
package import SystemPackage

/// A machine of the cluster, and how programs are run there.
package struct Host: Hashable, Sendable {
    package enum Way: Hashable, Sendable {
        case here
        /// What the system's ssh takes as destination: an alias of its configuration, or [user@]address.
        case ssh(String)
    }

    /// As the cluster file calls it.
    package let name: String
    package let way: Way

    package init(name: String, way: Way) {
        self.name = name
        self.way = way
    }

    /// True where this address (a name or a number) is one of this machine's own.
    package static func isHere(_ address: String) -> Bool {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(address, nil, &hints, &found) == 0 else { return false }
        defer { freeaddrinfo(found) }
        var entry = found
        while let info = entry?.pointee {
            if isOwn(info) { return true }
            entry = info.ai_next
        }
        return false
    }

    /// Only a machine's own address can be bound to.
    private static func isOwn(_ info: addrinfo) -> Bool {
        let descriptor = socket(info.ai_family, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return bind(descriptor, info.ai_addr, info.ai_addrlen) == 0
    }
}

/// This very program.
package enum OwnProgram {
    package static var path: FilePath { Directory.linkTarget("/proc/self/exe") ?? "/proc/self/exe" }

    /// The SHA-256 of the running executable.
    package static func digest() throws -> String {
        let file = try File("/proc/self/exe", .read)
        let sum = try SHA256()
        try withUnsafeTemporaryAllocation(byteCount: 1 << 20, alignment: 4096) { buffer in
            var offset = 0
            while case let count = try file.read(at: offset, into: buffer), count > 0 {
                sum.add(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                offset += count
            }
        }
        return sum.hexadecimal()
    }
}
