import Glibc
import PostgresModel

/// TCP ports of 127.0.0.1.
package enum LoopbackPort {
    /// The first `count` ports from `base` on that nobody listens on.
    package static func free(_ count: Int, from base: Int) throws -> [Int] {
        let ports = Array((base..<min(base + 1000, 65536)).lazy.filter(isFree).prefix(count))
        guard ports.count == count else {
            throw Failure(
                .labFailed, "could not find \(count) free ports from \(base) on", hint: "Name another base: --port 55000")
        }
        return ports
    }

    package static func isFree(_ port: Int) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var on: Int32 = 1  // as the server does, so that connections of before that linger do not count
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}
