import Glibc
import Hosts
import Lab
import Storage
import SystemPackage
import TestSupport
import Testing

/// The lab as a stranger meets it: the release binary, from nothing.
@Suite("The lab", .serialized)
struct LabTests {
    private static func directory(_ name: String) -> FilePath {
        TestMachine.temporaryRoot.appending("pgark-test-lab-\(getpid())-\(name)")
    }

    private static func lab(_ arguments: [String], in directory: FilePath) throws -> Command.Outcome {
        var command = Command(try TestMachine.pgark(), ["lab"] + arguments + ["--directory", directory.string])
        command.timeoutSeconds = 300
        return try command.outcome()
    }

    @Test("proves every step of its tour, and a second tour right after does too", arguments: TestMachine.majors)
    func tour(major: Int) throws {
        let directory = Self.directory("tour-\(major)")
        defer { try? Directory.removeTree(directory) }
        let place = ["--postgres-bin", try TestMachine.postgres(major).directory.string, "--port", String(56_000 + major * 10)]
        for _ in 0..<2 {
            let outcome = try Self.lab(["tour", "--json"] + place, in: directory)
            #expect(outcome.succeeded, "\(outcome.errors)")
            let document = try JSON(parsing: outcome.output)
            #expect(document.ok.bool == true)
            #expect(document.steps.array.count == 15)
            #expect(document.steps.array.allSatisfy { !$0.facts.array.isEmpty })
            #expect(try !Directory.exists(directory.appending("lab.json")), "the tour takes its lab down")
        }
    }

    @Test("does not touch a directory that is no lab")
    func foreignDirectory() throws {
        let directory = Self.directory("foreign")
        let place = ["--postgres-bin", try TestMachine.postgres(TestMachine.newest).directory.string, "--port", "56300"]
        defer {
            _ = try? Self.lab(["down", "--yes"], in: directory)
            try? Directory.removeTree(directory)
        }
        // The tour removes a lab of its own that is left over, but nothing else: this is no lab.
        try Directory.create(directory, permissions: 0o755)
        try SmallFile.write("precious", to: directory.appending("file"))
        let outcome = try Self.lab(["tour", "--json"] + place, in: directory)
        #expect(!outcome.succeeded)
        #expect(try JSON(parsing: outcome.output).error.code.string != nil)
        #expect(try SmallFile.readText(directory.appending("file")) == "precious")
    }

    @Test("comes up, says that it is up, shows its three hosts, and goes")
    func life() throws {
        let directory = Self.directory("life")
        defer { try? Directory.removeTree(directory) }
        let place = ["--postgres-bin", try TestMachine.postgres(TestMachine.newest).directory.string, "--port", "56400"]
        for _ in 0..<2 {
            let outcome = try Self.lab(["up"] + place, in: directory)
            #expect(outcome.succeeded, "\(outcome.errors)")
        }
        let status = try Self.lab(["status", "--json"], in: directory)
        #expect(status.succeeded, "\(status.errors)")
        #expect(["node1", "node2"].allSatisfy { status.output.contains($0) })
        let refused = try Self.lab(["down"], in: directory)
        #expect(refused.status == .exited(3), "without a terminal it asks for --yes")
        let down = try Self.lab(["down", "--yes"], in: directory)
        #expect(down.succeeded, "\(down.errors)")
        #expect(try Self.lab(["status"], in: directory).status == .exited(6))
    }
}
