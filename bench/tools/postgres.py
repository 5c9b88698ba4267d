"""PostgreSQL's own programs."""
from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from place import Place
from server import Backlog, Server

from tools.tool import Absent, Tool, version_of


class PostgresTool(Tool):
    def __init__(self, place: Place):
        self.programs = Path(place.settings.client_bin or place.settings.pgark_pg_bin)
        super().__init__(place, version_of(place, [self.programs / "pg_basebackup", "--version"]))

    def pg_basebackup(self, *arguments) -> list:
        return [self.programs / "pg_basebackup", "-c", "fast", "-d", self.server.connection, *arguments]

    def pg_receivewal(self, backlog: Backlog, slot: str, *arguments) -> list:
        return [self.programs / "pg_receivewal", "--no-loop", "-d", self.server.connection, "-S", slot, "--endpos", backlog.end,
                "-D", self.store, *arguments]

    def has_zstd(self) -> bool:
        return b"libzstd.so" in (self.programs / "pg_basebackup").read_bytes()


class PlainBaseBackup(PostgresTool):
    """Files as they are. An incremental backup always refers to the full one and replaces the one before."""

    name = "pg_basebackup, plain"
    takes_part = {"full": name, "increment": "pg_basebackup --incremental", "restore": "cp -a && sync",
                  "restore-increment": "pg_combinebackup", "receive": "pg_receivewal", "get": "cp", "version": "pg_basebackup"}
    references = {"get"}

    def __init__(self, place: Place):
        super().__init__(place)
        self.full, self.increment = self.store / "full", self.store / "increment"

    def backup(self, full: bool) -> list:
        target = self.full if full else self.increment
        shutil.rmtree(target, ignore_errors=True)
        reference = [] if full else ["--incremental", self.full / "backup_manifest"]
        return self.pg_basebackup("-D", target, "-F", "plain", "-X", "stream", *reference)

    def content(self) -> list[Path]:
        return [entry for backup in (self.full, self.increment) for entry in backup.glob("*") if entry.name != "pg_wal"]

    def restore(self, delta: bool = False) -> list:
        if self.increment.exists():
            return [self.programs / "pg_combinebackup", "-o", self.restored, self.full, self.increment]
        # The others make durable what they restore.
        return ["sh", "-c", 'cp -a "$1/." "$2" && sync --file-system "$2"', "sh", self.full, self.restored]

    def receive(self, backlog: Backlog, slot: str) -> list:
        return self.pg_receivewal(backlog, slot)

    def get(self) -> str:
        return f'cp {shlex.quote(str(self.server.data / "pg_wal"))}/"$segment" "$target"'

    def startup(self) -> list:
        return [self.programs / "pg_basebackup", "--version"]


class OwnWAL(PostgresTool):
    """Nothing is fetched: the segments are in pg_wal already. What a recovery takes at least."""

    name = "WAL in pg_wal"
    takes_part = {"replay": name}

    def prepare_replay(self, backlog: Backlog, data: Path) -> None:
        self.place.run(["cp", "-a", *(self.server.data / "pg_wal" / segment for segment in backlog.segments), data / "pg_wal"])

    def restore_command(self) -> str:
        return "false"


class GzipReceiveWAL(PostgresTool):
    name = "pg_receivewal, gzip 1"
    takes_part = {"receive": name}

    def receive(self, backlog: Backlog, slot: str) -> list:
        return self.pg_receivewal(backlog, slot, "--compress", "gzip:1")


class NoStandby(PostgresTool):
    """Commits that wait for nobody, for scale."""

    name = "no standby"
    takes_part = {"commit": name}
    references = {"commit"}


class SynchronousReceiveWAL(PostgresTool):
    name = "pg_receivewal --synchronous"
    takes_part = {"commit": name}
    application = "bench_receivewal"

    def accompany(self) -> None:
        self.server.sql(f"SELECT pg_create_physical_replication_slot('{self.application}')")
        connection = f"{self.server.connection} application_name={self.application}"
        self.receiver = self.place.start(
            [self.programs / "pg_receivewal", "--no-loop", "--synchronous", "-d", connection, "-S", self.application,
             "-D", self.store], self.place.logs / "receivewal.log")

    def leave(self) -> None:
        self.place.end(self.receiver)
        self.server.drop_slot(self.application)


class Standby(PostgresTool):
    """A second server; commits wait until it has flushed (synchronous_commit = on)."""

    name = "a standby server"
    takes_part = {"commit": name}
    application = "bench_standby"
    PORT = 54399  # names its socket, beside the primary's

    def accompany(self) -> None:
        data, connection = self.store / "data", f"{self.server.connection} application_name={self.application}"
        self.place.run([self.programs / "pg_basebackup", "-c", "fast", "-d", connection, "-D", data, "-R", "-C",
                        "-S", self.application])
        self.server.call("pg_ctl", "start", "-D", data, "-l", self.place.logs / "standby.log", "-w", "-t", "600",
                         "-o", f"-p {self.PORT}")

    def leave(self) -> None:
        self.server.call("pg_ctl", "stop", "-D", self.store / "data", "-m", "fast", "-t", "600")
        self.server.drop_slot(self.application)


class ZstdBaseBackup(PostgresTool):
    name = "pg_basebackup, tar, zstd"
    takes_part = {"full": name}

    def __init__(self, place: Place):
        super().__init__(place)
        if not self.has_zstd():
            raise Absent(f"{self.programs}/pg_basebackup was built without zstd (set CLIENT_BIN to one with it)")

    def begin(self, server: Server, level: int) -> None:
        super().begin(server, level)
        self.level = level

    def backup(self, full: bool) -> list:
        return self.pg_basebackup("-D", self.store / "full", "-F", "tar", "-X", "stream",
                                  "--compress", f"client-zstd:level={self.level}")

    def content(self) -> list[Path]:
        return [path for path in (self.store / "full").glob("*") if not path.name.startswith("pg_wal")]


class DiscardedBaseBackup(PostgresTool):
    """How fast the server can send; nothing is stored."""

    name = "pg_basebackup to /dev/null"
    takes_part = {"full": name}
    references = {"full"}

    def backup(self, full: bool) -> list:
        command = self.pg_basebackup("-D", "-", "-F", "tar", "-X", "fetch")
        return ["sh", "-c", 'exec "$@" >/dev/null', "sh", *command]

    def content(self) -> list[Path]:
        return []
