import Postgres
import PostgresModel

/// How late standbys are, as their upstreams measured it: each knows when it sent what, and hears what is replayed
/// (PostgreSQL: src/backend/replication/walsender.c, LagTrackerRead).
extension ClusterView {
    /// How far a standby's replay is behind the primary. No seconds where nobody has measured them.
    func lag(of standby: Reached) -> (bytes: ByteCount?, seconds: Double?) {
        let own = standby.server
        guard let end = primary?.server.positions.current, let replayed = own.positions.replayed else {
            return (nil, own.walReceiver == nil ? own.positions.replayedAgeSeconds : nil)
        }
        let bytes = max(0, end - replayed)
        // With nothing left to replay the age of the last commit says how idle the primary is, not how late we are.
        if bytes == 0 { return (ByteCount(0), 0) }
        return (ByteCount(bytes), replayLag(of: standby) ?? replayedAge(of: standby))
    }

    /// Its own lag behind what its upstream has, and that one's behind the primary.
    private func replayLag(of standby: Reached) -> Double? {
        guard standby.server.walReceiver != nil, let sender = sender(to: standby), let above = upstreamLag(of: standby, []) else {
            return nil
        }
        return sender.lag(sender.replayLagSeconds, reached: sender.replayedLSN).map { $0 + above }
    }

    /// How late what an upstream sends on is already there; nothing where that is the primary.
    private func upstreamLag(of standby: Reached, _ seen: Set<String>) -> Double? {
        guard let upstream = upstream(of: standby), upstream.server.isInRecovery else { return 0 }
        guard !seen.contains(upstream.name), upstream.server.walReceiver != nil, let sender = sender(to: upstream),
            let above = upstreamLag(of: upstream, seen.union([standby.name]))
        else { return nil }
        return sender.lag(sender.flushLagSeconds, reached: sender.flushedLSN).map { $0 + above }
    }

    /// The most that it can be. On purpose late, it has commits to replay that may be much younger than the last replayed one.
    private func replayedAge(of standby: Reached) -> Double? {
        standby.server.delaySeconds > 0 && standby.server.walReceiver != nil ? nil : standby.server.positions.replayedAgeSeconds
    }
}

extension ServerObservation.WALSender {
    /// The server measures nothing while there is nothing on its way.
    fileprivate func lag(_ measured: Double?, reached position: LSN?) -> Double? {
        if let measured { return measured }
        guard let position, let sentLSN, position >= sentLSN else { return nil }
        return 0
    }
}
