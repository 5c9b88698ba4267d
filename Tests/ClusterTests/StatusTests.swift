@testable import Cluster
import PostgresModel
import Testing

@Suite struct StatusTests {
    @Test func aStandbyShowsItsUpstreamItsSlotAndItsLag() throws {
        var example = try Example()
        example.standby?.positions.replayed = LSN("0/4FFFF00")
        let node = example.view.nodeStatuses[1]
        #expect(node.role == .standby)
        #expect(node.state == "streaming")
        #expect(node.upstream == "node1")
        #expect(node.slot == "node2")
        #expect(node.sync == "async")
        #expect(node.lagBytes == 0x100)
        #expect(node.lagSeconds == 0.5)
    }

    @Test func aStandbyThatHasEverythingIsNotLateHoweverOldTheLastCommitIs() throws {
        var example = try Example()
        example.standby?.positions.replayedAgeSeconds = 86_400
        #expect(example.view.nodeStatuses[1].lagSeconds == 0)
    }

    @Test func anUnreachableNodeHidesNoOther() throws {
        var example = try Example()
        example.standby = nil
        let statuses = example.view.nodeStatuses
        #expect(statuses.map(\.role) == [.primary, .unreachable])
        #expect(statuses[1].state.contains("refused"))
        #expect(example.view.timeline == .first)
        #expect(example.view.warnings == ["connection (node2): could not connect to PostgreSQL at b:5432: refused"])
    }

    @Test func theUpstreamIsFoundByItsSlotWhereItsAddressIsAnotherOne() throws {
        var example = try Example()
        example.standby?.walReceiver?.senderHost = "10.9.9.9"
        #expect(example.view.nodeStatuses[1].upstream == "node1")
        example.standby?.walReceiver?.slot = "unknown"
        #expect(example.view.nodeStatuses[1].upstream == "10.9.9.9:5432")
    }

    @Test func theRepositorysLagIsWhatTheServerWasNotToldToBeDurable() throws {
        var example = try Example()
        example.primary.walSenders[0].flushedLSN = LSN("0/4FFFF00")
        #expect(example.view.repositoryLagBytes == 0x100)
        #expect(example.view.receiverNode == "node1")
    }
}
