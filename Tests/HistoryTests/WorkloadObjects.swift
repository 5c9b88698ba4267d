import SystemPackage

/// The statements that make, move and drop what there is, and what is kept in mind of it.
extension Workload {
    // MARK: Tables and indexes

    func create(_ table: Table) -> [String] {
        ["CREATE TABLE \(table.name) \(Self.columns)" + (table.space.map { " TABLESPACE \($0)" } ?? "")]
    }

    mutating func recreate() -> [String] {
        let index = random(0...tables.count - 1)
        tables[index].space = anySpace()
        let table = tables[index]
        return ["DROP TABLE \(table.name)"] + create(table) + [insert(random(1...500), into: table.name, from: salt())]
    }

    mutating func createIndex() -> [String] {
        let table = anyTable()
        let method = ["btree", "brin", "hash"].randomElement(using: &generator)!
        let space = anySpace().map { " TABLESPACE \($0)" } ?? ""
        return [
            "DROP INDEX IF EXISTS \(table)_number",
            "CREATE INDEX \(table)_number ON \(table) USING \(method) (number)\(space)",
        ]
    }

    // MARK: Tablespaces

    private mutating func anySpace() -> String? { spaces.sorted().randomElement(using: &generator) }

    mutating func createTablespace() -> [String] {
        let name = TablespacePlaces.names.filter { !spaces.contains($0) }.randomElement(using: &generator)!
        spaces.insert(name)
        return ["CREATE TABLESPACE \(name) LOCATION '\(places.location(name))'"]
    }

    mutating func dropTablespace() -> [String] {
        let name = droppableSpaces.randomElement(using: &generator)!
        spaces.remove(name)
        for index in tables.indices where tables[index].space == name { tables[index].space = nil }
        let moves = ["TABLE", "INDEX"].map { "ALTER \($0) ALL IN TABLESPACE \(name) SET TABLESPACE pg_default" }
        return moves + ["DROP TABLESPACE \(name)"]
    }

    mutating func setTablespace() -> [String] {
        let index = random(0...tables.count - 1)
        tables[index].space = chance(1, of: 3) ? nil : anySpace()
        return ["ALTER TABLE \(tables[index].name) SET TABLESPACE \(tables[index].space ?? "pg_default")"]
    }

    // MARK: Databases

    mutating func createDatabase(strategy: String) -> [String] {
        databasesMade += 1
        let database = Database(name: "db\(databasesMade)", space: chance(1, of: 3) ? anySpace() : nil)
        databases.append(database)
        return [
            "CREATE DATABASE \(database.name) STRATEGY \(strategy)" + (database.space.map { " TABLESPACE \($0)" } ?? "")
        ]
    }
}
