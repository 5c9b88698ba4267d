internal import CCrypto
import CLibPQ
import Glibc
import PostgresModel

/// What a server keeps instead of a password: SCRAM's salted hash. Made on our side, so that the password itself
/// crosses no wire and stands in no statement and no server's log (PostgreSQL documentation: 34.7, PQencryptPasswordConn).
package enum PasswordVerifier {
    /// "SCRAM-SHA-256$4096:…", to be given to CREATE ROLE … PASSWORD.
    package static func scram(_ password: String) throws -> String {
        // libpq wants a connection to take its settings from, but asks the server nothing where the algorithm is
        // named: one that was never opened will do. Port 0 ends the attempt before any packet is sent.
        let handle = PQconnectStart("host=127.0.0.1 port=0")
        defer { PQfinish(handle) }
        guard let handle, let verifier = PQencryptPasswordConn(handle, password, "", "scram-sha-256") else {
            throw Failure(.internalError, "could not make a password verifier")
        }
        defer { PQfreemem(verifier) }
        return String(cString: verifier)
    }

    /// True where a verifier was made of this password.
    ///
    /// SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey, where StoredKey is SHA-256(HMAC(PBKDF2(password, salt), "Client Key"))
    /// (RFC 5802 and 7677; PostgreSQL: src/common/scram-common.c, scram_build_secret). For passwords of ASCII, as ours are:
    /// others would have to be normalised first.
    package static func matches(_ verifier: String, password: String) -> Bool {
        let parts = verifier.split(separator: "$").map(String.init)
        guard parts.count == 3, parts[0] == "SCRAM-SHA-256" else { return false }
        let head = parts[1].split(separator: ":").map(String.init), keys = parts[2].split(separator: ":").map(String.init)
        guard head.count == 2, keys.count == 2, let iterations = Int32(head[0]), let salt = Base64.bytes(head[1]),
            let stored = Base64.bytes(keys[0]), stored.count == 32
        else { return false }
        var own = [UInt8](repeating: 0, count: 32)
        let password = Array(password.utf8)
        guard pgark_scram_stored_key(password, password.count, salt, salt.count, iterations, &own) == 1 else { return false }
        return own == stored
    }
}

enum Base64 {
    static func bytes(_ text: String) -> [UInt8]? {
        var bytes: [UInt8] = []
        var value: UInt32 = 0, bits = 0
        for character in text.utf8 where character != UInt8(ascii: "=") {
            let digit: UInt8
            switch character {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): digit = character - 65
            case UInt8(ascii: "a")...UInt8(ascii: "z"): digit = character - 71
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = character + 4
            case UInt8(ascii: "+"): digit = 62
            case UInt8(ascii: "/"): digit = 63
            default: return nil
            }
            value = value << 6 | UInt32(digit)
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: value >> UInt32(bits)))
            }
        }
        return bytes
    }
}
