"""Barman."""
from __future__ import annotations

import shlex
from pathlib import Path

from place import Place
from server import Backlog, Server
from trouble import wait

from tools.postgres import PlainBaseBackup
from tools.tool import Absent, Tool, found, version_of


class Barman(Tool):
    """backup_method = postgres, WAL streamed by `barman receive-wal`, which counts as the server's work. It compresses where
    pg_basebackup can, but then it has no incremental backups; UncompressedBarman has those."""

    name = "Barman"
    compresses = True
    takes_part = {**dict.fromkeys(("full", "restore", "version"), name), "list": f"{name} list-backups, 1 backup",
                  "show": f"{name} show-backup, 1 backup"}
    references = {"list", "show"}
    SLOT = "bench_barman"

    def __init__(self, place: Place):
        self.program = found(place.settings.barman)
        super().__init__(place, version_of(place, [self.program, "--version"]))
        self.programs = PlainBaseBackup(place)
        if self.compresses and not self.programs.has_zstd():
            raise Absent(f"{self.programs.programs}/pg_basebackup was built without zstd (set CLIENT_BIN to one with it)")
        self.home, self.configuration = self.store / "home", self.store / "barman.conf"
        self.receiver = None

    def begin(self, server: Server, level: int) -> None:
        super().begin(server, level)
        compression = f"""backup_compression = zstd
backup_compression_level = {level}
backup_compression_location = client
backup_compression_format = tar
""" if self.compresses else ""
        self.place.write(self.configuration, f"""[barman]
barman_user = {self.place.account.pw_name}
barman_home = {self.home}
barman_lock_directory = {self.store}
log_file = {self.store}/barman.log
log_level = INFO
path_prefix = {self.programs.programs}
[main]
description = benchmark
conninfo = {server.connection}
streaming_conninfo = {server.connection}
backup_method = postgres
streaming_archiver = on
slot_name = {self.SLOT}
create_slot = auto
immediate_checkpoint = true
parallel_jobs = {self.jobs}
staging_path = {self.store}/staging
staging_location = local
{compression}""")
        self.place.make(self.home)
        self.place.make(self.store / "staging")
        self.before_backup()
        self.after_backup()  # it refuses to take a backup before it has seen WAL arrive

    def _command(self, *arguments) -> list:
        return [self.program, "-c", self.configuration, *arguments]

    def before_backup(self) -> None:
        self.place.run(["mkdir", "-p", *(self.home / "main" / name for name in ("streaming", "wals", "base"))])
        self.receiver = self.place.start(
            self._command("receive-wal", "main"), self.store / "receive.log", self.place.server_group)
        wait("barman receive-wal streams", lambda: self.server.sql(
            f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{self.SLOT}' AND active"), 60)

    def backup(self, full: bool) -> list:
        return self._command("backup", *([] if full else ["--incremental", "last-full"]), "main")

    def after_backup(self) -> None:
        """Its backup returns before the WAL that it needs is there."""
        try:
            self.place.run(self._command("switch-wal", "--force", "--archive", "--archive-timeout", "60", "main"))
        finally:
            self._end_receiver()

    def _end_receiver(self) -> None:
        if self.receiver:
            self.place.end(self.receiver)
        self.receiver = None

    def content(self) -> list[Path]:
        return [self.home / "main/base"]

    def restore(self, delta: bool = False) -> list:
        # As with the others, recovery is to fetch its WAL itself.
        return self._command("restore", "--get-wal", "main", "latest", self.restored)

    def prepare_get(self, backlog: Backlog, count: int) -> None:
        streaming = self.home / "main/streaming"
        for segment in backlog.segments[:count]:
            self.place.run(["cp", self.server.data / "pg_wal" / segment, streaming])
        self.place.run(self._command("archive-wal", "main"))

    def get(self) -> str:
        return shlex.join(map(str, self._command("get-wal", "main"))) + ' "$segment" >"$target"'

    def startup(self) -> list:
        return [self.program, "--version"]

    def listing(self) -> list:
        return self._command("list-backups", "main")

    def showing(self) -> list:
        return self._command("show-backup", "main", "latest")

    def end(self) -> None:
        self._end_receiver()
        if self.server:
            self.server.drop_slot(self.SLOT)
        super().end()


class UncompressedBarman(Barman):
    name = "Barman, uncompressed"
    compresses = False
    takes_part = dict.fromkeys(("increment", "restore-increment", "get"), name)

    def __init__(self, place: Place):
        super().__init__(place)
        if not self.programs.has_zstd():  # then there is no other Barman
            self.takes_part = {**self.takes_part, **dict.fromkeys(("full", "restore"), self.name),
                               **{kind: Barman.takes_part[kind] for kind in ("version", "list", "show")}}
