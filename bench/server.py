"""The PostgreSQL servers that are backed up: made once, kept between runs, and changed in ways that can be told exactly.

They listen on a socket in a closed directory and nowhere else. Their processes are in a control group of their own.
"""
from __future__ import annotations

import json
import os
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from measure import ProcessTree
from place import Place
from trouble import Trouble, say, wait

PORT = 5432  # names the socket; nothing listens on the network
VERSION = 18

CONFIGURATION = """
listen_addresses = ''
port = {port}
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
shared_buffers = 512MB
wal_level = replica
summarize_wal = on
archive_mode = on
archive_command = 'true'
max_wal_senders = 10
max_replication_slots = 10
max_wal_size = 4GB
checkpoint_timeout = 1d
autovacuum = off
"""

# While it is filled, which only has to be fast.
FILLING = "-c fsync=off -c wal_level=minimal -c max_wal_senders=0 -c archive_mode=off -c summarize_wal=off"


@dataclass
class Backlog:
    """WAL that the slot HOLD keeps on the server."""

    end: str  # LSN
    last_record: str  # LSN of the record that ends it: the switch to the next segment
    segments: list[str]
    HOLD = "bench_hold"


class Server:
    def __init__(self, place: Place, name: str, fill):
        self.place = place
        self.name = name
        self.home = place.make(place.directory / name)
        self.data = self.home / "data"
        self.log = self.home / "server.log"
        self.programs = Path(place.settings.pgark_pg_bin)
        self._fill = fill
        self._backlog: Backlog | None = None

    # Its life

    def start(self) -> None:
        if not self._is_complete():
            self._create()
        self._start()
        self.archive_with("true")
        for slot in self.sql("SELECT slot_name FROM pg_replication_slots").split():
            self.drop_slot(slot)
        self.sql("DROP DATABASE IF EXISTS backlog")

    def stop(self) -> None:
        self._backlog = None
        if self._process():
            self.call("pg_ctl", "stop", "-D", self.data, "-m", "fast", "-t", "600")

    def seconds(self) -> float:
        """Processor time of the server until now."""
        if self.place.server_group:
            return self.place.server_group.seconds()
        return ProcessTree(self._process()).seconds()

    def _process(self) -> int | None:
        """The postmaster's, where it runs: it works in its data directory."""
        try:
            process = int((self.data / "postmaster.pid").read_text().split()[0])
            return process if os.readlink(f"/proc/{process}/cwd") == os.path.realpath(self.data) else None
        except (OSError, ValueError, IndexError):
            return None

    def _start(self, options: str = "") -> None:
        self.call("pg_ctl", "start", "-D", self.data, "-l", self.log, "-w", "-t", "600", *(["-o", options] if options else []),
                  group=self.place.server_group)

    # The stamp is written last and says what is inside: without it, or with another, the cluster is made anew.

    @property
    def _stamp(self) -> Path:
        return self.home / "made.json"

    def _made_for(self) -> dict:
        settings = self.place.settings
        sizes = {"main": {"scale": settings.scale, "rows": settings.rows}, "small": {"tables": settings.small_tables}}.get(self.name, {})
        return {"version": self.call("postgres", "--version"), **sizes}

    def _is_complete(self) -> bool:
        try:
            return json.loads(self._stamp.read_text()) == self._made_for()
        except (OSError, ValueError):
            return False

    def _create(self) -> None:
        say(f"making the cluster {self.name} in {self.home}")
        self._stamp.unlink(missing_ok=True)
        shutil.rmtree(self.data, ignore_errors=True)
        self.call("initdb", "-D", self.data, "-U", "postgres", "-E", "UTF8", "--locale=C", "--data-checksums", "--auth=trust",
                  "--no-sync")
        with open(self.data / "postgresql.conf", "a") as file:
            file.write(CONFIGURATION.format(port=PORT, sockets=self.place.run_directory))
        self._start(FILLING)
        self._fill(self)
        self.sql("VACUUM (FREEZE, ANALYZE)")
        self.stop()
        os.sync()
        self.place.write(self._stamp, json.dumps(self._made_for()))

    # Talking to it

    @property
    def connection(self) -> str:
        return f"host={self.place.run_directory} port={PORT} user=postgres dbname=postgres"

    @property
    def client_options(self) -> list[str]:
        return ["-h", str(self.place.run_directory), "-p", str(PORT), "-U", "postgres"]

    def call(self, program: str, *arguments, **options) -> str:
        return self.place.run([self.programs / program, *arguments], **options)

    def sql(self, text: str, database: str = "postgres") -> str:
        """Every statement in a transaction of its own; the rows of all, a line each."""
        return self.call("psql", *self.client_options, "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, text=text)

    def archive_with(self, command: str) -> None:
        self.sql(f"ALTER SYSTEM SET archive_command = '{command}';\nSELECT pg_reload_conf();")
        wait("the server has its new archive_command", lambda: self.sql("SHOW archive_command") == command, 30)

    def wait_for_standby(self, application: str | None) -> None:
        """Commits wait for this standby from now on, which streams; for none without a name."""
        name = application or ""
        if name:
            wait(f"{name} streams", lambda: self.sql(
                f"SELECT 1 FROM pg_stat_replication WHERE application_name = '{name}' AND state = 'streaming'"), 120)
        self.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{name}';\nSELECT pg_reload_conf();")
        wait("the server has its new synchronous_standby_names", lambda: self.sql("SHOW synchronous_standby_names") == name, 30)

    def drop_slot(self, name: str) -> None:
        """Whoever streamed from it was ours, and is ended."""
        slot = f"FROM pg_replication_slots WHERE slot_name = '{name}'"
        if self.sql(f"SELECT 1 {slot} AND active"):
            self.sql(f"SELECT pg_terminate_backend(active_pid) {slot}")
        wait(f"nobody uses the slot {name}", lambda: not self.sql(f"SELECT 1 {slot} AND active"), 30)
        self.sql(f"SELECT pg_drop_replication_slot(slot_name) {slot}")

    def settle(self) -> None:
        """Finishes what earlier work left to do, so that the next run does not pay for it."""
        self.sql("CHECKPOINT")
        waiting = self.data / "pg_wal/archive_status"
        wait("the archiver has nothing to do", lambda: not any(n.endswith(".ready") for n in os.listdir(waiting)), 600)
        wait("the WAL up to the last checkpoint is summarized", lambda: self.sql(
            "SELECT summarized_lsn >= redo_lsn FROM pg_get_wal_summarizer_state(), pg_control_checkpoint()") == "t", 600)
        os.sync()

    # Changing it

    def calm(self) -> None:
        """Otherwise the first scan of a table would set hint bits, and change pages that nobody counts."""
        self.sql("VACUUM (FREEZE)")
        self.settle()

    def change_pages(self, percent: float, set_number: int = 0) -> int:
        """Changes about this much of all pages of the database, one row in each, and returns how many it were. Another
        `set_number` is another set of pages, while there are enough. Rows have room beside them (fillfactor 90), so that a new
        version stays on its page.
        """
        pages = int(self.sql("SELECT pg_database_size('postgres') / 8192"))
        rows = int(self.sql("SELECT count(*) FROM pgbench_accounts"))
        step = max(1, int(rows / (pages * percent / 100)))
        first = 100 * set_number % step  # a page has fewer than 100 rows
        changed = self.sql(f"""
            WITH changed AS (UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid % {step} = {first}
                             RETURNING ctid)
            SELECT count(DISTINCT (ctid::text::point)[0]) FROM changed""")
        self.sql("SELECT pg_switch_wal()")
        self.settle()
        return int(changed)

    @property
    def before_backlog(self) -> Path:
        """A copy of this server from before its backlog: a recovery of it replays all of that. Only where one was wanted."""
        return self.home / "before-backlog"

    def backlog(self, copy_before: bool = False) -> Backlog:
        """WAL_MB of WAL that is waiting: page images and small updates, and bulk inserts, half and half. Made once, in a
        database that goes again: what other cases measure must not depend on it.
        """
        if self._backlog is None or (copy_before and not self.before_backlog.exists()):
            self.drop_slot(Backlog.HOLD)
            megabytes = self.place.settings.wal_mb
            say(f"making {megabytes} MB of WAL")
            self.sql("SELECT pg_switch_wal()")
            self.sql("CHECKPOINT")  # a slot begins at the last checkpoint's redo position
            begin = self.sql(f"SELECT pg_create_physical_replication_slot('{Backlog.HOLD}', true);"
                             f"SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = '{Backlog.HOLD}'").split()[-1]
            shutil.rmtree(self.before_backlog, ignore_errors=True)
            if copy_before:
                self.call("pg_basebackup", "-c", "fast", "-X", "none", "--no-slot", "-d", self.connection, "-D", self.before_backlog)
            self.sql("CREATE DATABASE backlog")
            self.call("pgbench", "-i", "-q", "-s", max(1, megabytes // 100), *self.client_options, "backlog")
            while self._written_since(begin) < megabytes / 2:
                self.sql("CHECKPOINT")  # page images follow
                self.call("pgbench", *self.client_options, "-n", "-N", "-c", "4", "-T", "2", "backlog")
            self.sql("CREATE TABLE filling (id int, first text, second text, at timestamptz)", "backlog")
            while self._written_since(begin) < megabytes:
                self.sql("INSERT INTO filling SELECT n, md5(random()::text), md5(n::text), now() - random() * interval '300 days'"
                         " FROM generate_series(1, 50000) AS n", "backlog")
            last_record, end = self.sql("SELECT pg_current_wal_insert_lsn(); SELECT pg_switch_wal()").split()
            self.sql("DROP DATABASE backlog")
            first, last = (self.sql(f"SELECT pg_walfile_name('{lsn}'::pg_lsn {inside})")
                           for lsn, inside in ((begin, "+ 1"), (end, "- 1")))
            names = sorted(name for name in os.listdir(self.data / "pg_wal") if re.fullmatch("[0-9A-F]{24}", name))
            self._backlog = Backlog(end, last_record, [name for name in names if first <= name <= last])
            self.settle()
        return self._backlog

    def _written_since(self, lsn: str) -> float:
        return float(self.sql(f"SELECT (pg_current_wal_lsn() - '{lsn}'::pg_lsn) / 1048576"))

    def data_size(self) -> int:
        """Bytes of its tables and indexes: what a restore has to bring back at least."""
        return content_size([self.data / "base"])


def content_size(paths: list[Path]) -> int:
    """Bytes of these files and of those below these directories; one that has several names counts once."""
    files = {}
    for path in paths:
        for file in [path, *path.rglob("*")]:
            try:
                status = file.lstat()
            except FileNotFoundError:
                continue
            if stat.S_ISREG(status.st_mode):
                files[status.st_dev, status.st_ino] = status.st_size
    return sum(files.values())


# The two databases

def fill_main(server: Server) -> None:
    """pgbench's tables, which compress well, and one that does not."""
    settings = server.place.settings
    server.call("pgbench", "-i", "-q", "-s", settings.scale, "-F", "90", *server.client_options, "postgres")
    server.sql(f"""
        CREATE TABLE mixed AS
            SELECT n AS id, md5(random()::text) AS first, md5(n::text) AS second, now() - random() * interval '300 days' AS at,
                   (random() * 1e6)::numeric(12, 2) AS amount,
                   jsonb_build_object('user', 'u' || (random() * 1e5)::int, 'weight', random(), 'tags', array['red', 'blue'],
                                      'done', random() > 0.5) AS document
            FROM generate_series(1, {settings.rows}) AS n;
        ALTER TABLE mixed ADD PRIMARY KEY (id);""")


def fill_small(server: Server) -> None:
    """Many tables with a few rows: a table, its TOAST table and the index of each, and their maps; six files a table."""
    server.sql("\n".join(
        f"CREATE TABLE t{n} (id int PRIMARY KEY, text text, at timestamptz DEFAULT now());"
        f"INSERT INTO t{n} (id, text) SELECT k, md5((k * {n})::text) FROM generate_series(1, 20) AS k;"
        for n in range(1, server.place.settings.small_tables + 1)))


def fill_empty(server: Server) -> None:
    """Nothing but what initdb makes."""


DATABASES = {"main": fill_main, "small": fill_small, "empty": fill_empty}


def stop_leftovers(place: Place) -> None:
    """What a killed run left running. We have locked the directory, so it is nobody else's."""
    for name, fill in DATABASES.items():
        Server(place, name, fill).stop()
    for group in (place.server_group, place.tool_group):
        if group:
            group.kill()


def require_server(place: Place) -> None:
    """The programs of PostgreSQL 18 are there, and the servers' user can run them."""
    programs = place.settings.pgark_pg_bin
    if not programs:
        raise Trouble("could not find PostgreSQL: PGARK_PG_BIN is not set",
                      f'run it through make bench, or set PGARK_PG_BIN="$(scripts/postgres {VERSION})"')
    answer = place.run([Path(programs) / "postgres", "--version"])
    if not re.match(rf"postgres \(PostgreSQL\) {VERSION}\D", answer):
        raise Trouble(f"could not use PGARK_PG_BIN={programs}: it has {answer}, and PostgreSQL {VERSION} is needed",
                      f'set PGARK_PG_BIN="$(scripts/postgres {VERSION})"')
    for program in ("initdb", "pg_ctl", "psql", "pgbench", "pg_basebackup", "pg_combinebackup", "pg_receivewal"):
        if not os.access(Path(programs) / program, os.X_OK):
            raise Trouble(f"could not use PGARK_PG_BIN={programs}: it has no {program}", "install the complete server package")
