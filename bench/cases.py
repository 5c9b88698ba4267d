"""What is measured. A case makes entrants of the tools: a command to measure, and what has to be done around it.

No case relies on another: each takes the backups that it needs, so any of them can be run alone.
"""
from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Callable

from tools.pgark import Pgark
from tools.tool import Tool
from place import Place
from server import Backlog, Server, content_size
from trouble import Trouble

USUAL_LEVEL = 3  # zstd
PUT_LEVEL = 1
REPLAY_PORT = 54398  # names a socket


def nothing():
    return None


@dataclass
class Entrant:
    tool: Tool
    label: str
    command: Callable[[], list]
    setup: Callable = nothing  # once, before the first round
    prepare: Callable = nothing  # before every run
    finish: Callable = nothing  # after every run, also after one that failed
    check: Callable = nothing  # raises Trouble where the result is not right
    content: Callable[[], list] | None = None  # where to count what was added
    warm: Callable[[], list] = list  # what the command will read: brought into the page cache before every run
    until: Callable[[], bool] | None = None  # for a command without an end: when to interrupt it
    idle: float = 0  # seconds of it that the command sleeps; they do not count
    units: int = 1  # how many things one run does; the table is for one of them
    is_ours: bool = False  # the row that the others are compared with
    is_reference: bool = False  # shown for scale; does less than the others


@dataclass
class Plan:
    entrants: list[Entrant]
    before_round: Callable[[], dict] = dict  # changes what the entrants work on; returns facts about that


@dataclass
class Case:
    name: str
    about: str
    database: str | None  # which server runs meanwhile
    plan: Callable[[Bench], Plan]


@dataclass
class Bench:
    place: Place
    tools: list[Tool]
    server: Server | None = None
    cases: list[Case] = field(default_factory=list)

    @property
    def settings(self):
        return self.place.settings

    def entrants(self, kind: str, make: Callable[[Tool], dict]) -> list[Entrant]:
        """Of all tools that take part in this kind of case."""
        return [
            Entrant(tool, tool.takes_part[kind], is_ours=isinstance(tool, Pgark), is_reference=kind in tool.references,
                    **make(tool))
            for tool in self.tools if kind in tool.takes_part
        ]


# Backups

def full_backup(level: int):
    def plan(bench: Bench) -> Plan:
        def make(tool: Tool) -> dict:
            def prepare():
                tool.begin(bench.server, level)
                tool.before_backup()

            return dict(prepare=prepare, command=partial(tool.backup, True), finish=tool.after_backup, content=tool.content,
                        warm=lambda: [bench.server.data])

        return Plan(bench.entrants("full", make))

    return plan


def incremental_backup(percent: float):
    """The same pages are changed anew in every round, before all tools take their turn. So for each of them it is always this
    share of the pages that is different, whether it looks back to its full backup (the peers) or to its newest (pgark)."""

    def plan(bench: Bench) -> Plan:
        bench.server.calm()

        def make(tool: Tool) -> dict:
            def setup():
                tool.begin(bench.server, USUAL_LEVEL)
                tool.take()

            return dict(setup=setup, prepare=tool.before_backup, command=partial(tool.backup, False), finish=tool.after_backup,
                        content=tool.content, warm=lambda: [bench.server.data])

        return Plan(bench.entrants("increment", make), lambda: {"changed_pages": bench.server.change_pages(percent)})

    return plan


# Restores

def restore(setup: Callable[[Bench, Tool], None], kind: str = "restore", delta: bool = False):
    def plan(bench: Bench) -> Plan:
        def make(tool: Tool) -> dict:
            return dict(setup=partial(setup, bench, tool), command=partial(tool.restore, delta),
                        finish=nothing if delta else tool.clear_restored, check=partial(require_restored, bench, tool),
                        warm=lambda: [*tool.content(), *([tool.restored] if delta else [])])

        return Plan(bench.entrants(kind, make))

    return plan


def with_full(bench: Bench, tool: Tool) -> None:
    tool.begin(bench.server, USUAL_LEVEL)
    tool.take()


def with_increment(bench: Bench, tool: Tool) -> None:
    bench.server.calm()
    with_full(bench, tool)
    bench.server.change_pages(10)
    tool.take(full=False)


def with_restored(bench: Bench, tool: Tool) -> None:
    with_full(bench, tool)
    bench.place.run(tool.restore())


def require_restored(bench: Bench, tool: Tool) -> None:
    """Not a test, but a restore that only seemed to work must not look fast."""
    size, expected = content_size([tool.restored / "base"]), bench.server.data_size()
    if not (tool.restored / "global/pg_control").exists() or size < 0.95 * expected:
        raise Trouble(f"could not use the run: it restored {size:,} of about {expected:,} bytes of tables to {tool.restored}")


