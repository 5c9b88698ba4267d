import PostgresModel

/// One node of the cluster file together with what was found of it, judged.
struct NodeState {
    let node: ClusterFile.Node
    let placement: ClusterFile.Placement
    var facts: InstanceFacts
    let layout: InstanceLayout
    let judgement: Judgement

    var name: String { node.name }
    var server: ServerFacts? { facts.server }

    enum Judgement: Equatable {
        /// There is nothing; a server is to be made.
        case missing
        case running
        /// There is one of our system that does not run.
        case stopped
        /// Freshly made by a package, used by nobody, and not the one that the cluster is.
        case replaceable
        /// To be a standby again by pg_rewind, on its directory or on a copy of it.
        case rewindable(inPlace: Bool)
    }

    /// False where a server is to be made.
    var exists: Bool { judgement == .running || judgement == .stopped }

    var major: Int { control?.major ?? facts.version.map { $0 / 10000 } ?? 0 }

    var control: ControlFacts? {
        if case .present(let control) = facts.data { control } else { nil }
    }

    /// A standby, by what it says, or by what it would start as.
    var isStandby: Bool { server?.isInRecovery ?? facts.hasStandbySignal }
    var timeline: UInt32 { server?.timeline ?? control?.timeline ?? 0 }
    var system: UInt64? { server?.systemIdentifier ?? control?.systemIdentifier }
}

/// Why a node cannot be worked on.
struct NodeProblem: Error {
    let reason: String
    let hint: String?

    init(_ reason: String, hint: String? = nil) {
        self.reason = reason
        self.hint = hint
    }
}
