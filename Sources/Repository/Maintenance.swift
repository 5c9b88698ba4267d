package import PostgresModel
import Storage
import SystemPackage

/// When housekeeping came to its end last: who watches wants to know that it does.
extension Repository {
    private struct MaintenanceRecord: Codable {
        var time: Timestamp
    }

    private var maintenanceFile: FilePath { directory.appending("maintained.json") }

    package func lastMaintenance() throws -> Timestamp? {
        let record: MaintenanceRecord? = try Record.read(maintenanceFile)
        return record?.time
    }

    /// The caller holds the lock for writing.
    package func noteMaintenance(at time: Timestamp) throws {
        try Record.write(MaintenanceRecord(time: time), to: maintenanceFile)
    }
}
