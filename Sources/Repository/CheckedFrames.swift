import Storage

/// Frames that one run of verifications has looked at already: backups share most of theirs, and each is looked at once.
package final class CheckedFrames: Sendable {
    enum Finding: Equatable {
        /// A bit for each block that was looked at: the pages of others may be bad in a frame that is as it was stored.
        case good(UInt64)
        case bad(String)
    }

    private struct Frames {
        /// By pack, for each frame the blocks that were found good. 16 KiB for a gigabyte.
        var good: [String: [UInt64]] = [:]
        var bad: [DamageReport.Frame: String] = [:]
    }

    private let frames = Monitor(Frames())

    package init() {}

    /// Nil for a frame of which nobody looked at these blocks yet.
    func finding(_ frame: DamageReport.Frame, blocks: UInt64) -> Finding? {
        frames.read { frames in
            if let message = frames.bad[frame] { return .bad(message) }
            guard let good = frames.good[frame.pack]?[frame.frame], good & blocks == blocks else { return nil }
            return .good(good)
        }
    }

    func note(_ frame: DamageReport.Frame, _ finding: Finding) {
        frames.change { frames in
            switch finding {
            case .bad(let message): frames.bad[frame] = message
            case .good(let blocks):
                frames.good[frame.pack, default: Array(repeating: 0, count: Pack.capacity)][frame.frame] |= blocks
            }
        }
    }
}
