import PostgresModel

/// What `apply` would do, in this order, and what speaks against it.
package struct Plan: Codable, Sendable, Equatable {
    package var steps: [Step] = []
    /// What cannot be done, each with its way out. The rest of the plan is done all the same.
    package var blocked: [Blockage] = []
    /// What was seen and is left alone.
    package var remarks: [String] = []
    /// How long the primary takes no writes, as far as that can be known beforehand.
    package var writeOutageSeconds: Double { steps.reduce(0) { $0 + $1.writeOutageSeconds } }
    package var mayLoseData = false

    /// What the repository's host is called among the nodes.
    package static let repositoryHost = "repository"

    package init() {}

    /// Another that was made when this one was carried out.
    package mutating func goOn(with next: Plan) {
        steps += next.steps
        blocked = next.blocked
        remarks = next.remarks
        mayLoseData = mayLoseData || next.mayLoseData
    }

    /// True where both do the same at the same risk. How much there is to copy, and what is only said, may have moved.
    package func doesTheSame(as other: Plan) -> Bool {
        func deeds(_ plan: Plan) -> [Step] {
            plan.steps.map { step in
                var step = step
                step.copiedBytes = nil
                return step
            }
        }
        return deeds(self) == deeds(other) && mayLoseData == other.mayLoseData
    }

    /// A server that does not run shows neither its roles nor its slots.
    package var startsStopped: Bool { changes.contains { $0.object == "server" && $0.from == "stopped" } }

    package var changes: [Change] { steps.flatMap(\.changes) }

    /// One action on one host, and what it changes.
    package struct Step: Codable, Sendable, Equatable {
        /// A node's name, or `repository`.
        package var host: String
        package var action: HostAction
        package var changes: [Change]
        /// Hosts on which nothing may have failed before.
        package var needs: [String] = []
        package var writeOutageSeconds = 0.0
        /// About how much it brings to the host, where that takes its time.
        package var copiedBytes: Int?
        /// What it means for those who write; nil where they notice nothing.
        package var outage: Outage?

        package enum Outage: String, Codable, Sendable {
            /// From its begin on nobody can write.
            case begins
            /// When it is done they can again.
            case ends
            /// Both.
            case within
        }
    }

    package struct Change: Codable, Sendable, Equatable {
        package var action: Kind
        package var node: String
        package var object: String
        package var from: String?
        package var to: String?
        package var effect = Effect.none

        package enum Kind: String, Codable, Sendable { case create, change, remove }
        package enum Effect: String, Codable, Sendable, Comparable {
            case none, reload, restart

            package static func < (a: Effect, b: Effect) -> Bool { a.rank < b.rank }
            private var rank: Int { [.none: 0, .reload: 1, .restart: 2][self]! }
        }
    }

    package struct Blockage: Codable, Sendable, Equatable {
        package var node: String
        package var reason: String
        package var hint: String?
        /// Nothing is wrong but that it cannot be asked.
        package var isUnreachable = false
    }
}
