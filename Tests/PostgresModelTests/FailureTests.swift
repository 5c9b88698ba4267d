import FoundationEssentials
import PostgresModel
import Testing

@Suite("A failure")
struct FailureTests {
    /// docs/errors.md: each row of its table, by code.
    static let documented: [String: Int32] = {
        let root = String(#filePath.dropLast("Tests/PostgresModelTests/FailureTests.swift".count))
        let text = (try? String(contentsOfFile: root + "docs/errors.md", encoding: .utf8)) ?? ""
        var rows: [String: Int32] = [:]
        for line in text.split(separator: "\n") where line.hasPrefix("| `") {
            let cells = line.split(separator: "|").map { $0.drop { $0 == " " }.prefix { $0 != " " } }
            rows[cells[0].filter { $0 != "`" }] = Int32(cells[1])
        }
        return rows
    }()

    @Test("has a code that docs/errors.md explains, with its exit status", arguments: Failure.Code.allCases)
    func isDocumented(code: Failure.Code) {
        #expect(Self.documented[code.rawValue] == code.exitStatus)
    }

    @Test("has no code in docs/errors.md that is not there any more")
    func documentsNothingElse() {
        #expect(Set(Self.documented.keys).subtracting(Failure.Code.allCases.map(\.rawValue)) == [])
    }

    @Test(
        "ends the program with the status of the command line's contract",
        arguments: [
            (.damaged, 1), (.diskFull, 1), (.confirmationNeeded, 3), (.serverRunning, 3), (.directoryNotEmpty, 3),
            (.foreignSystem, 3),
            (.problemFound, 5), (.backupMissing, 6), (.nodeMissing, 6), (.clusterMissing, 6), (.segmentMissing, 6), (.locked, 7),
            (.serverUnreachable, 8), (.repositoryUnreachable, 8), (.usage, 64), (.configuration, 64), (.interrupted, 130),
        ] as [(Failure.Code, Int32)])
    func exitStatus(code: Failure.Code, status: Int32) {
        #expect(code.exitStatus == status)
    }

    @Test("has only statuses of the contract, never 0 or 2 or 4", arguments: Failure.Code.allCases)
    func contract(code: Failure.Code) {
        #expect([1, 3, 5, 6, 7, 8, 64, 130].contains(code.exitStatus))
    }

    @Test("has a code of lower-case words", arguments: Failure.Code.allCases)
    func words(code: Failure.Code) {
        #expect(code.rawValue.utf8.allSatisfy { (0x61...0x7A).contains($0) || $0 == 0x2D })
    }

    @Test("is printed as message, details and hint, in that order")
    func description() {
        let failure = Failure(.damaged, "could not read a: b", details: ["one"], hint: "Do it.").adding(detail: "two")
        #expect(failure.description == "could not read a: b\ndetail: one\ndetail: two\nhint: Do it.")
        #expect(Failure(.damaged, "could not").description == "could not")
    }
}
