"""What a run can be told: environment variables, each with its default and what it is for."""
from __future__ import annotations

import os
import re
from pathlib import Path

from trouble import Trouble

PROJECT = Path(__file__).resolve().parent.parent

# name, default, what for. A number as a default asks for a number. README.md explains them for people.
VARIABLES = [
    ("RUNS", 5, "measured runs of every tool in every case; the table has their medians"),
    ("CASES", ".", "a regular expression: which cases"),
    ("SCALE", 150, "pgbench scale of the database `main`, 100,000 rows each"),
    ("ROWS", 0, "rows of its less compressible table (0: in proportion, 2,600,000 for scale 150)"),
    ("SMALL_TABLES", 5000, "tables of the database `small`, six files each"),
    ("INCREMENTS", 20, "increments before the restore of case restore-chain"),
    ("WAL_MB", 2048, "the WAL that is waiting in the cases wal-receive, wal-put, wal-get and wal-replay"),
    ("COMMITS", 4000, "the commits of one run of the cases commit-latency"),
    ("SEGMENTS", 60, "segments that one run of the cases wal-put and wal-get handles, one after another"),
    ("BACKUPS", 1000, "backups in the repository of the cases list and show"),
    ("LOOPS", 20, "how often one run of a short command repeats it"),
    ("JOBS", 2, "threads or processes that a tool may use"),
    ("BENCH_DIR", "", "everything is made below it (default: bench/data, or /var/tmp/pgark-bench)"),
    ("KEEP", "", "1: leave the tools' repositories of the last case behind, to look at"),
    ("PGARK_PG_BIN", "", "the programs of PostgreSQL 18; make bench asks scripts/postgres for them"),
    ("CLIENT_BIN", "", "its client programs from another build, such as one with zstd (default: the same)"),
    ("PGARK", str(PROJECT / ".build/release/pgark"), "the pgark to measure"),
    ("PGBACKREST", "pgbackrest", "the program, or its path"),
    ("BARMAN", "barman", "the program, or its path"),
]


class Settings:
    """One attribute for each variable, its name in lower case."""

    def __init__(self, environment: dict[str, str] = dict(os.environ)):
        for name, default, _ in VARIABLES:
            text = environment.get(name, "").strip()
            setattr(self, name.lower(), self._value(name, text, default))
        self.rows = self.rows or self.scale * 52_000 // 3
        for name in ("RUNS", "SCALE", "SMALL_TABLES", "INCREMENTS", "WAL_MB", "COMMITS", "SEGMENTS", "BACKUPS", "LOOPS", "JOBS"):
            if getattr(self, name.lower()) < 1:
                raise Trouble(f"could not use {name}={environment.get(name)}: it must be 1 or more")
        try:
            self.wanted = re.compile(self.cases)
        except re.error as error:
            raise Trouble(f"could not use CASES={self.cases}: it is no regular expression ({error})") from None

    @staticmethod
    def _value(name: str, text: str, default):
        if not text:
            return default
        if isinstance(default, int):
            if not re.fullmatch(r"\d+", text):
                raise Trouble(f"could not use {name}={text}: it is no whole number", f"for example: make bench {name}={default}")
            return int(text)
        return text

    def sizes(self) -> dict[str, int]:
        """What decides how much work the cases are; noted beside their results."""
        names = ("RUNS", "SCALE", "ROWS", "SMALL_TABLES", "INCREMENTS", "WAL_MB", "COMMITS", "SEGMENTS", "BACKUPS", "LOOPS", "JOBS")
        return {name: getattr(self, name.lower()) for name in names}
