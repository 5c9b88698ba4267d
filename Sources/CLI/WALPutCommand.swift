import ArgumentParser
import Backup
import Cluster
import Repository
import SystemPackage

struct WALPutCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "put", abstract: "Archive a file of pg_wal: archive_command = 'pgark wal put \"%p\"'.",
        discussion: """
            Exit status 0: it is durable in the repository. Anything else: it is not, and the server keeps it and tries again. \
            No connection to PostgreSQL is needed. A receiver may run beside it.
            """)

    @OptionGroup var global: GlobalOptions
    @Argument(help: "The file to archive, %p.") var path: String

    func run() throws {
        let output = global.output
        let file = try global.localFile(to: "archive")
        let outcome = try WALPut(Repository(of: file), level: file.repository.compression).run(FilePath(path))
        try output.data(Document(file: outcome.name, stored: true, wasStored: !outcome.isNew)) { "" }
    }

    private struct Document: Encodable {
        let file: String
        let stored: Bool
        /// True where the same content was there before.
        let wasStored: Bool
    }
}
