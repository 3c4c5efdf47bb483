"""``sb3-cardqn bench learn``: speed of learning beside SB3's; results: docs/explanation/learner.md."""

import contextlib
import importlib.util
import json
import multiprocessing as mp
import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import psutil
import torch as th

from sb3_cardqn.bench.contestants import (
    FROZEN,
    Repeat,
    make_configured_update,
    make_passes,
    make_sampling,
    make_training,
    make_update,
)
from sb3_cardqn.durable import check_writable, write_text
from sb3_cardqn.hardware import n_cores
from sb3_cardqn.options import Parser, positive
from sb3_cardqn.replay.buffers import FrameReplayBuffer
from sb3_cardqn.signals import deaf_children
from sb3_cardqn.zoo.configuration import own_file


class Measurement(NamedTuple):
    """Contestants of one table; all are compared with the first."""

    title: str
    unit: str  # operation of a call
    calls: int  # per round
    per_call: int  # number of counted things per call, such as samples in a batch
    makers: Mapping[str, Callable[[], tuple[Repeat, float]]]  # function to time, and bytes per transition


class Contestant:
    """
    One contestant in its own process, so that memory and threads of other contestants do not affect it.

    :param make: function that makes the contestant, called in the process
    """

    def __init__(self, make: Callable[[], tuple[Repeat, float]]) -> None:
        context = mp.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, make))
        with deaf_children():
            self._process.start()
        theirs.close()
        self.bytes: float = self._connection.recv()

    def ms(self, calls: int) -> tuple[float, float, float]:
        """
        :param calls: number of timed calls
        :return: milliseconds per call: wall-clock time, CPU time, CPU time with child processes
        """
        self._connection.send(calls)
        return self._connection.recv()

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(BrokenPipeError):  # after Ctrl-C the process has ended
            self._connection.send(0)
        self._process.join()


