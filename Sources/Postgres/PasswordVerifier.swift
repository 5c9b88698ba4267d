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
}
