#!/usr/bin/env python3
"""Measures pgark beside pg_basebackup, pg_combinebackup, pg_receivewal, Barman and pgBackRest, where they are installed.

    make bench                              everything; an hour or two
    make bench CASES=full RUNS=3            the cases whose names match
    bench/bench.py --list                   the cases
    bench/bench.py --help                   what can be set

The tools take turns (A B C, A B C, ...), so that a machine that becomes slower meanwhile does so for all of them. The table of
medians goes to stdout and with every single run into bench/results/; what happens meanwhile goes to stderr. README.md says
what the figures mean.
"""
from __future__ import annotations

import signal
import sys

sys.dont_write_bytecode = True  # nothing of ours beside the sources

from cases import CASES, Bench, Case  # noqa: E402
from tools import TOOLS  # noqa: E402
from tools.tool import Absent, Tool  # noqa: E402
from place import Place, require_time  # noqa: E402
from report import report, require_results  # noqa: E402
from rounds import run_case  # noqa: E402
from server import require_server, stop_leftovers  # noqa: E402
from settings import VARIABLES, Settings  # noqa: E402
from table import Row  # noqa: E402
from trouble import Trouble, say  # noqa: E402


def main() -> int:
    if "--help" in sys.argv[1:] or "-h" in sys.argv[1:]:
        return show_help()
    if "--list" in sys.argv[1:]:
        return show_cases()
    settings = Settings()
    chosen = [case for case in CASES if settings.wanted.search(case.name)]
    if not chosen:
        raise Trouble(f"could not find a case that matches CASES={settings.cases}", "the cases: bench/bench.py --list")
    require_time()
    require_results()
    place = Place(settings)
    try:
        return run(place, chosen)
    finally:
        place.close()


def run(place: Place, chosen: list[Case]) -> int:
    require_server(place)
    stop_leftovers(place)
    tools, absent = find_tools(place)
    say(f"counting processor time by {place.how_counted}, in {place.directory}")
    if any(case.database == "main" for case in chosen):
        # The cluster, uncompressed copies of some tools, a restored one, smaller ones; and the server's WAL
        place.require_space(6 * place.settings.scale * 22 * 2**20 + (4 << 30))
    bench = Bench(place, tools)
    rows: list[Row] = []
    try:
        for case in chosen:
            run_case(bench, case, rows)
        status = 1 if any(row.failure and row.is_ours for row in rows) else 0
    finally:
        try:
            if bench.server:
                bench.server.stop()
        finally:
            if rows:  # what was measured before an interrupt is not lost
                report(place, tools, absent, rows)
    return status


def find_tools(place: Place) -> tuple[list[Tool], list[str]]:
    """Those that are installed, and of the others the reason why they are not there."""
    tools, reasons = [], {}
    for kind in TOOLS:
        try:
            tools.append(kind(place))
        except Absent as why:
            reasons.setdefault(str(why), []).append(kind.name)
    absent = [f"{' and '.join(names)}: {why}" for why, names in reasons.items()]
    for line in absent:
        say(f"absent: {line}")
    return tools, absent


def show_help() -> int:
    print(__doc__)
    print("Settings are environment variables:")
    for name, default, what in VARIABLES:
        print(f"  {name:<13} {what}" + (f" [{default}]" if default else ""))
    return 0


def show_cases() -> int:
    for case in CASES:
        print(f"{case.name:<15} {case.about}")
    return 0


def interrupt(*_) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    # SIGINT too: a shell's background job would ignore it, and so would all its children.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        sys.exit(main())
    except Trouble as trouble:
        print(f"bench: {trouble}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        print(f"bench: could not go on: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        say("interrupted; everything that was started has ended")
        sys.exit(130)
