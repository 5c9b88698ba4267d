/// What names a relation's files (PostgreSQL: src/include/storage/relfilelocator.h).
package struct RelationLocator: Hashable, Sendable {
    package var tablespace: UInt32
    /// 0 for a relation that all databases share.
    package var database: UInt32
    package var relation: UInt32

    package init(tablespace: UInt32, database: UInt32, relation: UInt32) {
        self.tablespace = tablespace
        self.database = database
        self.relation = relation
    }

    private static let defaultTablespace: UInt32 = 1663
    private static let globalTablespace: UInt32 = 1664

    /// Of any fork and segment of a relation, by its path below the data directory; nil for other files
    /// (src/common/relpath.c, GetRelationPath).
    package init?(path: String) {
        guard RelationFile.firstBlock(ofPath: path) != nil else { return nil }
        let parts = path.split(separator: "/")
        guard let relation = UInt32(parts[parts.count - 1].prefix { $0.isNumber }) else { return nil }
        switch (parts[0], parts.count) {
        case ("global", 2): self.init(tablespace: Self.globalTablespace, database: 0, relation: relation)
        case ("base", 3):
            guard let database = UInt32(parts[1]) else { return nil }
            self.init(tablespace: Self.defaultTablespace, database: database, relation: relation)
        case ("pg_tblspc", 5):
            guard let tablespace = UInt32(parts[1]), let database = UInt32(parts[3]) else { return nil }
            self.init(tablespace: tablespace, database: database, relation: relation)
        default: return nil
        }
    }
}