def _work(connection: Connection, make: Callable[[], tuple[Repeat, float]]) -> None:
    th.set_num_threads(1)
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # undoes ``deaf_children``, needed at start only
    with (
        contextlib.suppress(KeyboardInterrupt, BrokenPipeError, EOFError),
        tempfile.TemporaryDirectory() as folder,
    ):
        os.chdir(folder)  # the zoo writes logs
        run, bytes_ = make()
        connection.send(bytes_)
        while calls := connection.recv():
            run(max(calls // 5, 1))  # warms up caches after the previous contestant
            start = _clocks()
            run(calls)
            connection.send(tuple((_clocks() - start) / calls * 1e3))
        os.chdir("/")


def _clocks() -> np.ndarray:
    """
    :return: seconds of wall-clock time, CPU time, CPU time with child processes
    """
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    cpu = sum(sum(process.cpu_times()[:2]) for process in family)
    return np.array([time.perf_counter(), time.process_time(), cpu])


def _tables() -> list[Measurement]:
    """
    :return: the measurements
    """
    update = partial(partial, make_update)
    ours = {"replay_buffer_class": FrameReplayBuffer, "policy_kwargs": {"optimizer_kwargs": {"fused": True}}}
    updates: dict[str, Callable[[], tuple[Repeat, float]]] = {
        "SB3 DQN": update("stable_baselines3.DQN"),
        "sb3-contrib QRDQN": update("sb3_contrib.QRDQN"),
        "CarDQN": update("sb3_cardqn.CarDQN", **ours),
        "CarDQN, mixed precision": update("sb3_cardqn.CarDQN", mixed_precision=True, **ours),
        "its network's passes alone": make_passes,
    }
    if importlib.util.find_spec("sbx"):
        updates["SBX DQN"] = update("sbx.DQN")
    sampling = partial(partial, make_sampling)
    buffers = {
        "SB3 ReplayBuffer": sampling("stable_baselines3.common.buffers.ReplayBuffer"),
        "FrameReplayBuffer": sampling("sb3_cardqn.FrameReplayBuffer"),
        "PrioritizedFrameReplayBuffer": sampling("sb3_cardqn.PrioritizedFrameReplayBuffer"),
        "the same, priorities kept": sampling("sb3_cardqn.PrioritizedFrameReplayBuffer", update=False),
        "SB3 NStepReplayBuffer(3)": sampling("stable_baselines3.common.buffers.NStepReplayBuffer", n_steps=3),
        "FrameReplayBuffer(3)": sampling("sb3_cardqn.FrameReplayBuffer", n_steps=3),
        "PrioritizedFrameReplayBuffer(3)": sampling("sb3_cardqn.PrioritizedFrameReplayBuffer", n_steps=3),
    }
    if importlib.util.find_spec("sb3_extra_buffers"):
        buffers["sb3-extra-buffers"] = sampling("sb3_extra_buffers.compressed.CompressedReplayBuffer")
    race = own_file("race")
    training = {
        "SB3 DQN, the zoo's wrappers, stock": partial(make_training, "dqn", stock=True),
        "SB3 DQN, dqn.yml": partial(make_training, "dqn", learning_starts=200),
        "CarDQN, cardqn.yml": partial(make_training, "cardqn", learning_starts=200),
        "CarDQN, frozen cardqn.yml, --vec-env subproc": partial(
            make_training, "cardqn", config=FROZEN / "cardqn.yml", vec_env="subproc", learning_starts=200
        ),
        "CarDQN, --vec-env subproc": partial(make_training, "cardqn", vec_env="subproc", learning_starts=200),
        "CarDQN, the same, overlap=False": partial(
            make_training, "cardqn", vec_env="subproc", learning_starts=200, overlap=False
        ),
        "CarDQN, race.yml": partial(make_training, "cardqn", config=race, learning_starts=200),
        "CarDQN, race.yml, --vec-env subproc": partial(
            make_training, "cardqn", config=race, vec_env="subproc", learning_starts=200
        ),
    }
    configured = {
        "SB3 DQN, frozen dqn.yml": partial(make_configured_update, "dqn", config=FROZEN / "dqn.yml"),
        "SB3 DQN, dqn.yml": partial(make_configured_update, "dqn"),
        "sb3-contrib QRDQN, qrdqn.yml": partial(make_configured_update, "qrdqn"),
        "CarDQN, frozen cardqn.yml": partial(make_configured_update, "cardqn", config=FROZEN / "cardqn.yml"),
        "CarDQN, cardqn.yml": partial(make_configured_update, "cardqn"),
        "CarDQN, race.yml": partial(make_configured_update, "cardqn", config=race),
    }
    return [
        Measurement("Update, NatureCNN, 4x84x84, batch 32", "updates", 20, 32, updates),
        Measurement("Update as configured", "updates", 20, 64, configured),
        Measurement("Sampling, 4x64x64, batch 64", "batches", 200, 64, buffers),
        Measurement("Whole training", "agent steps", 400, 1, training),
    ]


def bench_learn(rounds: int = 5, json_path: str | None = None) -> pd.DataFrame:
    """
    Time the contestants of every table in turn, and print the tables.

    :param rounds: number of rounds for the median, at least 1
    :param json_path: file to write the tables to, or None
    :return: rows of all tables: table, name, ms, times_first, idle, bytes
    """
    rows = pd.concat([_measure(table, rounds) for table in _tables()])
    if json_path is not None:
        written = {"rounds": rounds, "rows": json.loads(rows.to_json(orient="records"))}
        write_text(Path(json_path), json.dumps(written, indent=2) + "\n")
    return rows


def _measure(table: Measurement, rounds: int) -> pd.DataFrame:
    """
    :param table: the measurement
    :param rounds: number of rounds
    :return: its rows
    """
    workers = {name: Contestant(make) for name, make in table.makers.items()}
    # other work disturbs CPU time less, but CPU time excludes waiting and other processes
    wall = table.unit == "agent steps"
    # in turn, so that a slowdown of the machine affects all
    clocks = np.array(
        [[worker.ms(table.calls) for worker in workers.values()] for _ in range(rounds)]
    )  # (rounds, workers, clocks)
    ms = clocks[..., 0 if wall else 1]  # (rounds, workers)
    times_first = np.median(ms / ms[:, :1], axis=0)
    idle = np.median(1 - clocks[..., 2] / clocks[..., 0] / n_cores(), axis=0)
    rows = pd.DataFrame(
        {
            "table": table.title,
            "name": list(workers),
            "ms": np.median(ms, axis=0),  # CPU time, or wall-clock time for whole training
            "times_first": times_first,
            "idle": idle if wall else np.nan,  # fraction of all cores' time
            "bytes": [worker.bytes for worker in workers.values()],  # per transition
        }
    )
    for worker in workers.values():
        worker.close()
    counted = "samples/s" if table.per_call > 1 else "agent steps/s"
    speeds = {f"{table.unit}/s": 1e3 / rows["ms"], counted: table.per_call * 1e3 / rows["ms"]}
    shown = rows.drop(columns="table").assign(**speeds).set_index("name").round(3)
    print(f"\n{table.title}\n{shown.to_string()}", flush=True)
    return rows


def main(argv: list[str]) -> None:
    """
    :param argv: arguments after ``bench learn``
    """
    parser = Parser(
        prog="sb3-cardqn bench learn",
        description="Measure how fast CarDQN, SB3, sb3-contrib and SBX learn.",
    )
    parser.add_argument(
        "--rounds", type=positive, default=5, help="number of rounds for the median (default: 5)"
    )
    parser.add_argument("--json", metavar="FILE", help="also write the tables to FILE")
    args = parser.parse_args(argv)
    if args.json is not None:
        check_writable(Path(args.json))
    bench_learn(args.rounds, args.json)
