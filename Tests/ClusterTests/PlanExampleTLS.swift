@testable import Cluster
import PostgresModel

/// Certificates of the example, and what steps of a plan make of what was found.
extension PlanExample {
    /// The hosts' clocks are at 0, so a third of its life is left when it ends at 5,000,000.
    static let certified = TLSFacts(
        hasOpenSSL: true, isSupported: true, key: .usable,
        certificate: .init(begins: -10_000_000, ends: 80_000_000, names: "IP", namesHost: true, fitsKey: true, distrust: nil),
        authority: "CA",
        isServed: true)
    static let uncertified = TLSFacts(hasOpenSSL: true, isSupported: true, key: .missing)
    static let authority = AuthorityFacts(
        hasOpenSSL: true, certificate: "CA", begins: -10_000_000, ends: 80_000_000, hasKey: true,
        trusted: TrustedAuthorities.text("CA"))

    static func stage(
        _ file: ClusterFile, _ node: ClusterFile.Node, _ layout: InstanceLayout, upstream: ClusterFile.Node?
    ) -> TLSStage {
        guard let files = file.tls(of: node).files(layout) else { return TLSStage() }
        let isChecked = upstream.map { file.tls(of: $0) != .off } ?? false
        return TLSStage(server: files.files, trusted: isChecked ? files.authority : nil, isRequired: true)
    }

    /// As it is, with another word on TLS in the file.
    func wanting(tls: String) throws -> PlanExample {
        var example = self
        example.text = text.split(separator: "\n").filter { !$0.hasPrefix("tls:") }.joined(separator: "\n")
        if !tls.isEmpty { example.text += "\ntls: \(tls)" }
        example.repository.repository!.clusterFile = example.text
        for node in try example.file.nodes where example.nodes[node.name]!.instance!.tls == nil {
            example.nodes[node.name]!.instance!.tls = try example.file.tls(of: node) == .off ? nil : Self.uncertified
        }
        example.repository.repository!.authority.hasOpenSSL = true
        return example
    }
}

/// What steps of a plan make of the example: files say one thing, and servers know what they have read.
struct TLSSimulation {
    var example: PlanExample
    /// By node, as the running server has it.
    private var read: [String: TLSStage]

    init(_ example: PlanExample) {
        self.example = example
        read = example.nodes.mapValues { TLSStage(found: $0.instance!) }
    }

    mutating func perform(_ step: Plan.Step) {
        switch step.action {
        case .makeAuthority:
            example.repository.repository!.authority = PlanExample.authority
            example.repository.repository!.authority.trusted = nil
        case .certify:
            example.nodes[step.host]!.instance!.tls = PlanExample.certified
            example.nodes[step.host]!.instance!.tls!.isServed = nil
        case .trust(let text, _): example.repository.repository!.authority.trusted = TrustedAuthorities.text(text ?? "CA")
        case .removeFile: example.repository.repository!.authority.trusted = nil
        case .writeFiles(_, let files):
            example.nodes[step.host]!.instance!.include = files.include
            example.nodes[step.host]!.instance!.accessRules = AccessBlock.replace(in: "", with: files.accessRules)
            example.nodes[step.host]!.instance!.filesChanged = 101
        case .reload:
            example.nodes[step.host]!.instance!.filesChanged = 99
            read[step.host] = TLSStage(found: example.nodes[step.host]!.instance!)
            if read[step.host]!.server != nil { example.nodes[step.host]!.instance!.tls?.isServed = true }
        default: break
        }
    }

    /// Whoever connects to node1 now is let in, and finds what it wants.
    var everybodyConnects: Bool {
        let isChecked = example.repository.repository!.authority.trusted != nil || read["node2"]!.trusted != nil
        return !(isChecked || read["node1"]!.isRequired) || read["node1"]!.server != nil
    }
}
