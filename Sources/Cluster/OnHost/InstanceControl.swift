import Hosts
import Postgres
import PostgresModel
import Storage
import SystemPackage

/// Starts, stops and reloads a server: with pg_ctlcluster where postgresql-common has it, else with pg_ctl.
struct InstanceControl {
    let site: InstanceSite

    /// A recovery may take hours until it is consistent; that a server ends meanwhile is noticed at once.
    private static let startSeconds = 86_400
    /// The checkpoint of a large server.
    private static let stopSeconds = 1800

    var isRunning: Bool { Postmaster(site.data) != nil }

    func start() throws {
        if isRunning { return }
        switch site.layout.kind {
        case .debian: try cluster("start", [], Self.startSeconds)
        case .plain: try control(["start", "--log=\(site.layout.log)"], Self.startSeconds)
        }
    }

    func stop() throws {
        guard isRunning else { return }
        switch site.layout.kind {
        case .debian: try cluster("stop", ["--force"], Self.stopSeconds)
        case .plain: try control(["stop", "--mode=fast"], Self.stopSeconds)
        }
    }

    /// A standby may not start with less of some settings than its primary last said that it has (PostgreSQL:
    /// src/backend/access/transam/xlogrecovery.c, RecoveryRequiresIntParameter), so first it must have heard of the lower ones.
    func restart(lowered: [String: Int]) throws {
        if !lowered.isEmpty { try awaitLowered(lowered) }
        try stop()
        try start()
    }

    private func awaitLowered(_ lowered: [String: Int]) throws {
        let deadline = Deadline(seconds: 60)
        while true {
            let required = try InstanceObserver.control(site).required
            let higher = lowered.filter { required[$0.key].map { [new = $0.value] in $0 > new } ?? false }
            if higher.isEmpty { return }
            try deadline.check(
                "could not restart with less \(higher.keys.sorted().joined(separator: ", ")): the standby has not replayed yet that "
                    + "its primary has less")
            pause(milliseconds: 200)
        }
    }

    private func control(_ arguments: [String], _ seconds: Int) throws {
        try run(
            site.command(
                site.program("pg_ctl"),
                arguments + ["--pgdata=\(site.data)", "--wait", "--timeout=\(seconds)", "--silent"]), seconds)
    }

    private func cluster(_ verb: String, _ options: [String], _ seconds: Int) throws {
        try run(Command("/usr/bin/pg_ctlcluster", options + [site.major, site.layout.debianName ?? "main", verb]), seconds)
    }

    /// With the last lines of the server's log, which say why.
    private func run(_ command: Command, _ seconds: Int) throws {
        var command = command
        command.environment["LC_ALL"] = "C"
        command.environment["PGCTLTIMEOUT"] = String(seconds)
        command.timeoutSeconds = Double(seconds) + 10
        do { try command.run() } catch let failure as Failure where failure.code == .programFailed {
            let lines = ((try? SmallFile.readText(FilePath(site.layout.log))) ?? "").split(whereSeparator: \.isNewline).suffix(6)
            throw Failure(
                .programFailed, failure.message, details: failure.details + lines.map(String.init),
                hint: "The whole of the server's log: \(site.layout.log)")
        }
    }
}
