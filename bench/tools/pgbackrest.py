"""pgBackRest."""
from __future__ import annotations

import shlex
from pathlib import Path

from place import Place
from server import PORT, Backlog, Server

from tools.tool import Tool, found, version_of


class PgBackRest(Tool):
    """Bundled files and block incremental: its newer, better repository. An incremental is a `diff`: it refers to the full
    one, so that it can be repeated. WAL comes from the server's archive_command, which counts as the server's work."""

    name = "pgBackRest"
    takes_part = {**dict.fromkeys(("full", "increment", "restore", "restore-increment", "delta", "put", "get", "replay", "version"), name),
                  "list": f"{name} info, 1 backup"}
    references = {"list"}

    def __init__(self, place: Place):
        self.program = found(place.settings.pgbackrest)
        super().__init__(place, version_of(place, [self.program, "version"]))
        self.repository = self.store / "repository"
        self.configuration = self.store / "pgbackrest.conf"

    def begin(self, server: Server, level: int) -> None:
        super().begin(server, level)
        self.place.write(self.configuration, f"""[global]
repo1-path={self.repository}
repo1-bundle=y
repo1-block=y
compress-type=zst
compress-level={level}
process-max={self.jobs}
start-fast=y
log-level-console=warn
log-level-file=off
lock-path={self.store}/lock
spool-path={self.store}/spool
[main]
pg1-path={server.data}
pg1-port={PORT}
pg1-socket-path={self.place.run_directory}
pg1-user=postgres
pg1-database=postgres
""")
        self.place.run(self._command("stanza-create"))

    def _command(self, *arguments) -> list:
        return [self.program, f"--config={self.configuration}", "--stanza=main", *arguments]

    def before_backup(self) -> None:
        self.server.archive_with(shlex.join(map(str, self._command("archive-push"))) + " %p")

    def backup(self, full: bool) -> list:
        return self._command(f"--type={'full' if full else 'diff'}", "backup")

    def after_backup(self) -> None:
        self.server.archive_with("true")

    def content(self) -> list[Path]:
        return [self.repository / "backup"]

    def restore(self, delta: bool = False) -> list:
        return self._command(f"--pg1-path={self.restored}", "--archive-mode=off", "--type=immediate",
                             *(["--delta"] if delta else []), "restore")

    def prepare_get(self, backlog: Backlog, count: int) -> None:
        for segment in backlog.segments[:count]:
            self.place.run(self._command("archive-push", self.server.data / "pg_wal" / segment))

    def put(self) -> str:
        return shlex.join(map(str, self._command("archive-push"))) + ' "$source/$segment"'

    def get(self) -> str:
        return shlex.join(map(str, self._command("archive-get"))) + ' "$segment" "$target"'

    def restore_command(self) -> str:
        # The recovery is of a copy, in another directory than that of the server.
        return super().restore_command().replace("archive-get", '--pg1-path="$PWD" archive-get')

    def startup(self) -> list:
        return [self.program, "version"]

    def listing(self) -> list:
        return self._command("info")
