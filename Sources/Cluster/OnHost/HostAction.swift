/// One step of a plan, done on one host. Each can be done again after it was cut short at any moment, with the same end.
///
/// Texts may hold the places of passwords (`Secrets`); they are filled in when the action is sent, never in what is shown
/// or written down.
package enum HostAction: Codable, Sendable, Equatable {
    case installPackages([String])
    /// A new server, empty, not started.
    case createServer(InstanceLayout, node: String, InstanceFiles)
    /// Stops a server and gives its data directory another name, beside.
    case setAside(InstanceLayout)
    /// A copy of another server, to follow it, not started.
    case copyStandby(InstanceLayout, upstream: String, slot: String, InstanceFiles)
    /// The same from the repository: what `HostSession.stream` has brought becomes the server.
    case adoptStandby(InstanceLayout, InstanceFiles)
    /// By pg_rewind, from the server at `source`: of a copy of the data directory, or of itself.
    case rewind(InstanceLayout, source: String, InstanceFiles, inPlace: Bool)
    /// The same as `adoptStandby`, to recover to a target and to be the primary then. The server's own account of how: `settings`.
    case adoptRestored(InstanceLayout, InstanceFiles, RestoreQuestions, [RestoreOutline.Setting])
    /// Done when the server has recovered and takes writes.
    case awaitPrimary(InstanceLayout)
    case writeFiles(InstanceLayout, InstanceFiles)
    /// Takes settings out of postgresql.auto.conf that hide ours.
    case resetSettings(InstanceLayout, [String])
    case start(InstanceLayout)
    case reload(InstanceLayout)
    /// `lowered`: what WAL must have told a standby before it may start with less.
    case restart(InstanceLayout, lowered: [String: Int])
    case sql(InstanceLayout, [String])
    /// Done when this standby streams from here, through this slot.
    case awaitStandby(InstanceLayout, node: String, slot: String)
    /// A certificate of the cluster's authority: asked for here, made there, brought back (`ClusterHosts.certify`).
    case certify(InstanceLayout, node: String, host: String, cluster: String)
    /// Done when the server shows the certificate that is in its file.
    case awaitTLS(InstanceLayout, TLSQuestions)
    case makeAuthority(cluster: String)
    /// What connections from here trust; nil: the cluster's own authority, which is here.
    case trust(String?, cluster: String)
    case makeAccount(String)
    case makeRepository(path: String, account: String)
    case installProgram
    case writeFile(path: String, text: String, account: String, permissions: UInt32)
    /// Makes systemd read its files again, and starts these anew.
    case enableUnits([String])
    /// Stops and disables these, and removes their files, where they are ours.
    case removeUnits([String])
    case removeFile(String)
    /// Begins the WAL receiver in the background, instead of one that runs.
    case startReceiver(ReceiverStart)
    case stopReceiver(repository: String, cluster: String)
}

package struct ReceiverStart: Codable, Sendable, Equatable {
    package var repository: String
    package var cluster: String
    package var account: String
    package var command: [String]
    /// Where it writes its log, where it does that itself.
    package var log: String?
}

/// The files that a server's place has of us.
package struct InstanceFiles: Codable, Sendable, Equatable {
    /// All of our file of settings.
    package var include: String
    /// The lines between our marks in pg_hba.conf.
    package var accessRules: [String]
    package var passfile: String
    package var isStandby: Bool
}

extension HostAction {
    var installs: Bool {
        if case .installPackages = self { true } else { false }
    }

    /// What is done, for a person.
    package var title: String {
        switch self {
        case .installPackages(let names): "install \(names.joined(separator: ", "))"
        case .createServer(let layout, _, _): "make a server in \(layout.data)"
        case .setAside(let layout): "set \(layout.data) aside"
        case .copyStandby(let layout, _, _, _): "copy into \(layout.data)"
        case .adoptStandby(let layout, _): "copy from the repository into \(layout.data)"
        case .adoptRestored(let layout, _, _, _): "restore into \(layout.data)"
        case .rewind(let layout, _, _, _): "pg_rewind of \(layout.data)"
        case .awaitPrimary: "recover to the target"
        case .writeFiles: "write its files"
        case .resetSettings(_, let names): "take out of postgresql.auto.conf: \(names.joined(separator: ", "))"
        case .start: "start"
        case .reload: "reload"
        case .restart: "restart"
        case .sql: "SQL"
        case .awaitStandby(_, let node, _): "\(node) streams from here"
        case .certify(_, let node, _, _): "certificate of \(node)"
        case .awaitTLS: "TLS with its certificate"
        case .makeAuthority(let cluster): "certificate authority of \(cluster)"
        case .trust(_, let cluster): "write \(TrustedAuthorities.path(cluster))"
        case .makeAccount(let name): "account \(name)"
        case .makeRepository(let path, _): "directory \(path)"
        case .installProgram: "install pgark"
        case .writeFile(let path, _, _, _): "write \(path)"
        case .enableUnits(let names): "start \(names.joined(separator: ", "))"
        case .removeUnits(let names): "remove \(names.joined(separator: ", "))"
        case .removeFile(let path): "remove \(path)"
        case .startReceiver: "start the WAL receiver"
        case .stopReceiver: "stop the WAL receiver"
        }
    }
}

extension HostAction {
    /// Of what copies a server, which takes its time.
    var layoutOfCopy: InstanceLayout? {
        switch self {
        case .copyStandby(let layout, _, _, _), .adoptStandby(let layout, _), .adoptRestored(let layout, _, _, _),
            .rewind(let layout, _, _, false):
            layout
        default: nil
        }
    }
}
