"""Where a run happens: its directory, the user of its servers and tools, and how programs are started there.

PostgreSQL refuses to run as root, so root's servers and tools run as `postgres`, and everything lies where that user can
enter. Nothing of ours is left running: what is started in the background is on a list, and ended by its own process id.
"""
from __future__ import annotations

import fcntl
import os
import pwd
import re
import shutil
import signal
import subprocess
import zlib
from pathlib import Path

from measure import TIME, ControlGroup, ProcessTree
from settings import PROJECT, Settings
from trouble import Trouble

SERVER_USER = "postgres"
FAR_DIRECTORY = Path("/var/tmp/pgark-bench")


class Place:
    def __init__(self, settings: Settings):
        self.settings = settings
        self.account = pwd.getpwnam(self._user()) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self.directory = self._directory()
        self._lock()
        self.environment = self._environment()
        self.background: list[subprocess.Popen] = []
        self.logs = self.make(self.directory / "logs")
        self.run_directory = self.make(self.directory / "run")  # sockets; closed to others, as its servers trust everybody
        self.stores = self.make(self.directory / "stores", empty=True)
        self.restored = self.make(self.directory / "restored", empty=True)
        self.make(self.directory / "home")
        parent, name = ControlGroup.parent(), f"pgark-bench-{zlib.crc32(str(self.directory).encode()):08x}"
        self.server_group = ControlGroup(parent, name + "-server") if parent else None
        self.tool_group = ControlGroup(parent, name + "-tool") if parent else None
        self.how_counted = (ControlGroup if parent else ProcessTree).how

    def close(self) -> None:
        for process in list(self.background):
            self.end(process)
        if not self.settings.keep:
            for directory in (self.stores, self.restored):
                shutil.rmtree(directory, ignore_errors=True)
        for group in (self.server_group, self.tool_group):
            if group:
                group.remove()

    # The directory

    @staticmethod
    def _user() -> str:
        try:
            return pwd.getpwnam(SERVER_USER).pw_name
        except KeyError:
            raise Trouble(f"could not find the user {SERVER_USER}: PostgreSQL refuses to run as root, so its servers need one",
                          "scripts/postgres 18 creates it; or run this as another user than root") from None

    def _directory(self) -> Path:
        if self.settings.bench_dir:
            directory = Path(os.path.abspath(self.settings.bench_dir))
        else:
            near = PROJECT / "bench/data"
            directory = near if self._can_enter(PROJECT / "bench") else FAR_DIRECTORY
        if re.search(r"[^\w./@+-]", str(directory)):
            raise Trouble(f"could not use BENCH_DIR={directory}: it ends up in configuration files that have no quotes",
                          "choose a path of letters, digits and _ . / @ + - only")
        if len(str(directory)) > 80:
            raise Trouble(f"could not use BENCH_DIR={directory}: a socket's path may have 107 bytes", "choose a shorter path")
        there = next(parent for parent in (directory, *directory.parents) if parent.exists())
        if not self._can_enter(there):
            raise Trouble(f"could not use BENCH_DIR={directory}: the user {self.account.pw_name} cannot enter {there}",
                          f"choose another, for example BENCH_DIR={FAR_DIRECTORY}")
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        if directory.is_symlink() or directory.stat().st_uid != os.geteuid():
            raise Trouble(f"could not use {directory}: it belongs to somebody else", "set BENCH_DIR to a directory of your own")
        return directory

    def _can_enter(self, directory: Path) -> bool:
        return subprocess.run(["test", "-x", str(directory)], preexec_fn=self.entering()).returncode == 0

    def _lock(self) -> None:
        self._locked = open(self.directory / "lock", "w")
        try:
            fcntl.flock(self._locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Trouble(f"could not lock {self.directory}/lock: another run is using this directory",
                          "wait for it, or give this one another BENCH_DIR") from None

    def _environment(self) -> dict[str, str]:
        """Ours, without what would lead a tool to another server or another cluster file."""
        clean = {name: value for name, value in os.environ.items() if not re.match("PG|MAKE|MFLAGS", name)}
        return {**clean, "HOME": str(self.directory / "home"), "LC_ALL": "C", "USER": self.account.pw_name}

    def make(self, path: Path, empty: bool = False) -> Path:
        """A directory of the servers' user."""
        if empty:
            shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o700, exist_ok=True)
        os.chown(path, self.account.pw_uid, self.account.pw_gid)
        return path

    def write(self, path: Path, text: str) -> Path:
        path.write_text(text)
        os.chown(path, self.account.pw_uid, self.account.pw_gid)
        return path

    def require_space(self, needed: int) -> None:
        free = shutil.disk_usage(self.directory).free
        if free < needed:
            raise Trouble(f"could not begin: {self.directory} has {free >> 30} GiB free, and this may take {needed >> 30} GiB",
                          "set BENCH_DIR to a directory on a larger disk, or SCALE to a smaller number")

    # Programs

    def entering(self, group: ControlGroup | None = None):
        """What a child does before it becomes the program: enter its group, become the servers' user."""
        account = self.account

        def enter():
            if group:
                group.enter()
            if os.geteuid() == 0:
                os.initgroups(account.pw_name, account.pw_gid)
                os.setgid(account.pw_gid)
                os.setuid(account.pw_uid)
            os.umask(0o077)

        return enter

    def run(self, command: list, *, group: ControlGroup | None = None, text: str | None = None, timeout: float = 3600) -> str:
        """Runs a program that is not measured, and returns what it printed."""
        command = [str(word) for word in command]
        try:
            result = subprocess.run(command, input=text or "", text=True, errors="replace", capture_output=True, cwd="/",
                                    env=self.environment, preexec_fn=self.entering(group), timeout=timeout)
        except subprocess.TimeoutExpired:
            raise Trouble(f"could not wait for {shown(command)}: it has run for {timeout:g} s") from None
        except OSError as error:
            raise Trouble(f"could not run {command[0]}: {error.strerror}") from None
        if result.returncode != 0:
            raise Trouble(f"could not run {shown(command)}: {reason(result.stderr, result.stdout, result.returncode)}")
        return result.stdout.strip()

    def start(self, command: list, log: Path, group: ControlGroup | None = None) -> subprocess.Popen:
        """Starts a program in the background, in a session of its own."""
        with open(log, "ab") as out:
            process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/",
                                       env=self.environment, preexec_fn=self.entering(group), start_new_session=True)
        self.background.append(process)
        return process

    def end(self, process: subprocess.Popen) -> None:
        """Ends what `start` started: the process and what it started in its session."""
        for number, patience in ((signal.SIGINT, 15), (signal.SIGKILL, 15)):
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                pass
            try:
                process.wait(patience)
                break
            except subprocess.TimeoutExpired:
                continue
        if process in self.background:
            self.background.remove(process)


def require_time() -> None:
    try:
        answer = subprocess.run([TIME, "--version"], capture_output=True, text=True)
    except OSError:
        answer = None
    if answer is None or "GNU" not in answer.stdout + answer.stderr:
        raise Trouble(f"could not find GNU time at {TIME}: it measures the peak memory", "apt-get install time")


def shown(command: list[str]) -> str:
    """Enough of a command to know it again."""
    text = " ".join([os.path.basename(command[0]), *command[1:]])
    return text if len(text) <= 120 else text[:117] + "..."


def reason(errors: str, output: str, status: int) -> str:
    """The line in which a program says why it failed."""
    lines = [line.strip() for text in (output, errors) for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"could not|cannot|error|fatal|failed|exception", line, re.IGNORECASE)]
    return (telling or lines[-1:] or [f"exit status {status}"])[0][:300]
