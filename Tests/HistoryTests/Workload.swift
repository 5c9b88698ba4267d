import TestSupport

/// What happens to a server while it is backed up: a random sequence of steps, decided by a seed alone.
///
/// Pure: it keeps in mind what exists, so each step is possible when its turn comes, and an error of the server is a finding.
/// The sizes stay within bounds: what grows is emptied by other steps.
struct Workload {
    enum Action: String, CaseIterable, Sendable {
        case insert, insertWide, update, touch, delete, rollBack, truncate, recreate
        case vacuum, vacuumFull, vacuumCatalog, cluster, createIndex, reindex
        case grow, shrink
        case createTablespace, dropTablespace, setTablespace
        case copyDatabase, logDatabase, writeToDatabase, dropDatabase
        case writeUnlogged, switchLogging, largeObject, prepare

        /// How often it is in a deck.
        var weight: Int {
            switch self {
            case .insert, .update, .touch: 16
            case .delete, .writeUnlogged, .writeToDatabase: 8
            case .insertWide, .rollBack, .vacuum, .createIndex, .setTablespace: 4
            case .recreate, .truncate, .createTablespace, .dropTablespace, .grow, .shrink: 2
            case .vacuumFull, .vacuumCatalog, .cluster, .reindex, .copyDatabase, .logDatabase, .dropDatabase, .switchLogging,
                .largeObject, .prepare:
                1
            }
        }

        /// What a second session does beside the first: nothing that another session could be in the way of.
        static let ordinary: [Action] = [.insert, .insertWide, .update, .delete, .rollBack, .vacuum, .truncate]
    }

    struct Step: Sendable {
        let action: Action
        let database: String
        let statements: [String]
    }

    struct Table {
        let name: String
        /// nil is where the database is.
        var space: String?
    }

    struct Database {
        let name: String
        let space: String?
    }

    let places: TablespacePlaces
    private let actions: [Action]
    private var deck: [Action] = []
    var generator: SeededGenerator

    // What there is.
    var tables: [Table]
    var spaces: Set<String> = []
    var databases: [Database] = []
    var databasesMade = 0
    var isHighTide = false
    var isLogged = false

    /// `prefix` keeps the tables of two workloads apart.
    init(_ seed: Seed, _ places: TablespacePlaces, prefix: String, actions: [Action] = Action.allCases) {
        self.places = places
        self.actions = actions
        generator = seed.generator
        tables = (1...5).map { Table(name: "\(prefix)\($0)") }
    }

    /// The next of the deck that is possible now. Each action is in a deck as often as its weight says, so none is missing
    /// from a run, whatever the seed.
    mutating func next() -> Step {
        while true {
            if let index = deck.firstIndex(where: isPossible) { return step(deck.remove(at: index)) }
            deck += actions.flatMap { repeatElement($0, count: $0.weight) }.shuffled(using: &generator)
        }
    }

    private func isPossible(_ action: Action) -> Bool {
        switch action {
        case .grow: !isHighTide
        case .shrink: isHighTide
        case .createTablespace: spaces.count < TablespacePlaces.names.count
        case .dropTablespace: !droppableSpaces.isEmpty
        case .copyDatabase, .logDatabase: databases.count < 2
        case .writeToDatabase, .dropDatabase: !databases.isEmpty
        case .insert, .insertWide, .update, .touch, .delete, .rollBack, .truncate, .recreate, .vacuum, .vacuumFull,
            .vacuumCatalog, .cluster, .createIndex, .reindex, .setTablespace, .writeUnlogged, .switchLogging, .largeObject,
            .prepare:
            true
        }
    }

    /// A database may have files there that only its own session could move.
    var droppableSpaces: [String] { spaces.filter { space in !databases.contains { $0.space == space } }.sorted() }

    mutating func random(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &generator) }

    mutating func chance(_ numerator: Int, of denominator: Int) -> Bool { random(1...denominator) <= numerator }
}
