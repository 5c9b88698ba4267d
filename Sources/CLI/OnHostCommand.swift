import ArgumentParser
import Cluster
import Glibc
import Hosts
import PostgresModel

/// pgark on a host of the cluster, called by `plan` and `apply` elsewhere. Nothing for people.
struct OnHostCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: HostSession.commandName, shouldDisplay: false)

    @Option(help: "Send a backup to standard output, which one says this JSON.") var send: String?
    @Option(help: "Take a data directory from standard input, for this layout.") var receive: String?

    func run() throws {
        if let send { return try HostService.send(Array(send.utf8)) }
        if let receive { try HostService.receive(Array(receive.utf8)) }
        var request: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while case let count = read(STDIN_FILENO, &buffer, buffer.count), count > 0 { request += buffer[..<count] }
        let bytes: [UInt8]
        do { bytes = try HostService.answer(request) } catch let failure as Failure {
            Output(json: true, noColor: true).failure(failure)
            throw ExitCode(failure.code.exitStatus)
        }
        FileHandleText.write(bytes, to: STDOUT_FILENO)
    }
}
