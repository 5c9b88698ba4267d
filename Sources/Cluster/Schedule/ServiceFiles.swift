import SystemPackage

/// What keeps the receiver running on the repository's host, and does there what is due: the texts of files, for systemd or cron.
struct ServiceFiles {
    let file: ClusterFile
    private let names: ServiceNames
    private var account: String { file.repositoryAccount }
    private var configuration: FilePath { RepositoryHost.configuration(file.name) }

    init(_ file: ClusterFile) {
        self.file = file
        names = ServiceNames(file.name)
    }

    /// By path.
    func texts(for service: ClusterFile.RepositorySettings.Service) -> [String: String] {
        switch service {
        case .systemd: Dictionary(uniqueKeysWithValues: units.map { (ServiceNames.path(ofUnit: $0.name).string, $0.text) })
        case .cron: [names.cron.string: cron]
        case .none, .automatic: [:]
        }
    }

    /// What runs when.
    var jobs: [(command: String, schedule: CronExpression)] {
        (file.backup.schedule.map { [("backup", $0)] } ?? []) + [("maintain", Schedules.maintain)]
    }

    // MARK: systemd

    private var units: [(name: String, text: String)] {
        [(names.receive, receiver)]
            + jobs.flatMap {
                [(names.service($0.command), job($0.command)), (names.timer($0.command), timer($0.command, $0.schedule))]
            }
    }

    /// The receiver goes on after whatever passes by itself; what ends it needs a person, and until then a word now and then.
    private var receiver: String {
        unit(
            "WAL receiver",
            """
            \(service("wal receive"))
            Restart=always
            RestartSec=10

            [Install]
            WantedBy=multi-user.target
            """, more: "\nStartLimitIntervalSec=0")
    }

    private func job(_ command: String) -> String {
        unit(command, "Type=oneshot\n\(service("\(command) --scheduled"))")
    }

    /// Persistent: what was missed while the host was off is made up for.
    private func timer(_ command: String, _ schedule: CronExpression) -> String {
        """
        \(ServiceNames.mark)
        [Unit]
        Description=pgark \(command) of the cluster \(file.name), \(schedule)

        [Timer]
        \(schedule.calendarEvents.map { "OnCalendar=\($0)" }.joined(separator: "\n"))
        Persistent=true

        [Install]
        WantedBy=timers.target

        """
    }

    private func unit(_ what: String, _ service: String, more: String = "") -> String {
        """
        \(ServiceNames.mark)
        [Unit]
        Description=pgark \(what) of the cluster \(file.name)
        After=network-online.target
        Wants=network-online.target
        RequiresMountsFor=\(repository)\(more)

        [Service]
        \(service)

        """
    }

    /// Whatever pgark does not need is kept from it. It writes into the repository only, and connects to servers.
    private func service(_ command: String) -> String {
        """
        User=\(account)
        ExecStart=\(RepositoryHost.program) \(command) --config \(configuration)
        UMask=0027
        NoNewPrivileges=yes
        CapabilityBoundingSet=
        ProtectSystem=strict
        ReadWritePaths=\(repository)
        ProtectHome=\(usesHomes ? "read-only" : "yes")
        PrivateTmp=\(usesTemporary ? "no" : "yes")
        PrivateDevices=yes
        ProtectClock=yes
        ProtectControlGroups=yes
        ProtectHostname=yes
        ProtectKernelLogs=yes
        ProtectKernelModules=yes
        ProtectKernelTunables=yes
        LockPersonality=yes
        RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
        RestrictNamespaces=yes
        RestrictRealtime=yes
        RestrictSUIDSGID=yes
        SystemCallArchitectures=native
        """
    }

    private var repository: String { Self.unitQuoted(file.repository.path.string) }

    /// An account that was there before us may have its passfile and certificates at home.
    private var usesHomes: Bool { file.repository.account != nil || names(["/home", "/root", "/run/user"]) }

    /// A server's socket may be there.
    private var usesTemporary: Bool { names(["/tmp", "/var/tmp"]) }

    private func names(_ places: [FilePath]) -> Bool {
        let named = file.nodes.flatMap { ConnectionText($0.connection).keywords.values } + [file.repository.path.string]
        return named.contains { value in places.contains { FilePath(value).starts(with: $0) } }
    }

    /// A path as systemd reads it: with quotes, without specifiers.
    static func unitQuoted(_ path: String) -> String {
        let escaped = path.map { character in
            switch character {
            case "\\", "\"": "\\\(character)"
            case "%": "%%"
            case "\n": "\\n"
            default: "\(character)"
            }
        }.joined()
        return escaped == path && !path.contains(where: { $0 == " " || $0 == "'" || $0 == "\t" }) ? path : "\"\(escaped)\""
    }

    // MARK: cron

    private var cron: String {
        let jobs = jobs.map { "\($0.schedule.line) \(account) \(cronCommand($0.command, "--scheduled", mails: true))\n" }
        return """
            \(ServiceNames.mark) What these print is in the system's log, as "pgark".
            SHELL=/bin/bash
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
            * * * * * \(account) \(receiverCommand)

            """ + jobs.joined()
    }

    /// Where one runs already it ends at once, and without a word.
    var receiverCommand: String { cronCommand("wal receive", "--unless-running", mails: false) }

    /// Its words go to the log, and its exit status stays its own. `mails`: a failure is printed as well, which cron sends on.
    private func cronCommand(_ command: String, _ option: String, mails: Bool) -> String {
        "set -o pipefail; \(RepositoryHost.program) \(command) \(option) --config \(configuration) 2>&1 | logger -t pgark || "
            + "{ s=$?; logger \(mails ? "-s " : "")-t pgark -p user.err \"\(command) of \(file.name): exit status $s\"; exit $s; }"
    }

    // MARK: neither

    /// In the background, where nobody starts it again.
    var backgroundCommand: [String] {
        [
            "\(RepositoryHost.program)", "wal", "receive", "--unless-running", "--config", "\(configuration)", "--log",
            "\(names.log)",
        ]
    }
}
