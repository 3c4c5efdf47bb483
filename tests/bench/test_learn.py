import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from sb3_cardqn.bench import learn
from sb3_cardqn.bench.contestants import (
    Repeat,
    make_configured_update,
    make_sampling,
    make_training,
    make_update,
)
from sb3_cardqn.bench.learn import Measurement
from sb3_cardqn.errors import UserError
from tests.named import error_naming

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sb3_cardqn.bench.contestants.TRANSITIONS", 70)
    monkeypatch.chdir(tmp_path)


def _rest() -> tuple[Repeat, float]:
    return lambda n: time.sleep(0.1 * n), 0


def test_each_contestant_runs() -> None:
    for make in (
        partial(make_update, "sb3_contrib.QRDQN"),
        partial(make_update, "sb3_cardqn.CarDQN", mixed_precision=True),
        partial(make_configured_update, "cardqn"),
        partial(make_training, "cardqn", learning_starts=20, n_envs=2),
        partial(make_training, "dqn", stock=True, learning_starts=20),
        partial(make_sampling, "sb3_cardqn.PrioritizedFrameReplayBuffer"),
    ):
        run, _ = make()
        run(2)


def test_bytes_of_a_transition() -> None:
    _, sb3 = make_sampling("stable_baselines3.common.buffers.ReplayBuffer")
    assert (
        sb3 == 2 * 4 * 64 * 64 + 8 + 3 * 4
    )  # two stacks, an action, and reward, done and timeout in float32
    _, frames = make_sampling("sb3_cardqn.FrameReplayBuffer")
    assert frames < sb3 / 7


def test_cpu_time_of_children_counts() -> None:
    spin = "import time\nwhile time.process_time() < 1: pass\nprint(flush=True), input()"
    start = learn._clocks()
    child = subprocess.Popen([sys.executable, "-c", spin], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()  # it has had its second of CPU time
    _, own, family = learn._clocks() - start
    child.communicate(b"\n")
    assert family - own >= 0.9


def test_tables_are_printed_and_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    buffers = ("stable_baselines3.common.buffers.ReplayBuffer", "sb3_cardqn.FrameReplayBuffer")
    table = Measurement("Buffers", "batches", 2, 64, {name: partial(make_sampling, name) for name in buffers})
    training = Measurement("Training", "agent steps", 2, 1, {"rest": _rest})
    monkeypatch.setattr(learn, "_tables", lambda: [table, training])
    learn.main(["--rounds", "2", "--json", str(tmp_path / "learn.json")])
    written = json.loads((tmp_path / "learn.json").read_text())
    assert [row["name"] for row in written["rows"]] == [*buffers, "rest"]
    assert [row["idle"] is None for row in written["rows"]] == [True, True, False]
    assert written["rows"][2]["idle"] > 0.5
    assert written["rounds"] == 2
    assert written["rows"][0]["times_first"] == 1.0
    assert all(np.isfinite(row["ms"]) and row["ms"] > 0 for row in written["rows"])
    output = capsys.readouterr().out
    assert "batches/s" in output
    assert "sb3_cardqn.FrameReplayBuffer" in output


def test_all_tables_compare_with_sb3() -> None:
    tables = learn._tables()
    assert all(next(iter(table.makers)).startswith("SB3") for table in tables)


def test_wrong_use() -> None:
    with error_naming(UserError, "--rounds | 0"):
        learn.main(["--rounds", "0"])
