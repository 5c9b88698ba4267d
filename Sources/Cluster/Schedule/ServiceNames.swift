import SystemPackage

/// What is called how on the repository's host. Nothing of another name is ever ours.
struct ServiceNames {
    let cluster: String

    init(_ cluster: String) { self.cluster = cluster }

    /// How the first line of a file of ours begins; whatever begins otherwise is somebody else's.
    static let mark = "# Written by `pgark apply`."

    var receive: String { "pgark-\(cluster)-receive.service" }
    func service(_ command: String) -> String { "pgark-\(cluster)-\(command).service" }
    func timer(_ command: String) -> String { "pgark-\(cluster)-\(command).timer" }

    static let commands = ["backup", "maintain"]

    var units: [String] { [receive] + Self.commands.flatMap { [service($0), timer($0)] } }

    /// cron takes no file with a dot in its name.
    var cron: FilePath { FilePath("/etc/cron.d/pgark-\(cluster)") }

    static func path(ofUnit name: String) -> FilePath { FilePath("/etc/systemd/system/\(name)") }

    /// Everything that may be ours.
    var paths: [FilePath] { units.map(Self.path) + [cron] }

    /// Of the receiver where nothing else keeps its words: a folder, for the log is renamed when it is large.
    var log: FilePath { FilePath("/var/log/pgark/\(cluster)/receive.log") }
}
