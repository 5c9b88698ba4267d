import PostgresModel
import Storage
import SystemPackage
import TestSupport
import Testing

/// Promise P5: what is there is not touched, and the refusal says what is there.
@Suite("A restore is refused", .histories)
struct RefusalTests {
    @Test("into a running server's directory, which goes on", arguments: TestMachine.majors)
    func runningServer(major: Int) throws {
        try TestSite.with(major) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            try node.createMarkers(3)
            try pgark("backup")
            try node.sql("CHECKPOINT")
            let before = try site.fingerprint(node.data.appending("base"))
            let error = try pgark.fails(.serverRunning, 3, "restore", "--to", node.data.string, "--yes")
            #expect(error.message.string?.contains(node.data.string) == true)
            #expect(try site.fingerprint(node.data.appending("base")) == before)
            #expect(try node.markers() == 3)
        }
    }

    @Test("into its own server's directory when that is stopped, a foreign system's, and any that is not empty")
    func occupiedDirectories() throws {
        try TestSite.with(TestMachine.newest) { site in
            let node = try site.primary()
            let pgark = try site.pgark(node)
            try pgark("backup")
            try node.stop()
            let stranger = try site.primary("stranger")
            try stranger.stop()
            let full = site.directory.appending("full")
            try Directory.create(full, owner: site.owner)
            try SmallFile.write("precious", to: full.appending("file"), owner: site.owner)

            let places: [(FilePath, Failure.Code)] = [
                (node.data, .directoryNotEmpty), (stranger.data, .foreignSystem), (full, .directoryNotEmpty),
                (full.appending("file"), .directoryNotEmpty),
            ]
            for (place, code) in places {
                let before = try site.fingerprint(place.removingLastComponent())
                try pgark.fails(code, 3, "restore", "--to", place.string, "--yes")
                #expect(try site.fingerprint(place.removingLastComponent()) == before)
            }
        }
    }

    @Test("without a terminal and without --yes")
    func unasked() throws {
        let history = try Histories.of(TestMachine.newest)
        let place = history.site.directory.appending("unasked")
        try history.pgark.fails(.confirmationNeeded, 3, "restore", "--to", place.string)
        #expect(try history.site.isAbsent(place))
    }

    @Test("to a time without a zone, which is shown in both readings")
    func timeWithoutZone() throws {
        let history = try Histories.of(TestMachine.newest)
        let place = history.site.directory.appending("zoneless")
        let error = try history.pgark.fails(
            .usage, 64, "restore", "--to", place.string, "--yes", "--target-time", "2026-11-22 15:04:05")
        #expect(error.detail.string?.contains("2026-11-22T15:04:05Z") == true)
        #expect(error.hint.string?.contains("+00") == true)
        #expect(try history.site.isAbsent(place))
    }
}