def restore_chain(bench: Bench) -> Plan:
    """What many increments cost a restore: pgark against itself. Each of them has other pages than those before."""
    tool = next(tool for tool in bench.tools if isinstance(tool, Pgark))
    count = bench.settings.increments
    backups: dict[str, str] = {}

    def setup():
        bench.server.calm()
        with_full(bench, tool)
        backups["full"] = tool.newest()
        for number in range(1, count + 1):
            bench.server.change_pages(1, set_number=number)
            tool.take(full=False)
        backups["newest"] = tool.newest()

    def command(which: str) -> list:
        if which not in backups:
            raise Trouble(f"could not restore the {which} backup: the {count} increments were not all taken")
        return tool.restore(backup=backups[which])

    def entrant(which: str, label: str, **more) -> Entrant:
        return Entrant(tool, label, command=partial(command, which), finish=tool.clear_restored,
                       check=partial(require_restored, bench, tool), warm=tool.content, **more)

    return Plan([entrant("full", "pgark, the full backup", setup=setup),
                 entrant("newest", f"pgark, after {count} increments", is_ours=True)])


# WAL

def receive_wal(bench: Bench) -> Plan:
    """Catching up: from an empty archive to the end of a backlog, complete segments durable and compressed at the end."""
    backlog, slot = bench.server.backlog(), "bench_run"

    def make(tool: Tool) -> dict:
        def prepare():
            tool.begin(bench.server, USUAL_LEVEL)
            bench.server.drop_slot(slot)
            bench.server.sql(f"SELECT pg_copy_physical_replication_slot('{Backlog.HOLD}', '{slot}')")

        return dict(prepare=prepare, command=lambda: tool.receive(backlog, slot), finish=partial(bench.server.drop_slot, slot),
                    content=lambda: [tool.store], warm=lambda: [bench.server.data / "pg_wal"],
                    until=partial(tool.has_received, backlog) if isinstance(tool, Pgark) else None)

    return Plan(bench.entrants("receive", make))


