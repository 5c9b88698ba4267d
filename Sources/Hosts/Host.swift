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

    /// True where an interface has it; the loopback interface has all of 127.0.0.0/8.
    private static func isOwn(_ info: addrinfo) -> Bool {
        let address = bytes(info.ai_addr)
        if info.ai_family == AF_INET, address.first == 127 { return true }
        var interfaces: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&interfaces) == 0 else { return false }
        defer { freeifaddrs(interfaces) }
        return sequence(first: interfaces, next: { $0?.pointee.ifa_next }).contains { entry in
            guard let known = entry?.pointee.ifa_addr, Int32(known.pointee.sa_family) == info.ai_family else { return false }
            return bytes(known) == address
        }
    }

    /// The address without its port.
    private static func bytes(_ address: UnsafeMutablePointer<sockaddr>) -> [UInt8] {
        let raw = UnsafeRawPointer(address)
        switch Int32(address.pointee.sa_family) {
        case AF_INET: return withUnsafeBytes(of: raw.loadUnaligned(as: sockaddr_in.self).sin_addr) { Array($0) }
        case AF_INET6: return withUnsafeBytes(of: raw.loadUnaligned(as: sockaddr_in6.self).sin6_addr) { Array($0) }
        default: return []
        }
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
