import Hosts
import PostgresModel
import Storage
import SystemPackage

/// What a usual machine runs beside: cron, and who takes what programs tell the system's log.
extension TestHost {
    /// A real cron, with no jobs but those that come. What is told the system's log is in `systemLog`.
    package func startCron() throws {
        try ownDevices()
        try startSystemLog()
        try run(
            """
            rm -f /etc/crontab /etc/cron.d/*
            # Nobody logs in here, and a container may not set who did.
            sed -i /pam_loginuid/d /etc/pam.d/cron
            /usr/sbin/cron
            """)
    }

    package var systemLog: String { (try? SmallFile.readText(directory.appending("syslog"))) ?? "" }

    /// /dev/log is to be the host's alone.
    private func ownDevices() throws {
        try run(
            """
            new="\(directory)/dev"
            mkdir -p "$new" && mount -t tmpfs tmpfs "$new"
            for name in null zero full random urandom tty; do
                touch "$new/$name" && mount --bind "/dev/$name" "$new/$name"
            done
            for name in shm pts; do mkdir "$new/$name" && mount --rbind "/dev/$name" "$new/$name"; done
            ln -s pts/ptmx "$new/ptmx" && ln -s /proc/self/fd "$new/fd"
            mount --move "$new" /dev
            """)
    }

    private func startSystemLog() throws {
        let program = """
            import os, socket, sys
            log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            log.bind("/dev/log")
            os.chmod("/dev/log", 0o666)
            with open(sys.argv[1], "ab", buffering=0) as file:
                while True:
                    file.write(log.recv(65536).rstrip(b"\\0\\n") + b"\\n")
            """
        // It ends with the host.
        _ = try command(["/usr/bin/python3", "-c", program, directory.appending("syslog").string])
            .launch(log: directory.appending("syslog.errors"))
        try eventually("the system's log is taken") { try run("[ -S /dev/log ] && echo yes || true").hasPrefix("yes") }
    }
}
