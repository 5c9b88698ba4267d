/// Where a restore is to end (PostgreSQL documentation: 20.5.6, recovery target).
package struct RecoveryTarget: Codable, Sendable, Equatable {
    package enum Point: Codable, Sendable, Equatable {
        case endOfWAL
        case time(Timestamp)
        case lsn(LSN)
        case transaction(String)
        case name(String)
        /// As soon as the backup is consistent.
        case immediate
    }

    package enum Timeline: Codable, Sendable, Equatable {
        case latest
        case current
        case id(TimelineID)
    }

    package enum Action: String, Codable, Sendable, CaseIterable {
        case pause, promote, shutdown
    }

    package var point: Point
    package var isInclusive: Bool
    package var timeline: Timeline
    package var action: Action

    package init(
        point: Point = .endOfWAL, isInclusive: Bool = true, timeline: Timeline = .latest, action: Action = .promote
    ) {
        self.point = point
        self.isInclusive = isInclusive
        self.timeline = timeline
        self.action = action
    }

    /// The recovery settings of PostgreSQL 12 and newer that lead to this target, in the order of the documentation.
    package var settings: [(name: String, value: String)] {
        var settings: [(name: String, value: String)] = []
        switch point {
        case .endOfWAL: break
        case .time(let time): settings.append(("recovery_target_time", time.postgresText))
        case .lsn(let lsn): settings.append(("recovery_target_lsn", lsn.description))
        case .transaction(let xid): settings.append(("recovery_target_xid", xid))
        case .name(let name): settings.append(("recovery_target_name", name))
        case .immediate: settings.append(("recovery_target", "immediate"))
        }
        settings.append(("recovery_target_inclusive", isInclusive ? "true" : "false"))
        switch timeline {
        case .latest: settings.append(("recovery_target_timeline", "latest"))
        case .current: settings.append(("recovery_target_timeline", "current"))
        case .id(let id): settings.append(("recovery_target_timeline", id.description))
        }
        settings.append(("recovery_target_action", action.rawValue))
        return settings
    }
}

extension RecoveryTarget: CustomStringConvertible {
    package var description: String {
        let before = isInclusive ? "" : "just before "
        return switch point {
        case .endOfWAL: "the end of WAL"
        case .time(let time): "\(before)\(time)"
        case .lsn(let lsn): "\(before)LSN \(lsn)"
        case .transaction(let xid): "\(before)transaction \(xid)"
        case .name(let name): "restore point \"\(name)\""
        case .immediate: "the end of the backup"
        }
    }
}
