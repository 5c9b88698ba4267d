"""Runs a case: every tool's preparation, then the tools in turn, round by round."""
from __future__ import annotations

from datetime import datetime

from cases import Bench, Case, Entrant, Plan
from measure import Outcome, measure
from place import reason, shown
from server import DATABASES, Server, content_size
from table import Row
from trouble import Trouble, say


def run_case(bench: Bench, case: Case, rows: list[Row]) -> None:
    """Adds the rows of the case to `rows` before anything is measured, so that an interrupt loses nothing."""
    say(f"{datetime.now():%H:%M:%S} {case.name}: {case.about}")
    use_database(bench, case.database)
    plan = case.plan(bench)
    of_case = [Row(case.name, entrant.label, entrant.units, entrant.is_ours, entrant.is_reference) for entrant in plan.entrants]
    rows.extend(of_case)
    try:
        for row, entrant in zip(of_case, plan.entrants):
            attempt(row, "prepare", entrant.setup)
        for number in range(1, bench.settings.runs + 1):
            run_round(bench, plan, of_case, number)
    finally:
        clean_up(bench)


def use_database(bench: Bench, name: str | None) -> None:
    """One server at a time, and none where none is needed."""
    if bench.server and bench.server.name != name:
        bench.server.stop()
        bench.server = None
    if name and not bench.server:
        bench.server = Server(bench.place, name, DATABASES[name])
        bench.server.start()


def clean_up(bench: Bench) -> None:
    for tool in bench.tools:
        try:
            tool.end()
        except Trouble as trouble:
            say(f"  could not clean up behind {tool.name}: {trouble}")
    if not bench.settings.keep:
        bench.place.make(bench.place.stores, empty=True)
    bench.place.make(bench.place.restored, empty=True)


def run_round(bench: Bench, plan: Plan, rows: list[Row], number: int) -> None:
    facts = plan.before_round()
    for row, entrant in zip(rows, plan.entrants):
        if row.failure:
            continue  # what failed once is not tried again
        attempt(row, "run", lambda: run_entrant(bench, entrant, row, facts))
        if not row.failure:
            latest = row.runs[-1]
            say(f"  {number}/{bench.settings.runs}  {row.label}: {latest.wall:.2f} s, CPU {latest.cpu:.2f} s"
                f" and the server's {latest.server_cpu:.2f} s, {latest.memory / 2**20:.1f} MiB")


def attempt(row: Row, what: str, action) -> None:
    """A tool that fails drops out of the case; the others go on."""
    if row.failure:
        return
    try:
        action()
    except Trouble as trouble:
        row.failure = str(trouble)
        say(f"  {row.label} drops out (to {what}): {trouble}")


def run_entrant(bench: Bench, entrant: Entrant, row: Row, facts: dict) -> None:
    entrant.prepare()
    try:
        command = [str(word) for word in entrant.command()]
        if bench.server:
            bench.server.settle()
        for path in entrant.warm():
            read_all(path)
        before = content_size(entrant.content()) if entrant.content else 0
        outcome, output = run_measured(bench, entrant, row, command)
        entrant.check()
        figures = outcome.figures
        figures.wall -= entrant.idle
        figures.added = content_size(entrant.content()) - before if entrant.content else None
        figures.facts = {**facts, **entrant.tool.facts(output)}
        row.runs.append(figures)
    finally:
        entrant.finish()


def run_measured(bench: Bench, entrant: Entrant, row: Row, command: list[str]) -> tuple[Outcome, str]:
    place = bench.place
    output, errors, report = (place.logs / name for name in ("output", "errors", "memory"))
    place.write(report, "")
    outcome = measure(
        command, enter=place.entering(place.tool_group), group=place.tool_group,
        server_seconds=bench.server.seconds if bench.server else lambda: 0.0, environment=place.environment,
        report=report, output=output, errors=errors, until=entrant.until)
    said, complained = output.read_text(errors="replace"), errors.read_text(errors="replace")
    log = place.logs / f"{row.case}-{entrant.tool.word}.log"
    with open(log, "a") as file:
        file.write(f"$ {' '.join(command)}\n{said}{complained}exit status {outcome.status}\n")
    if outcome.status != 0:
        raise Trouble(f"could not run {shown(command)}: {reason(complained, said, outcome.status)}", f"all it said: {log}")
    return outcome, said


def read_all(path) -> None:
    """Into the page cache."""
    files = [path] if path.is_file() else (file for file in path.rglob("*") if file.is_file() and not file.is_symlink())
    for file in files:
        try:
            with open(file, "rb", buffering=0) as stream:
                while stream.read(1 << 20):
                    pass
        except FileNotFoundError:
            continue  # the server removed it meanwhile
