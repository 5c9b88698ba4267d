import PostgresModel

/// From one server of a cluster to all of them: up to the primary, and down to every standby.
package struct ClusterDiscovery {
    package struct Server: Sendable, Equatable {
        /// How others reach it.
        package var address: String
        package var port: Int
        /// Nil where it could not be asked.
        package var survey: ServerSurvey?
        /// Why not; and whether there is a PostgreSQL at all.
        package var problem: String?
        package var isThere = true
        /// Whom it follows, as a place in the list; nil for the primary.
        package var upstream: Int?
        /// What its upstream calls it.
        package var application = ""
    }

    /// Asks the servers at an address; the port is a guess.
    package typealias Ask = (_ address: String, _ port: Int) throws -> [ServerSurvey]
    package let ask: Ask

    package init(_ ask: @escaping Ask) { self.ask = ask }

    private static let mostHops = 8

    /// The primary above a standby, as far up as it takes, with the address at which it answered.
    package func primary(above start: ServerSurvey, at address: String) throws -> (
        survey: ServerSurvey, address: String, port: Int
    ) {
        var (survey, address, port) = (start, address, start.port)
        for _ in 0..<Self.mostHops {
            guard survey.isInRecovery else { return (survey, address, port) }
            guard let upstream = survey.upstream else {
                throw Failure(
                    .nodeMissing, "could not find the primary: \(address):\(port) is a standby that follows nobody",
                    hint: "Name the primary: pgark init --from \"host=ADDRESS user=postgres\"")
            }
            let next = Self.isLocal(upstream.host) ? address : upstream.host
            do {
                let found = try ask(next, upstream.port)
                guard let above = found.first(where: { $0.systemIdentifier == survey.systemIdentifier }) else {
                    throw Failure(.foreignSystem, "the server there is of another system")
                }
                (survey, address, port) = (above, next, upstream.port)
            } catch let failure as Failure {
                throw Failure(
                    failure.code,
                    "could not ask the primary: \(address):\(port) is a standby of \(next):\(upstream.port), which did not answer",
                    details: [failure.message] + failure.details,
                    hint:
                        "Name it, with a role that may log in: pgark init --from \"host=\(next) port=\(upstream.port) user=postgres\""
                )
            }
        }
        throw Failure(
            .nodeMissing, "could not find the primary: there are more than \(Self.mostHops) servers in a row above \(address)")
    }

    /// The primary first, each server behind the one that it follows.
    package func servers(of primary: ServerSurvey, at address: String, port: Int) -> [Server] {
        var servers = [Server(address: address, port: port, survey: primary)]
        var index = 0
        while index < servers.count {
            let upstream = servers[index]
            for standby in upstream.survey?.standbys ?? [] {
                let place = standby.address.flatMap { Self.isLocal($0) ? nil : $0 } ?? upstream.address
                let found = look(for: standby, at: place, upstream, primary.systemIdentifier)
                let isKnown = servers.contains { $0.address == found.address && $0.port == found.port && found.isThere }
                if !isKnown { servers.append(with(found, upstream: index, standby.application)) }
            }
            index += 1
        }
        return servers
    }

    private func with(_ server: Server, upstream: Int, _ application: String) -> Server {
        var server = server
        server.upstream = upstream
        server.application = application
        return server
    }

    private func look(for standby: ServerSurvey.Standby, at address: String, _ upstream: Server, _ system: UInt64) -> Server {
        do {
            let found = try ask(address, upstream.port).filter { $0.systemIdentifier == system && $0.isInRecovery }
            let right = found.first { $0.slot != nil && $0.slot == standby.slot } ?? found.first
            if let right { return Server(address: address, port: right.port, survey: right) }
            return Server(
                address: address, port: upstream.port, problem: "what answers on this port is not the standby", isThere: false)
        } catch {
            let failure = error as? Failure
            return Server(
                address: address, port: upstream.port, problem: failure?.message ?? "\(error)",
                isThere: failure?.code == .authenticationFailed)
        }
    }

    /// True for a way that leads nowhere but to the same machine.
    package static func isLocal(_ host: String) -> Bool {
        host.hasPrefix("/") || host.hasPrefix("@") || host.hasPrefix("127.") || ["localhost", "::1", ""].contains(host)
    }
}
