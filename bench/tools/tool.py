"""What a tool has to answer to be measured.

It says in `takes_part` in which kinds of case, and under which label. A case calls `begin` (an empty store) and whatever else it
needs; only the commands that `backup`, `restore`, `receive`, `put`, `get`, `startup`, `listing` and `showing` return are measured.
"""
from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from place import Place
from server import Backlog, Server
from trouble import Trouble


class Absent(Exception):
    """Why a tool cannot take part here."""


class Tool:
    name = ""
    takes_part: dict[str, str] = {}  # kind of case -> label in the table
    references: set[str] = set()  # kinds in which it is shown for scale and is no peer: it does less

    def __init__(self, place: Place, version: str):
        self.place = place
        self.version = version
        self.jobs = place.settings.jobs
        self.word = re.sub(r"\W+", "-", self.name.lower()).strip("-")
        self.server: Server | None = None
        self.remarks: list[str] = []  # for below the table
        self.store = place.stores / self.word
        self.restored = place.restored / self.word

    def begin(self, server: Server, level: int) -> None:
        """An empty store for backups of this server, at this zstd level where the tool has one."""
        self.end()
        self.server = server
        self.place.make(self.store, empty=True)
        self.clear_restored()

    def before_backup(self) -> None: ...

    def backup(self, full: bool) -> list: ...

    def after_backup(self) -> None: ...

    def content(self) -> list[Path]:
        """Where backups are stored, the WAL left out."""
        return [self.store]

    def restore(self, delta: bool = False) -> list:
        """The newest backup, into `restored`."""

    def clear_restored(self) -> None:
        self.place.make(self.restored, empty=True)

    def take(self, full: bool = True) -> None:
        """A backup that is not measured."""
        self.before_backup()
        try:
            self.place.run(self.backup(full))
        finally:
            self.after_backup()

    def end(self) -> None:
        """Leaves nothing behind on the server."""
        self.server = None

    # As a synchronous standby

    application: str | None = None  # its name in synchronous_standby_names; None: nobody is waited for

    def accompany(self) -> None:
        """Begins to receive WAL in the background."""

    def leave(self) -> None:
        """Ends what `accompany` began."""

    def prepare_get(self, backlog: Backlog, count: int) -> None:
        """Has the first `count` segments of the backlog in its archive."""

    def prepare_replay(self, backlog: Backlog, data: Path) -> None:
        """What a recovery in this data directory needs besides its restore_command."""

    def restore_command(self) -> str:
        return self.get().replace('"$segment"', '"%f"').replace('"$target"', '"%p"')

    def content_of_archive(self) -> list[Path]:
        return [self.store]

    def multiply(self, count: int) -> None:
        """Makes the one backup in the store into so many, where we know how."""

    def facts(self, output: str) -> dict:
        """What the measured command printed and the results should keep."""
        return {}


def found(program: str) -> str:
    path = shutil.which(program)
    if not path:
        raise Absent(f"there is no {program}" + ("" if "/" in program else " on PATH"))
    return os.path.abspath(path)


def version_of(place: Place, command: list) -> str:
    try:
        return place.run(command).splitlines()[0]
    except Trouble as trouble:
        raise Absent(f"{trouble.message} (as the user {place.account.pw_name})") from None
