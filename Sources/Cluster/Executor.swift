import Hosts
package import PostgresModel
import Storage

/// Carries a plan out, step by step, in its order.
package struct Executor {
    let hosts: ClusterHosts
    let journal: Journal

    package init(_ hosts: ClusterHosts, journal: Journal) {
        self.hosts = hosts
        self.journal = journal
    }

    package struct Outcome: Sendable {
        package var done: [Plan.Step] = []
        /// Steps that failed, each with why, and those that were left out because of them.
        package var failed: [(step: Plan.Step, failure: Failure)] = []
        package var skipped: [Plan.Step] = []

        package init() {}

        package mutating func add(_ other: Outcome) {
            done += other.done
            failed += other.failed
            skipped += other.skipped
        }
    }

    /// `onStep` hears of each step before it is done and after.
    package func run(_ plan: Plan, _ known: [String: String], onStep: (Plan.Step, Progress) -> Void) throws -> Outcome {
        var secrets = Secrets(known)
        secrets.complete(ClusterRoles.all)
        var outcome = Outcome(), broken: Set<String> = []
        for (number, step) in plan.steps.enumerated() {
            try Interruption.check()
            guard !broken.contains(step.host), broken.isDisjoint(with: step.needs) else {
                outcome.skipped.append(step)
                broken.insert(step.host)
                continue
            }
            try journal.begin(number, of: plan.steps.count, step)
            onStep(step, .begins)
            do {
                let remark = try hosts.perform(step, secrets)
                try journal.end(number, step, remark: remark)
                onStep(step, .done(remark))
                outcome.done.append(step)
            } catch let failure as Failure {
                try journal.end(number, step, failure: failure)
                onStep(step, .failed(failure))
                outcome.failed.append((step, failure))
                broken.insert(step.host)
            }
        }
        try journal.end(of: plan)
        return outcome
    }

    package enum Progress: Sendable {
        case begins
        case done(String?)
        case failed(Failure)
    }
}
