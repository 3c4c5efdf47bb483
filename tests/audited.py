"""
Run command lines one after the other, and say which files they read: ``python -m tests.audited COMMANDS REPORT``.

Both are JSON files: a list of lists of words; for each the exit status, and the files that were opened to be read or
that code was compiled from, with whether something else than ``durable`` and ``trust`` has opened one that the command did not write.
"""

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from sb3_cardqn import durable

BEING_WRITTEN = re.compile(r"\..*\.[0-9a-f]{16}(\.\w+)?")  # see durable.replacing


class StopAt200(BaseCallback):
    """Stop the process as Ctrl-C does, once."""

    def _on_step(self) -> bool:
        if self.num_timesteps == 200:
            os.kill(os.getpid(), signal.SIGINT)
        return True


class Watch:
    """Notes files as Python's audit events tell of them; other processes tell nothing."""

    def __init__(self) -> None:
        self.opened: dict[str, bool] = {}
        self.written: set[str] = set()

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[0], (str, bytes)):
            flags = args[2]
            if flags & os.O_ACCMODE != os.O_RDONLY:
                self.written.add(os.path.abspath(os.fsdecode(args[0])))
            if flags & os.O_ACCMODE != os.O_WRONLY and not flags & (os.O_TRUNC | os.O_EXCL):
                self.note(args[0], not _in_durable())
        elif event == "os.rename":
            self.written.add(os.path.abspath(os.fsdecode(args[1])))
        elif event == "compile" and isinstance(args[1], (str, bytes)):
            self.note(args[1], False)
        elif event == "sqlite3.connect":
            self.note(args[0], False)

    def note(self, name: str | bytes, by_others: bool) -> None:
        path = os.path.abspath(os.fsdecode(name))
        if os.path.isfile(path) and not BEING_WRITTEN.fullmatch(os.path.basename(path)):
            self.opened[path] = self.opened.get(path, False) or (by_others and path not in self.written)


def _in_durable() -> bool:
    """Whether a function of ``durable`` is being called, which checks what it opens and opens it once."""
    frame = sys._getframe()
    while frame.f_back and frame.f_code.co_filename != durable.__file__:
        frame = frame.f_back
    return frame.f_code.co_filename == durable.__file__


def main(commands: list[list[str]]) -> list[tuple[Any, dict[str, bool]]]:
    from sb3_cardqn import cli

    watch, report = Watch(), []
    sys.addaudithook(watch)
    for words in commands:
        watch.opened.clear()
        watch.written.clear()
        status: Any = 0
        print("$ sb3-cardqn", *words, flush=True)
        try:
            cli.main(words)
        except SystemExit as ended:
            status = ended.code
        except Exception as error:  # once anything was trained in a process
            status = repr(error)
        report.append((status, dict(watch.opened)))
    return report


if __name__ == "__main__":
    result = Path(sys.argv[2])  # the zoo puts other words there
    result.write_text(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
