// swift-tools-version: 6.2
import PackageDescription

/// Every Swift target is compiled under the same rules; what they forbid is explained in CONTRIBUTING.md.
let rules: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let system: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")

let package = Package(
    name: "pgark",
    products: [
        .executable(name: "pgark", targets: ["pgark"]),
        // For tests only: preloaded into the program, it lets them cut its host's power.
        .library(name: "PowerCut", type: .dynamic, targets: ["CPowerCut"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-system", exact: "1.8.1"),
    ],
    // Lowest first: a target may depend only on targets above its own line.
    targets: [
        .target(name: "CLibPQ"),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CYAML", providers: [.apt(["libyaml-dev"])]),
        .target(name: "CCrypto"),
        .target(name: "CLinux"),
        .target(name: "PostgresModel", dependencies: ["CLinux"], swiftSettings: rules),
        .target(name: "Postgres", dependencies: ["PostgresModel", "CLibPQ", "CCrypto"], swiftSettings: rules),
        .target(name: "Storage", dependencies: ["PostgresModel", "CLinux", "CZstd", "CCrypto", system], swiftSettings: rules),
        .target(name: "Repository", dependencies: ["PostgresModel", "Storage", system], swiftSettings: rules),
        .target(
            name: "Backup", dependencies: ["PostgresModel", "Postgres", "Storage", "Repository", system],
            swiftSettings: rules),
        .target(name: "Hosts", dependencies: ["PostgresModel", "Postgres", "Storage", system], swiftSettings: rules),
        .target(
            name: "Cluster",
            dependencies: ["PostgresModel", "Postgres", "Storage", "Repository", "Backup", "Hosts", "CYAML", system],
            resources: [.embedInCode("pgark.schema.json")],
            // Its static form: pgark travels to hosts that need not have this library.
            swiftSettings: rules, linkerSettings: [.linkedLibrary(":libyaml.a")]),
        .target(name: "Lab", dependencies: ["PostgresModel", "Postgres", "Storage", "Hosts", system], swiftSettings: rules),
        .target(
            name: "CLI",
            dependencies: [
                "PostgresModel", "Postgres", "Storage", "Repository", "Backup", "Hosts", "Cluster", "Lab", argumentParser, system,
            ],
            swiftSettings: rules),
        .executableTarget(name: "pgark", dependencies: ["CLI"], swiftSettings: rules),
        .target(name: "CPowerCut"),
        .target(
            name: "TestSupport", dependencies: ["PostgresModel", "Postgres", "Storage", "Repository", "Hosts", "Lab", system],
            swiftSettings: rules),
        .testTarget(
            name: "ClusterTests",
            dependencies: ["Cluster", "PostgresModel", "Postgres", "Storage", "Repository", "Hosts", "TestSupport", system],
            swiftSettings: rules),
        .testTarget(
            name: "IntegrationTests",
            dependencies: ["TestSupport", "PostgresModel", "Postgres", "Storage", "Lab", "Hosts", system],
            swiftSettings: rules),
        .testTarget(
            name: "PostgresModelTests", dependencies: ["PostgresModel", "Storage", "Lab", "Hosts", "TestSupport", system],
            swiftSettings: rules),
        .testTarget(
            name: "BackupTests",
            dependencies: ["Backup", "Postgres", "Repository", "Storage", "PostgresModel", "TestSupport", "Hosts", system],
            swiftSettings: rules),
        .testTarget(
            name: "RepositoryTests", dependencies: ["Repository", "Storage", "PostgresModel", "CLinux", "TestSupport", system],
            swiftSettings: rules),
        .testTarget(
            name: "CLITests", dependencies: ["CLI", "PostgresModel", "TestSupport", argumentParser], swiftSettings: rules),
        .testTarget(
            name: "StorageTests", dependencies: ["Storage", "PostgresModel", "Lab", "Hosts", "TestSupport", system],
            swiftSettings: rules),
        .testTarget(
            name: "FormatTests", dependencies: ["TestSupport", "Lab", "Hosts", "Storage", system], exclude: ["reader.py"],
            swiftSettings: rules),
        .testTarget(
            name: "EndToEndTests", dependencies: ["TestSupport", "PostgresModel", "Lab", "Hosts", "Storage", system],
            swiftSettings: rules),
        .testTarget(
            name: "FaultTests", dependencies: ["TestSupport", "PostgresModel", "Postgres", "Storage", "Lab", "Hosts", system],
            swiftSettings: rules),
        .testTarget(
            name: "HistoryTests", dependencies: ["TestSupport", "PostgresModel", "Postgres", "Storage", "Lab", "Hosts", system],
            swiftSettings: rules),
    ]
)
