import ArgumentParser
import Cluster
import Glibc
import Postgres
import PostgresModel
import Repository
import Storage

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "status", abstract: "The cluster at a glance.")

    @OptionGroup var global: GlobalOptions

    @Flag(help: "Show it again every two seconds until interrupted.")
    var watch = false

    private static let secondsBetween = 2.0
    /// For the first picture; who has not answered by then comes into a later one.
    private static let firstPatienceSeconds = 2.0

    func validate() throws {
        if watch, global.json { throw ValidationError("--watch is for people; with --json ask again instead") }
    }

    func run() throws {
        let output = global.output
        let file = try global.repositoryFile(redraws: watch)
        if watch { return try keepShowing(file, output) }
        let document = try document(file, ClusterView.observe(file))
        try output.data(document) { document.text(output) }
    }

    private func keepShowing(_ file: ClusterFile, _ output: Output) throws {
        try show(ClusterWatch(file, secondsBetween: Self.secondsBetween), file, output)
    }

    private func show(_ watch: ClusterWatch, _ file: ClusterFile, _ output: Output) throws {
        defer { watch.end() }
        wait(Self.firstPatienceSeconds) { watch.isComplete }
        let screen = Screen.isThere ? Screen() : nil
        screen?.begin()
        defer { screen?.end() }
        while !Interruption.isRequested {
            let time = output.paint("\(Timestamp.now.shortText), every \(Int(Self.secondsBetween)) s until Ctrl-C", .faint)
            let text = "\(time)\n\n" + (try document(file, watch.view()).text(output))
            guard screen?.draw(text) ?? FileHandleText.write(text + "\n\n", to: STDOUT_FILENO) else { return }
            wait(Self.secondsBetween) { false }
        }
    }

    private func wait(_ seconds: Double, until isEnough: () -> Bool) {
        let deadline = Deadline(seconds: seconds)
        while !Interruption.isRequested, !deadline.isOver, !isEnough() {
            pause(milliseconds: min(100, deadline.millisecondsLeft))
        }
    }

    private func document(_ file: ClusterFile, _ view: ClusterView) throws -> StatusDocument {
        StatusDocument(view, window: try recoveryWindow(file, view))
    }

    /// Nil where the repository cannot be read; the warnings say so.
    private func recoveryWindow(_ file: ClusterFile, _ view: ClusterView) throws -> RecoveryWindowDocument? {
        guard view.repository.failure == nil else { return nil }
        return RecoveryWindowDocument(try Inventory(Repository(of: file)))
    }
}
