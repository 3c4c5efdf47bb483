"""Attempt: a process that trains a run of a comparison."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from sb3_cardqn import trust
from sb3_cardqn.compare.run import PlannedRun, State
from sb3_cardqn.machine import machine
from sb3_cardqn.zoo.resumable import checkpoints_of

GRACE_SECONDS = 60  # time to write a checkpoint


def peak_bytes(pid: int) -> int:
    """
    :param pid: a process of this user
    :return: largest resident size of its program so far, in bytes; 0 where Linux's /proc does not tell.
        ``ru_maxrss`` would be at least the parent's size, which Linux hands down through fork and exec
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # no Linux
        return 0
    return sum(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


class Attempt:
    """
    A process that trains a run from its last checkpoint, or from the start if there is none.

    :param run: run to train
    :param num_threads: torch threads
    :raises UserError: if the run's folder is not part of this comparison
    """

    def __init__(self, run: PlannedRun, num_threads: int) -> None:
        self.run = run
        run.check_folder()
        arguments = run.train_arguments(num_threads)
        if checkpoints_of(run.folder):
            arguments = ["resume", str(run.folder)]
        elif run.folder.exists():
            shutil.rmtree(run.folder)  # check_folder made sure that it is part of this comparison
        run.folder.parent.mkdir(parents=True, exist_ok=True)
        before = run.state
        self._state = replace(
            before,
            attempts=before.attempts + 1,
            num_threads=num_threads,
            asked=run.asked,
            machine=machine(),
        )
        run.save_state(self._state)
        command = [sys.executable, "-m", "sb3_cardqn.worker", "--traceback", *arguments]
        with run.log.open("a") as log, trust.safe_path():
            print(f"$ {shlex.join(command)}", file=log, flush=True)
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # nothing is sent: its end ends the process, see worker.py
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"OMP_NUM_THREADS": str(num_threads)},
                start_new_session=True,  # Ctrl-C reaches the comparison only, which then ends its runs
            )
        self._started = time.monotonic()
        self._peak_bytes = 0

    def poll(self) -> State | None:
        """
        :return: None while it trains, then its state, which is saved too
        """
        self._peak_bytes = max(self._peak_bytes, peak_bytes(self._process.pid))
        pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
        if pid == 0:
            return None
        self._process.returncode = os.waitstatus_to_exitcode(status)
        unit = 1 if sys.platform == "darwin" else 1024  # bytes of ru_maxrss
        peak = self._peak_bytes or usage.ru_maxrss * unit
        seconds = time.monotonic() - self._started
        state = replace(
            self._state,
            failure=self._failure(self._process.returncode),
            peak_memory_mb=max(self._state.peak_memory_mb, peak / 2**20),
            wall_seconds=self._state.wall_seconds + seconds,
            core_hours=self._state.core_hours + self.run.cores(self._state.num_threads) * seconds / 3600,
        )
        state = replace(state, finished=not state.failure)
        self.run.save_state(state)
        return state

    def _failure(self, exit_code: int) -> str:
        if self.run.state.finished:  # everything is saved, however its process ended after that
            return ""
        if exit_code < 0:
            hint = ", perhaps for want of memory" * (exit_code == -signal.SIGKILL)
            return f"killed by {signal.Signals(-exit_code).name}{hint}"
        if exit_code > 0:
            return self.run.last_lines() or f"exit status {exit_code}"
        return f"ended early, after {self.run.reading.agent_steps} agent steps: {self.run.last_lines()}"

    def finish(self) -> State:
        """
        Wait until the process has ended; an interruption ends the process too.

        :return: its state, which is saved too
        """
        try:
            while (state := self.poll()) is None:
                time.sleep(0.2)
        finally:
            self.stop()
            self.wait()
        return state

    def stop(self) -> None:
        """Ask the process to end; it writes a checkpoint first."""
        self._send(signal.SIGTERM)

    def wait(self) -> None:
        """Wait for its end after ``stop``, for a limited time; the run can be resumed."""
        deadline = time.monotonic() + GRACE_SECONDS
        while self._process.returncode is None and self.poll() is None:
            if time.monotonic() > deadline:
                self._send(signal.SIGKILL)
            time.sleep(0.1)

    def _send(self, number: int) -> None:
        # not by Popen, which would take the usage of a process that has ended; poll() saves it
        if self._process.returncode is None:
            os.kill(self._process.pid, number)
