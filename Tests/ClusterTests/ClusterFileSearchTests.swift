@testable import Cluster
import Glibc
import PostgresModel
import Storage
import SystemPackage
import Testing

@Suite struct ClusterFileSearchTests {
    /// A directory of its own for each test, with the files it is given.
    private final class Place {
        let path: FilePath

        init(_ files: [String: String]) throws {
            var template = Array("/tmp/pgark-search-XXXXXX".utf8CString)
            path = FilePath(String(cString: mkdtemp(&template)))
            for (name, cluster) in files {
                let file = path.appending(name)
                try Directory.create(file.removingLastComponent())
                try SmallFile.write("cluster: \(cluster)\nnodes: { n: { host: h } }\nrepository: { path: /r }\n", to: file)
            }
        }

        deinit { try? Directory.removeTree(path) }

        func search(config: String? = nil, variable: String? = nil) -> ClusterFileSearch {
            ClusterFileSearch(
                config: config.map { path.appending($0) }, variable: variable.map { path.appending($0) },
                local: path.appending("pgark.yaml"), system: path.appending("etc"))
        }
    }

    private func failure(_ body: () throws -> ClusterFile) -> Failure? {
        do {
            _ = try body()
            return nil
        } catch {
            return error as? Failure
        }
    }

    @Test func theCommandLineWinsThenTheVariableThenTheDirectoryThenTheSystem() throws {
        let place = try Place(["a.yaml": "a", "b.yaml": "b", "pgark.yaml": "c", "etc/d.yaml": "d"])
        #expect(try place.search(config: "a.yaml", variable: "b.yaml").find(nil).name == "a")
        #expect(try place.search(variable: "b.yaml").find(nil).name == "b")
        #expect(try place.search().find(nil).name == "c")
        #expect(try place.search().find("d").name == "d")
        try Directory.remove(place.path.appending("pgark.yaml"))
        #expect(try place.search().find(nil).name == "d")
    }

    @Test func ofSeveralSystemFilesTheClusterPicks() throws {
        let place = try Place(["etc/one.yaml": "shop", "etc/two.yaml": "bank", "etc/notes.txt": "other"])
        #expect(try place.search().find("bank").name == "bank")
        let undecided = failure { try place.search().find(nil) }
        #expect(undecided?.code == .configuration)
        #expect(undecided?.details.count == 2)
        let missing = failure { try place.search().find("bonk") }
        #expect(missing?.code == .clusterMissing)
        #expect(missing?.message.contains("did you mean \"bank\"?") == true)
    }

    @Test func aBrokenSystemFileMattersOnlyWhereNoOtherIsMeant() throws {
        let place = try Place(["etc/one.yaml": "shop", "etc/two.yaml": "not a name"])
        #expect(try place.search().find("shop").name == "shop")
        #expect(failure { try place.search().find("bank") }?.code == .configuration)
    }

    @Test func whereThereIsNoFileTheHintIsOneToPaste() throws {
        let place = try Place([:])
        for found in [failure { try place.search().find(nil) }, failure { try place.search(config: "x.yaml").find(nil) }] {
            #expect(found?.code == .configuration)
            #expect(found?.code.exitStatus == 64)
            let example = (found?.hint ?? "").split(separator: "\n").dropFirst().joined(separator: "\n")
            #expect(try ClusterFile.parse(text: example, path: "x").name == "shop")
        }
    }

    @Test func aNamedFileAboutAnotherClusterIsNotTaken() throws {
        let place = try Place(["a.yaml": "a"])
        #expect(failure { try place.search(config: "a.yaml").find("b") }?.code == .clusterMissing)
    }
}
