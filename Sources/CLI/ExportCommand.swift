import ArgumentParser
import Backup
import Cluster
import PostgresModel
import Repository
import Storage
import SystemPackage

struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "A backup as a plain data directory or as tar archives, needing no pgark to use.",
        discussion: "The data directory can be started as it is: the WAL that makes it consistent is in it. With --tar, DIR gets "
            + "what `pg_basebackup --format=tar` makes: base.tar, an archive for each tablespace, pg_wal.tar, backup_manifest.")

    @OptionGroup var global: GlobalOptions
    @Argument(help: "An id, a name, latest or oldest.") var backup: String
    @Argument(help: "The new directory: empty or missing.") var dir: String
    @Flag(help: "Make tar archives instead of a data directory.") var tar = false
    @Option(help: ArgumentHelp("Put a tablespace (its location or oid) elsewhere.", valueName: "old=new"))
    var tablespace: [String] = []
    @OptionGroup var threads: JobsOption

    func validate() throws {
        if tar, !tablespace.isEmpty {
            throw ValidationError("--tar puts each tablespace into an archive: it takes no --tablespace")
        }
    }

    func run() throws {
        let output = global.output
        let file = try global.localFile(to: "export")
        let repository = Repository(of: file)
        _ = try repository.requireSystem()
        let catalogue = Catalogue(repository)
        let record = try catalogue.findComplete(backup).record
        let directory = Directory.absolute(FilePath(dir))
        let format: ExportJob.Format =
            try tar
            ? .tar(directory)
            : .plain(
                RestoreDestination(
                    directory: directory, mapping: try tablespace.map(RestoreCommand.mapping), record: record))
        let begin = Timestamp.now
        let progress = ProgressLine("exported")
        let outcome = try ExportJob(
            catalogue: catalogue, record: record, format: format, threads: threads.jobs, reporter: progress.reporter(output)
        ).run()
        progress.clear()
        let seconds = Timestamp.now - begin
        let document = Document(
            backup: record.id, directory: directory.string, format: tar ? "tar" : "plain", bytes: outcome.bytes,
            files: outcome.files, durationSeconds: seconds)
        try output.data(document) {
            ([
                "exported backup \(record.id), \(ByteCount(outcome.bytes)) in \(outcome.files) files, to \(directory) in "
                    + Output.duration(seconds)
            ] + outcome.notes.map { "  \($0)" }).joined(separator: "\n")
        }
        if !tar { output.next("pg_ctl -D \(directory) start") }
    }

    private struct Document: Encodable {
        let backup: String
        let directory: String
        let format: String
        let bytes: Int
        let files: Int
        let durationSeconds: Double
    }
}
