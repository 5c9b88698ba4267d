"""pgark, as its users run it."""
from __future__ import annotations

import json
import os
import shlex
import shutil
from datetime import datetime, timedelta
from pathlib import Path

from place import Place
from server import Backlog, Server
from trouble import Trouble, wait

from tools.tool import Tool, version_of

CLUSTER = "bench"


class Pgark(Tool):
    """An incremental backup refers to the newest one. No receiver runs meanwhile: a backup receives its own WAL, and that is
    part of its figures."""

    name = "pgark"
    SLOT = "bench_pgark"
    application = "pgark"
    takes_part = dict.fromkeys(("full", "increment", "restore", "restore-increment", "delta", "receive", "commit", "put", "get",
                                "replay", "version", "list", "show"), name)

    def __init__(self, place: Place):
        given = Path(place.settings.pgark)
        if not os.access(given, os.X_OK):
            raise Trouble(f"could not find pgark at {given}", "build it: make build; or set PGARK to its path")
        # A copy: the servers' user can run it, and a build meanwhile changes nothing.
        self.program = place.directory / "pgark"
        shutil.copyfile(given, self.program)
        self.program.chmod(0o755)
        super().__init__(place, version_of(place, [self.program, "--version"]))
        self.takes_part = dict(self.takes_part)
        if "--delta" not in place.run([self.program, "help", "restore"]):
            del self.takes_part["delta"]
            self.remarks.append("pgark does not take part in case delta: this one has no restore --delta.")
        self.repository = self.store / "repository"
        self.configuration = self.store / "pgark.yaml"

    def begin(self, server: Server, level: int) -> None:
        super().begin(server, level)
        self.place.write(self.configuration, f"""cluster: {CLUSTER}
nodes:
  main: {{ connection: "{server.connection}" }}
repository:
  path: {self.repository}
  compression: "zstd:{level}"
  slot: {self.SLOT}
""")

    def _command(self, *arguments) -> list:
        return [self.program, *arguments, "--config", self.configuration]

    # Backups

    def before_backup(self) -> None:
        """Users have a receiver running: the WAL since the last backup is in the repository already, and is not part of the
        work of this one."""
        receiver = self.place.start(self._command("wal", "receive"), self.store / "receive.log")
        try:
            target = self.server.sql("SELECT pg_current_wal_flush_lsn()")
            wait(f"pgark wal receive has the WAL up to {target}", lambda: receiver.poll() is not None or self.server.sql(
                f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{self.SLOT}' AND restart_lsn >= '{target}'"), 600)
        finally:
            self.place.end(receiver)
        if receiver.returncode != 0:
            raise Trouble(f"could not receive WAL: pgark ended with status {receiver.returncode}",
                          f"all it said (with KEEP=1): {self.store}/receive.log")

    def backup(self, full: bool) -> list:
        return self._command("backup", "--json", "--jobs", self.jobs, *(["--full"] if full else []))

    @property
    def _cluster(self) -> Path:
        return self.repository / CLUSTER

    def content(self) -> list[Path]:
        return [self._cluster / "packs", self._cluster / "backups"]

    def facts(self, output: str) -> dict:
        try:
            document = json.loads(output)
        except ValueError:
            return {}
        return {name: document[name] for name in ("id", "method", "read_bytes", "stored_bytes", "files") if name in document}

    def newest(self) -> str:
        return json.loads(self.place.run(self._command("show", "latest", "--json")))["id"]

    # Restores

    def restore(self, delta: bool = False, backup: str = "latest") -> list:
        return self._command("restore", backup, "--to", self.restored, "--target-immediate", "--jobs", self.jobs, "--yes",
                             *(["--delta"] if delta else []))

    # WAL

    def receive(self, backlog: Backlog, slot: str) -> list:
        self.place.write(self.configuration, self.configuration.read_text().replace(self.SLOT, slot))
        return self._command("wal", "receive")

    def has_received(self, backlog: Backlog) -> bool:
        """It would go on for ever; its work is done when all segments are in the archive (docs/repository-format.md)."""
        archive = self._cluster / "wal"
        return all((archive / name[:16] / f"{name}.zst").exists() for name in reversed(backlog.segments))

    def accompany(self) -> None:
        self.receiver = self.place.start(self._command("wal", "receive"), self.store / "receive.log")

    def leave(self) -> None:
        self.place.end(self.receiver)

    def prepare_get(self, backlog: Backlog, count: int) -> None:
        self.server.sql(f"SELECT pg_copy_physical_replication_slot('{Backlog.HOLD}', '{self.SLOT}')")
        receiver = self.place.start(self._command("wal", "receive"), self.store / "receive.log")
        try:
            wait("pgark wal receive has all WAL", lambda: self.has_received(backlog) or receiver.poll() is not None, 3600)
        finally:
            self.place.end(receiver)

    def put(self) -> str:
        return shlex.join(map(str, self._command("wal", "put"))) + ' "$source/$segment"'

    def get(self) -> str:
        return shlex.join(map(str, self._command("wal", "get"))) + ' "$segment" "$target"'

    # Starting up

    def startup(self) -> list:
        return [self.program, "--version"]

    def listing(self) -> list:
        return self._command("list")

    def showing(self) -> list:
        return self._command("show", self.newest())

    def multiply(self, count: int) -> None:
        """Makes one backup into many: the files of the others are links to those of the first, all but the record."""
        original = self.newest()
        backups = self._cluster / "backups"
        record = json.loads((backups / original / "backup.json").read_text())
        for number in range(1, count):
            # Into the past, so that the original stays the newest.
            moved = {**record, **{name: earlier(record[name], number) for name in ("begin_time", "end_time")}}
            moved["id"] = earlier_identifier(original, number)
            copy = backups / moved["id"]
            self.place.run(["cp", "-a", "--link", backups / original, copy])
            (copy / "backup.json").unlink()
            self.place.write(copy / "backup.json", sealed(moved))
        listed = len(json.loads(self.place.run(self._command("list", "--json")))["backups"])
        if listed != count:
            raise Trouble(f"could not make {count} backups of one: pgark lists {listed}")

    def end(self) -> None:
        if self.server:
            self.server.drop_slot(self.SLOT)
        super().end()


def earlier(moment: str, hours: int) -> str:
    """The same moment so many hours before, in the same form: RFC 3339, UTC, with any number of decimals."""
    whole, rest = moment[:19], moment[19:]
    return (datetime.fromisoformat(whole) - timedelta(hours=hours)).isoformat() + rest


def earlier_identifier(identifier: str, hours: int) -> str:
    form = "%Y%m%dT%H%M%SZ"
    return (datetime.strptime(identifier, form) - timedelta(hours=hours)).strftime(form)


# A record's checksum is over its own bytes, with zeros where it stands itself.

SEAL = "record_crc32c"


def sealed(record: dict) -> str:
    if SEAL not in record:
        return json.dumps(record, indent=2) + "\n"
    blank = json.dumps({**record, SEAL: "00000000"}, indent=2) + "\n"
    return blank.replace(f'"{SEAL}": "00000000"', f'"{SEAL}": "{crc32c(blank.encode()):08x}"')


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_OF_BYTE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


_CRC_OF_BYTE = list(range(256))
for _ in range(8):
    _CRC_OF_BYTE = [crc >> 1 ^ (0x82F63B78 if crc & 1 else 0) for crc in _CRC_OF_BYTE]
