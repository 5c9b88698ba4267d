"""What a command costs: time, processor time of itself and of the server, peak memory.

Two things are easy to get wrong. The peak resident set that the kernel reports for a child begins with that of the process
it was forked from, so GNU time stands between this interpreter and the command: it is small. And a server's work is done
by processes that come and go, which only a control group adds up for good; where we may not make one, the server's process
tree has to do, and the results say so.
"""
from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from trouble import Trouble

TIME = "/usr/bin/time"
LONGEST_RUN = 3 * 3600  # seconds; whatever runs longer hangs


class ControlGroup:
    """Processes whose processor time is counted together, that of those that have ended included."""

    how = "control groups"

    def __init__(self, parent: Path, name: str):
        self.path = parent / name
        self.path.mkdir(exist_ok=True)
        self.is_version_2 = (self.path / "cpu.stat").exists() and not (self.path / "cpuacct.usage").exists()
        self.members = self.path / "cgroup.procs"

    @staticmethod
    def parent() -> Path | None:
        """Where we may make groups: the hierarchy of version 2, or the cpuacct one of version 1."""
        found = {}
        for line in Path("/proc/mounts").read_text().splitlines():
            _, where, kind, options = line.split()[:4]
            if kind == "cgroup2" or (kind == "cgroup" and "cpuacct" in options.split(",")):
                found.setdefault(kind, Path(where))
        for kind in ("cgroup2", "cgroup"):
            if kind in found and ControlGroup._counts(found[kind]):
                return found[kind]
        return None

    @staticmethod
    def _counts(parent: Path) -> bool:
        """Tried out: such a hierarchy may be there and not be ours to change, or not count."""
        try:
            group = ControlGroup(parent, f"pgark-bench-probe-{os.getpid()}")
        except OSError:
            return False
        try:
            subprocess.run(["true"], preexec_fn=group.enter)
            return group.seconds() > 0
        except (OSError, subprocess.SubprocessError, StopIteration):
            return False
        finally:
            group.remove()

    def enter(self) -> None:
        """The calling process, and from now on what it starts."""
        self.members.write_text(str(os.getpid()))

    def seconds(self) -> float:
        if self.is_version_2:
            usage = next(line for line in (self.path / "cpu.stat").read_text().splitlines() if line.startswith("usage_usec"))
            return int(usage.split()[1]) / 1e6
        return int((self.path / "cpuacct.usage").read_text()) / 1e9

    def kill(self) -> None:
        """Only for a group in which every process is one that we started."""
        for process in self.members.read_text().split():
            try:
                os.kill(int(process), signal.SIGKILL)
            except ProcessLookupError:
                pass

    def remove(self) -> None:
        try:
            self.path.rmdir()
        except OSError:
            pass  # something of ours still ends in there; an empty group costs nothing


class ProcessTree:
    """The next best to a control group: a process and its descendants, and of those that have ended what their parent knows."""

    how = "process trees (no control group could be made), in steps of 10 ms and without a tool's helpers in the background"
    tick = os.sysconf("SC_CLK_TCK")

    def __init__(self, root: int):
        self.root = root

    def seconds(self) -> float:
        children: dict[int, list[int]] = {}
        spent: dict[int, int] = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                # The name, in parentheses, may hold anything; behind it: state, parent, ..., utime, stime, cutime, cstime
                fields = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has just ended
            children.setdefault(int(fields[1]), []).append(int(entry))
            spent[int(entry)] = sum(map(int, fields[11:15]))
        total, waiting = 0, [self.root]
        while waiting:
            process = waiting.pop()
            total += spent.get(process, 0)
            waiting += children.get(process, [])
        return total / self.tick


@dataclass
class Figures:
    wall: float  # seconds
    cpu: float  # seconds of the tool and everything it started
    server_cpu: float  # seconds that the server, its archive command and helpers used meanwhile
    memory: int  # bytes: the peak resident set of the largest process
    added: int | None = None  # bytes: what was added to the store
    facts: dict | None = None  # what the tool itself reported


@dataclass
class Outcome:
    status: int
    figures: Figures


def measure(command: list[str], *, enter, group: ControlGroup | None, server_seconds, environment: dict[str, str],
            report: Path, output: Path, errors: Path, until=None) -> Outcome:
    """Runs a command to its end. `enter` is called in the child; GNU time writes to `report`, which the child must be able
    to write. A command that would go on for ever is interrupted as soon as `until` is true: its work was done then, so that
    is its time; its processor time is counted to its exit.
    """
    timed = [TIME, "-q", "-f", "%M", "-o", str(report), "--", *command]
    with open(output, "wb") as out, open(errors, "wb") as err:
        server_before, group_before = server_seconds(), group.seconds() if group else 0
        begin = time.perf_counter()
        child = subprocess.Popen(timed, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, cwd="/",
                                 preexec_fn=enter, start_new_session=True)
    try:
        status, usage, wall = _wait(child, begin, until)
    except BaseException:
        _end(child, group)
        raise
    cpu = group.seconds() - group_before if group else usage.ru_utime + usage.ru_stime
    server_cpu = server_seconds() - server_before
    try:
        memory = int(report.read_text().split()[-1]) * 1024
    except (OSError, ValueError, IndexError):
        raise Trouble(f"could not read what {TIME} reported about {command[0]}: {report} has no number",
                      "is it GNU time? apt-get install time") from None
    return Outcome(status, Figures(wall, cpu, server_cpu, memory))


def _wait(child: subprocess.Popen, begin: float, until):
    ended = select.poll()
    descriptor = os.pidfd_open(child.pid)
    try:
        ended.register(descriptor, select.POLLIN)
        wall = None
        while not ended.poll(5 if until else 1000):
            if until and until():
                wall = time.perf_counter() - begin
                os.killpg(child.pid, signal.SIGINT)  # GNU time ignores it, the command ends in order
                until = None
            if time.perf_counter() - begin > LONGEST_RUN:
                raise Trouble(f"could not wait for {child.args[7]} any longer: it has run for {LONGEST_RUN // 3600} hours")
        wall = wall or time.perf_counter() - begin
    finally:
        os.close(descriptor)
    _, code, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(code)
    return child.returncode, usage, wall


def _end(child: subprocess.Popen, group: ControlGroup | None) -> None:
    if child.returncode is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    if group:
        group.kill()