def commit(clients: int):
    """pgbench, while the tool is the only standby that commits wait for. The table is for one commit of one client; its CPU and
    memory are pgbench's."""

    def plan(bench: Bench) -> Plan:
        server, each = bench.server, max(1, bench.settings.commits // clients)

        def make(tool: Tool) -> dict:
            def prepare():
                tool.begin(server, USUAL_LEVEL)
                tool.accompany()
                server.wait_for_standby(tool.application)

            def finish():
                server.wait_for_standby(None)
                tool.leave()

            def command() -> list:
                return [server.programs / "pgbench", *server.client_options, "-n", "-N", "-c", clients, "-t", each, "postgres"]

            return dict(prepare=prepare, command=command, finish=finish, units=each)

        return Plan(bench.entrants("commit", make))

    return plan


def get_wal(bench: Bench) -> Plan:
    """What a restore_command does: one process for each segment, one segment after another, as a recovery asks for them: it wants
    them at pg_wal/RECOVERYXLOG, takes each away from there, and replays it before it asks for the next."""
    replay = 0.05  # seconds; a server replays some 300 MB/s
    backlog = bench.server.backlog()
    segments = backlog.segments[:bench.settings.segments]

    def make(tool: Tool) -> dict:
        folder = tool.restored / "pg_wal"

        def command(get: str) -> list:
            # The shell sleeps by itself: it waits for a pipe to which nobody writes.
            script = (f'target=$1/RECOVERYXLOG; shift; exec 9<> <(:); for segment; do {get} && mv "$target" "$target.$segment" || exit; '
                      f'read -rt {replay} -u 9; done; true')
            return ["bash", "-c", script, "bash", folder, *segments]

        def setup():
            tool.begin(bench.server, USUAL_LEVEL)
            tool.prepare_get(backlog, len(segments))

        def check():
            size = content_size([folder / f"RECOVERYXLOG.{segments[-1]}"])
            if size != 16 << 20:
                raise Trouble(f"could not use the run: the last segment that it delivered has {size:,} bytes")

        return dict(setup=setup, prepare=lambda: bench.place.make(folder), command=lambda: command(tool.get()),
                    finish=tool.clear_restored, check=check, units=len(segments), idle=replay * len(segments),
                    warm=tool.content_of_archive)

    plan = Plan(bench.entrants("get", make))
    ours = next((entrant for entrant in plan.entrants if entrant.is_ours), None)
    if ours:  # the same without what it prefetches
        def command() -> list:
            shell, option, script, *rest = ours.command()
            return [shell, option, script.replace('"$target" &&', '"$target" --no-prefetch &&'), *rest]

        alone = replace(ours, label="pgark --no-prefetch", setup=nothing, command=command, is_ours=False, is_reference=True)
        plan.entrants.insert(1, alone)
    return plan


def put_wal(bench: Bench) -> Plan:
    """What an archive_command does: one process for each segment, one segment after another, each durable at its end."""
    backlog = bench.server.backlog()
    segments = backlog.segments[:bench.settings.segments]

    def make(tool: Tool) -> dict:
        def command() -> list:
            script = f'source=$1; shift; for segment; do {tool.put()} || exit; done'
            return ["sh", "-c", script, "sh", bench.server.data / "pg_wal", *segments]

        return dict(prepare=lambda: tool.begin(bench.server, PUT_LEVEL), command=command, units=len(segments),
                    content=lambda: [tool.store], warm=lambda: [bench.server.data / "pg_wal"])

    return Plan(bench.entrants("put", make))


def replay_wal(bench: Bench) -> Plan:
    """A whole recovery of the backlog, from the start of the server until it has replayed all and stopped: with the segments in
    its own pg_wal, and through every tool's restore_command."""
    server = bench.server
    backlog = server.backlog(copy_before=True)

    def make(tool: Tool) -> dict:
        data = tool.restored / "data"

        def setup():
            tool.begin(server, PUT_LEVEL)
            tool.prepare_get(backlog, count=len(backlog.segments))

        def prepare():
            tool.clear_restored()
            bench.place.run(["cp", "-a", server.before_backlog, data])
            tool.prepare_replay(backlog, data)
            bench.place.write(data / "recovery.signal", "")

        def command() -> list:
            settings = {"restore_command": tool.restore_command(), "recovery_target_lsn": backlog.last_record,
                        "recovery_target_timeline": "current", "recovery_target_action": "shutdown", "archive_mode": "off",
                        "port": REPLAY_PORT, "logging_collector": "off"}
            return [server.programs / "postgres", "-D", data, *(f"--{name}={value}" for name, value in settings.items())]

        def check():
            control = bench.place.run([server.programs / "pg_controldata", "-D", data])
            state = re.search("Database cluster state: *(.*)", control).group(1)
            redone = re.search("Minimum recovery ending location: *(.*)", control).group(1)
            if state != "shut down in recovery" or number_of(redone) < number_of(backlog.last_record):
                raise Trouble(f"could not use the run: the server is {state}, and has replayed up to {redone}"
                              f" of {backlog.last_record}")

        return dict(setup=setup, prepare=prepare, command=command, check=check, finish=tool.clear_restored,
                    warm=lambda: [*tool.content_of_archive(), tool.restored])

    return Plan(bench.entrants("replay", make))


def number_of(lsn: str) -> int:
    high, low = lsn.split("/")
    return int(high, 16) << 32 | int(low, 16)


# Short commands

def repeated(bench: Bench, command: list) -> list:
    loop = 'n=$1; shift; while [ "$n" -gt 0 ]; do "$@" >/dev/null || exit; n=$((n - 1)); done'
    return ["sh", "-c", loop, "sh", bench.settings.loops, *command]


def version(bench: Bench) -> Plan:
    return Plan(bench.entrants("version", lambda tool: dict(
        command=lambda: repeated(bench, tool.startup()), units=bench.settings.loops)))


def listing(kind: str):
    def plan(bench: Bench) -> Plan:
        def make(tool: Tool) -> dict:
            def setup():
                with_full(bench, tool)
                tool.multiply(bench.settings.backups)
                commands[tool] = tool.listing() if kind == "list" else tool.showing()

            commands: dict[Tool, list] = {}
            return dict(setup=setup, command=lambda: repeated(bench, commands[tool]), units=bench.settings.loops)

        return Plan(bench.entrants(kind, make))

    return plan


CASES = [
    Case("full-zstd1", "a full backup, zstd 1", "main", full_backup(1)),
    Case("full-zstd3", "a full backup, zstd 3", "main", full_backup(3)),
    Case("incr-1", "an incremental backup after 1 % of the pages were changed", "main", incremental_backup(1)),
    Case("incr-10", "an incremental backup after 10 % of the pages were changed", "main", incremental_backup(10)),
    Case("restore-full", "a restore of a full backup", "main", restore(with_full)),
    Case("restore-incr", "a restore of a full backup and an increment of 10 %", "main",
         restore(with_increment, "restore-increment")),
    Case("restore-chain", "a restore after many increments of 1 %, beside one of the full backup", "main", restore_chain),
    Case("delta", "a delta restore onto a directory that is right already", "main", restore(with_restored, "delta", delta=True)),
    Case("list", "the list of many backups", "main", listing("list")),
    Case("show", "one of many backups", "main", listing("show")),
    Case("wal-receive", "catching up with a backlog of WAL", "main", receive_wal),
    Case("commit-latency-1", "a commit that waits for a synchronous standby, one client", "main", commit(1)),
    Case("commit-latency-8", "the same with eight clients", "main", commit(8)),
    Case("wal-put", "a segment archived by the server, zstd 1", "main", put_wal),
    Case("wal-get", "a segment for a recovery", "main", get_wal),
    Case("wal-replay", "a recovery that replays a backlog of WAL", "empty", replay_wal),
    Case("small-backup", "a full backup of many small tables, zstd 3", "small", full_backup(3)),
    Case("small-restore", "a restore of many small tables", "small", restore(with_full)),
    Case("version", "starting up and saying the version", None, version),
]
