import Hosts
import Storage
import SystemPackage

/// A source of the packages of PostgreSQL for apt: a directory, as a mirror has it.
struct TestPackages {
    private let directory: FilePath

    /// Fetches what this machine's own sources have.
    init(in directory: FilePath, major: Int) throws {
        self.directory = directory
        try Directory.create(directory, permissions: 0o755)
        let names = [
            "postgresql-\(major)", "postgresql-client-\(major)", "postgresql-common", "postgresql-client-common", "libpq5",
        ]
        // Newer packages ask for newer libraries, which are here then too.
        let script = """
            cd "$1"; shift
            apt-get -q -o APT::Sandbox::User=root download "$@"
            for package in *.deb; do
                dpkg-deb --field "$package"
                printf 'Filename: ./%s\\nSize: %s\\nSHA256: %s\\n\\n' "$package" "$(stat -c %s "$package")" "$(sha256sum < "$package" | cut -d' ' -f1)"
            done > Packages
            """
        var command = Command("/bin/sh", ["-ec", script, "sh", directory.string] + names)
        command.timeoutSeconds = 300
        try command.run()
    }

    /// Takes PostgreSQL away from a host, whose system is a layer of its own from then on.
    func replaceInstalled(on host: TestHost) throws {
        var command = host.command([
            "/bin/sh", "-ec",
            """
            mkdir -p /run/layers && mount -t tmpfs tmpfs /run/layers
            for place in usr var/lib/dpkg var/lib/apt var/cache/apt var/cache/debconf; do
                mkdir -p "/run/layers/upper/$place" "/run/layers/work/$place"
                mount -t overlay overlay -o "lowerdir=/$place,upperdir=/run/layers/upper/$place,workdir=/run/layers/work/$place" "/$place"
            done
            mkdir -p /usr/local/bin
            printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d
            DEBIAN_FRONTEND=noninteractive apt-get -q remove --yes 'postgresql*' libpq5 >&2
            rm -f /usr/sbin/policy-rc.d
            rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /var/lib/apt/lists/* /etc/postgresql/*
            echo 'deb [trusted=yes] file:\(directory) ./' > /etc/apt/sources.list
            ! [ -e /usr/bin/pg_lsclusters ]
            """,
        ])
        command.timeoutSeconds = 300
        try command.run()
    }
}
