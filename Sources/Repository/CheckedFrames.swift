import Storage

/// Frames that one run of verifications has looked at already: backups share most of theirs, and each is looked at once.
package final class CheckedFrames: Sendable {
    enum Finding: Equatable { case good, bad(String) }

    private struct Frames {
        /// A bit for each frame of a pack that was found good.
        var good: [String: [UInt64]] = [:]
        var bad: [DamageReport.Frame: String] = [:]
    }

    private let frames = Monitor(Frames())

    package init() {}

    /// Nil for a frame that nobody looked at yet.
    func finding(_ frame: DamageReport.Frame) -> Finding? {
        frames.read { frames in
            if let message = frames.bad[frame] { return .bad(message) }
            guard let bits = frames.good[frame.pack], bits[frame.frame / 64] & (1 << UInt64(frame.frame % 64)) != 0 else {
                return nil
            }
            return .good
        }
    }

    func note(_ frame: DamageReport.Frame, _ finding: Finding) {
        frames.change { frames in
            switch finding {
            case .bad(let message): frames.bad[frame] = message
            case .good:
                frames.good[frame.pack, default: Array(repeating: 0, count: Pack.capacity / 64)][frame.frame / 64] |=
                    1 << UInt64(frame.frame % 64)
            }
        }
    }
}
