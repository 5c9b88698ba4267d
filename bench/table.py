"""One Markdown table of medians and ratios."""
from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from measure import Figures


@dataclass
class Row:
    case: str
    label: str
    units: int = 1
    is_ours: bool = False
    is_reference: bool = False
    runs: list[Figures] = field(default_factory=list)
    failure: str | None = None

    def medians(self) -> dict[str, float]:
        """For one unit, where a run did several; no value where there is nothing to say."""
        if not self.runs or self.failure:
            return {}
        values = {
            "wall": statistics.median(run.wall for run in self.runs) / self.units,
            "cpu": statistics.median(run.cpu for run in self.runs) / self.units,
            "both": statistics.median(run.cpu + run.server_cpu for run in self.runs) / self.units,
            "memory": statistics.median(run.memory for run in self.runs),
        }
        if all(run.added is not None for run in self.runs):
            values["added"] = statistics.median(run.added for run in self.runs)
        return values

    def spread(self) -> str:
        """How far the slowest run was from the fastest, in percent of the median."""
        walls = [run.wall for run in self.runs]
        return f"{100 * (max(walls) - min(walls)) / statistics.median(walls):.0f} %" if len(walls) > 1 else ""


def seconds(value: float) -> str:
    return f"{value * 1000:.1f} ms" if value < 0.1 else f"{value:.2f} s"


def size(value: float) -> str:
    if abs(value) < 2**20:
        return f"{value / 2**10:.0f} KiB"
    return f"{value / 2**20:.1f} MiB" if value < 1000 * 2**20 else f"{value / 2**30:.2f} GiB"


COLUMNS = [("wall", "wall time", seconds), ("cpu", "CPU, tool", seconds), ("both", "CPU, tool and server", seconds),
           ("memory", "peak memory", size), ("added", "added to the store", size)]


def render(rows: list[Row]) -> str:
    lines = ["| case | tool | " + " | ".join(title for _, title, _ in COLUMNS) + " | runs | spread |",
             "|---|---|" + "--:|" * (len(COLUMNS) + 2)]
    previous = None
    for row in rows:
        beside = [other for other in rows if other.case == row.case]
        case, previous = row.case if row.case != previous else "", row.case
        label = f"**{row.label}**" if row.is_ours else f"_{row.label}_" if row.is_reference else row.label
        values = row.medians()
        if values:
            cells = [cell(values, column, show, ratio(row, beside, column)) for column, _, show in COLUMNS]
        else:
            cells = ["failed" if row.failure else "not measured"] + [""] * (len(COLUMNS) - 1)
        lines.append(f"| {case} | {label} | " + " | ".join(cells) + f" | {len(row.runs) or ''} | {row.spread()} |")
    return "\n".join(lines)


def cell(values: dict[str, float], column: str, show, times: float | None) -> str:
    if column not in values:
        return ""
    return show(values[column]) + (f" ({times:.2f})" if times is not None else "")


def ratio(row: Row, beside: list[Row], column: str) -> float | None:
    """A peer's value as a multiple of pgark's; pgark's as a multiple of the best peer's."""
    own = row.medians().get(column)
    if row.is_ours:
        others = [other.medians().get(column) for other in beside if not other.is_ours and not other.is_reference]
        compared = min((value for value in others if value is not None), default=None)
    else:
        compared = next((other.medians().get(column) for other in beside if other.is_ours), None)
    return own / compared if own is not None and compared else None


EXPLANATION = ("Medians. In parentheses: of a peer, how many times pgark's figure; of pgark, how many times the best peer's. "
               "In italics: does less than the others and is shown for scale.")
