"""The one error of this program, a deadline for everything that waits, and a word about what happens."""
from __future__ import annotations

import sys
import time


class Trouble(Exception):
    """Something that a person has to put right: `could not <verb> <object>: <reason>`, and a way out."""

    def __init__(self, message: str, hint: str | None = None):
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message + (f"\nHINT: {self.hint}" if self.hint else "")


def wait(what: str, condition, seconds: float, pause: float = 0.05):
    """Returns what `condition` returns as soon as that is true."""
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise Trouble(f"could not see that {what} within {seconds:g} s")
        time.sleep(pause)


def say(text: str) -> None:
    """To stderr: stdout is for the table."""
    print(text, file=sys.stderr, flush=True)
