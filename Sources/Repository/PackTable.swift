/// The packs that a new backup refers to, numbered in the order of their first use. A pack that nothing refers to is not
/// in it, so it can be collected.
struct PackTable {
    private(set) var names: [String] = []
    /// Numbers of the new backup's own packs, and of the reference's, by their numbers there.
    private var own: [Int] = []
    private var referred: [Int]
    private let reference: [String]
    private let ownName: (Int) -> String

    init(reference: [String], ownName: @escaping (Int) -> String) {
        self.reference = reference
        self.ownName = ownName
        referred = Array(repeating: -1, count: reference.count)
    }

    mutating func number(ofOwn pack: Int) -> Int {
        while own.count <= pack {
            own.append(names.count)
            names.append(ownName(own.count - 1))
        }
        return own[pack]
    }

    mutating func number(ofReferred pack: Int) -> Int {
        if referred[pack] < 0 {
            referred[pack] = names.count
            names.append(reference[pack])
        }
        return referred[pack]
    }
}
