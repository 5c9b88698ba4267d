import ArgumentParser
import Repository
import Storage

/// How many threads work on what a command does.
struct JobsOption: ParsableArguments {
    @Option(help: ArgumentHelp("Threads that read, check, compress or write.", valueName: "n")) var jobs = standardThreadCount

    func validate() throws {
        guard (1...64).contains(jobs) else { throw ValidationError("--jobs must be from 1 to 64") }
    }
}
