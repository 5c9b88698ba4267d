import ArgumentParser
import Cluster
import Glibc
import PostgresModel
import Repository

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "status", abstract: "The cluster at a glance.")

    @OptionGroup var global: GlobalOptions

    @Flag(help: "Show it again every two seconds until interrupted.")
    var watch = false

    private static let secondsBetween: UInt32 = 2
    private static let clearScreen = "\u{1B}[H\u{1B}[2J"

    func validate() throws {
        if watch, global.json { throw ValidationError("--watch is for people; with --json ask again instead") }
    }

    func run() throws {
        let output = global.output
        let file = try global.repositoryFile()
        guard watch else { return try show(file, output) }
        while !Interruption.isRequested {
            if isatty(STDOUT_FILENO) == 1 { FileHandleText.write(Self.clearScreen, to: STDOUT_FILENO) }
            try show(file, output)
            sleep(Self.secondsBetween)  // a signal ends it early
        }
    }

    private func show(_ file: ClusterFile, _ output: Output) throws {
        let view = try ClusterView.observe(file)
        let document = StatusDocument(view, window: try recoveryWindow(file, view))
        try output.data(document) { document.text(output) }
    }

    /// Nil where the repository cannot be read; the warnings say so.
    private func recoveryWindow(_ file: ClusterFile, _ view: ClusterView) throws -> RecoveryWindowDocument? {
        guard view.repository.failure == nil else { return nil }
        return RecoveryWindowDocument(try Inventory(Repository(of: file)))
    }
}
