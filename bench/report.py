"""Says and keeps what was measured: the table, who was absent, on what machine, and every single run."""
from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from dataclasses import asdict
from datetime import datetime, timezone

from tools.tool import Tool
from place import Place
from settings import PROJECT
from table import EXPLANATION, Row, render, size
from trouble import Trouble

RESULTS = PROJECT / "bench/results"


def require_results() -> None:
    try:
        RESULTS.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Trouble(f"could not create {RESULTS}: {error.strerror}", "run this in a clone of your own") from None
    if not os.access(RESULTS, os.W_OK):
        raise Trouble(f"could not write into {RESULTS}: it belongs to somebody else", "remove it, or run this as its owner")


def report(place: Place, tools: list[Tool], absent: list[str], rows: list[Row]) -> None:
    """The table to stdout, and all of it into a file. The file's name is the moment, so that no result replaces another."""
    moment = datetime.now(timezone.utc)
    print(render(rows))
    remarks = [EXPLANATION, *increments(rows), *failures(rows), *(f"Absent: {why}." for why in absent),
               *(remark for tool in tools for remark in tool.remarks), *machine(place, tools)]
    print("\n" + "\n".join(f"- {remark}" for remark in remarks))
    path = RESULTS / f"{moment:%Y%m%dT%H%M%SZ}"
    path.with_suffix(".md").write_text(render(rows) + "\n\n" + "\n".join(f"- {remark}" for remark in remarks) + "\n")
    path.with_suffix(".json").write_text(json.dumps({
        "time": moment.isoformat(timespec="seconds"), "machine": machine(place, tools), "sizes": place.settings.sizes(),
        "absent": absent, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    print(f"kept in {path}.md and {path.name}.json", file=sys.stderr)


def increments(rows: list[Row]) -> list[str]:
    """What pgark says it read, beside what was changed."""
    remarks = []
    for row in rows:
        facts = [run.facts for run in row.runs if run.facts and "changed_pages" in run.facts and "read_bytes" in run.facts]
        if facts:
            pages, read, stored = (statistics.median(fact[name] for fact in facts)
                                   for name in ("changed_pages", "read_bytes", "stored_bytes"))
            methods = " or ".join(sorted({fact["method"] for fact in facts}))
            remarks.append(f"{row.case}: {pages:,.0f} pages ({size(pages * 8192)}) were changed; pgark's backup was {methods}, "
                           f"read {size(read)} and stored {size(stored)}.")
    return remarks


def failures(rows: list[Row]) -> list[str]:
    return [f"Failed: {row.case}, {row.label}: {row.failure.splitlines()[0]}" for row in rows if row.failure]


def machine(place: Place, tools: list[Tool]) -> list[str]:
    server = place.run([f"{place.settings.pgark_pg_bin}/postgres", "--version"])
    versions = dict.fromkeys([server, *(tool.version for tool in tools)])  # each once, in order
    sizes = ", ".join(f"{name}={value}" for name, value in place.settings.sizes().items())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return [f"{'; '.join(versions)}.",
            f"{os.cpu_count()} CPUs ({processor()}), {size(memory)} of memory, Linux {platform.release()}; "
            f"CPU time counted by {place.how_counted}; warm page cache.",
            f"{sizes}."]


def processor() -> str:
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
