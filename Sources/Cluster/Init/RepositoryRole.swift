package import Postgres
import PostgresModel

/// pgark's own role on a server that it only protects.
package enum RepositoryRole {
    package static let name = ClusterRoles.repository

    /// What makes it what it needs to be. `verifier`: in place of a new password.
    static func statements(_ known: ServerSurvey.Role?, verifier: String?) -> [String] {
        guard let known else { return ClusterRoles.creation(of: name, verifier: verifier ?? "") }
        var statements: [String] = []
        if !known.mayLogIn || !known.mayReplicate { statements.append("ALTER ROLE \(name) LOGIN REPLICATION") }
        if let verifier { statements.append("ALTER ROLE \(name) PASSWORD '\(verifier)'") }
        return statements + known.missingGrants.map { ClusterRoles.statement(granting: $0, to: name) }
    }

    /// Makes it, or gives it what it lacks. The password stays here; the server gets what it keeps instead.
    package static func make(_ known: ServerSurvey.Role?, password: String?, on connection: Connection) throws {
        let statements = statements(known, verifier: try password.map { try PasswordVerifier.scram($0) })
        if !statements.isEmpty { try connection.runUnlogged(statements) }
    }

    /// The same for a person to type into psql, who chooses the password.
    package static var script: [String] {
        ["SET password_encryption = 'scram-sha-256';", "CREATE ROLE \(name) LOGIN REPLICATION;", "\\password \(name)"]
            + ClusterRoles.grants(name).map { ClusterRoles.statement(granting: $0, to: name) + ";" }
    }
}
