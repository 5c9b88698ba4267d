/// What editors and other tools know of pgark.yaml: docs/pgark.schema.json, which is part of the program.
package enum ClusterFileSchema {
    package static let fileName = "pgark.schema.json"
    package static var text: String { String(decoding: PackageResources.pgark_schema_json, as: UTF8.self) }
}
