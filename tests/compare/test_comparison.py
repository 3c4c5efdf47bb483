import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pandas as pd
import psutil
import pytest

from sb3_cardqn.compare import (
    Contestant,
    Plan,
    Results,
    command,
    compare,
    comparison,
    estimate,
    launchers,
    scheduler,
)
from sb3_cardqn.compare.attempt import Attempt
from sb3_cardqn.compare.contestant import code_of_contestants
from sb3_cardqn.compare.gather import drives_path, gather
from sb3_cardqn.compare.launchers import LocalLauncher
from sb3_cardqn.compare.run import PlannedRun, State, runs_of
from sb3_cardqn.errors import UserError
from tests.command_line import ROOT, run_well
from tests.named import error_naming, missing

# cartpole, for a moment: one evaluation in the middle and one in the end
SHORT = {"env": "CartPole-v1", "n_timesteps": 1000, "n_evaluations": 2, "eval_episodes": 1, "tracks": 1}
TYPED = "--env CartPole-v1 -n 1000 --n-evaluations 2 --eval-episodes 1 --tracks 1 --seeds 1 --jobs 1"


def hurry(patch: pytest.MonkeyPatch) -> None:
    """Drive in this process."""
    patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    patch.setenv("MPLBACKEND", "Agg")
    patch.setattr(comparison, "n_cores", lambda: 1)


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


def test_a_contestant_as_it_is_written() -> None:
    contestant = Contestant.parse("cardqn  double_q:False policy_kwargs:'dict(net_arch=[64, 64])'")
    assert contestant.hyperparams == {"double_q": False, "policy_kwargs": {"net_arch": [64, 64]}}
    assert contestant.name == "cardqn double_q:False policy_kwargs:'dict(net_arch=[64, 64])'"
    assert Contestant.parse(contestant.text, contestant.name) == contestant


def test_a_contestant_as_in_the_zoos_files() -> None:
    settings = {
        "n_steps": 1,
        "env_wrapper": [{"a.B": {"actions": "default5"}}],
        "policy_kwargs": "dict(net_arch=[64])",
    }
    contestant = Contestant.parse({"algo": "cardqn"} | settings, "one step")
    assert (contestant.name, contestant.algo, contestant.hyperparams) == ("one step", "cardqn", settings)
    assert Contestant.parse(contestant.text, contestant.name) == contestant


def test_an_infinite_setting_of_a_plan_is_a_number() -> None:
    contestant = Contestant.parse({"algo": "cardqn", "max_grad_norm": math.inf}, "unclipped")
    assert contestant.hyperparams == {"max_grad_norm": math.inf}
    assert Contestant.parse(contestant.text, contestant.name) == contestant
    assert code_of_contestants([contestant.text]) is None  # no code to trust


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    plan = Plan.of(
        {"one": "cardqn", "no double": "cardqn double_q:False"},
        seeds=[3, 50],
        minutes=1.5,
        first=410_000,
        gym_packages=["gymnasium"],
    )
    plan.save(tmp_path / "plan.yml")
    assert Plan.load(tmp_path / "plan.yml") == plan


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        ("-n 1000", "contestants"),
        ("cardqm -n 1000", "'cardqm' | 'cardqn'"),
        ("dqn,gama:0.9 -n 1000", "'gama' | 'gamma'"),
        ("dqn,gamma=0.9 -n 1000", "'dqn gamma=0.9' | 'gamma=0.9'"),
        ("dqn,gamma:high -n 1000", "'dqn gamma:high' | \"'lin_5e-4'\" | gamma:high | 'high'"),
        ("cardqn,gamma:2 -n 1000 --env CartPole-v1", "'cardqn gamma:2' | CarDQN | gamma | 2"),
        ("dqn -n 1000 --env Pendulum-v1", "'dqn'"),
        ("dqn", "-n | --minutes"),
        ("dqn -n 1000 --minutes 1", "-n | --minutes"),
        ("dqn -n 0", "n_timesteps | 0"),
        ("dqn --minutes 0", "minutes | 0.0"),
        ("dqn -n 1000 --seeds 0", "seeds | 100 | 0"),
        ("dqn -n 1000 --seeds 4 4", "seed | '4'"),
        ("dqn -n 1000 --seeds 99999 5", "--seed | 99984 | 16"),
        ("cardqn -n 1000 --seeds 5 9", "seeds | 5 | 9 | 'cardqn' | 16"),
        ("dqn dqn -n 1000", "contestant | 'dqn'"),
        ("dqn -n 1000 --env CarRacing-v4", "'CarRacing-v4' | 'CarRacing-v3'"),
        ("dqn -n 1000 --n-evaluations 2000", "n_evaluations | 1000 | 2000"),
        ("dqn -n 1000 --tracks 101", "tracks | --tracks | 100 | 101"),
        ("dqn -n 1000 --episodes 101 --env CartPole-v1", "tracks | --episodes | 100 | 101"),
        ("dqn -n 1000 --first 99", "tracks | 99"),
        ("dqn -n 1000 --first 399990", "400000"),
        ("dqn -n 1000 --first 100004", "first | 100000 | 100004 | 100004"),
        ("dqn -n 1000 --gym-packages absent", "--gym-packages | 'absent'"),
        ("dqn -n 1000 --jobs 0", "--jobs | 0"),
        ("dqn -n 1000 --num-threads 0", "--num-threads | 1 | 0"),
        ("dqn -n 1000 --launcher ray --num-threads 0", "--num-threads | 1 | 0"),
        ("dqn -n 1000 --address auto", "--address | --launcher ray"),
        ("dqn -n 1000 --output /proc/none", "'/proc/none'"),
        ("dqn qrdqn -n 1000 --baseline drdqn", "baseline | 'drdqn' | 'qrdqn'"),
        ("--plan absent.yml", "'absent.yml'"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_before_anything_trains(
    typed: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(comparison, "train", lambda *_: pytest.fail("it trains"))
    with error_naming(UserError, named):
        command.main([word.replace(",", " ") for word in typed.split()])
    assert not list(tmp_path.glob("*/runs"))


@pytest.mark.parametrize(
    ("plan", "named"),
    [
        ("contestants: [dqn]\nn_timestep: 5", "'n_timestep' | 'n_timesteps'"),
        ("contestants: dqn\nn_timesteps: 5", "contestants | 'dqn'"),
        ("contestants: [3]\nn_timesteps: 5", "contestant"),
        ("contestants: {one step: {n_steps: 1}}\nn_timesteps: 5", "contestant"),
        ("contestants: [dqn]\nn_timesteps: 100.5", "n_timesteps | 100.5"),
        ("contestants: [dqn]\nn_timesteps: true", "n_timesteps | True"),
        ("contestants: [dqn]\nn_timesteps: 5\nseeds: many", "seeds | 'many'"),
        ("contestants: [dqn]\nn_timesteps: 5\nseeds: [0.5]", "seeds | 0.5"),
        ("contestants: [dqn]\nn_timesteps: 50\nfast: 1", "fast | 1"),
        ("contestants: [dqn]\nn_timesteps: 50\nfirst: 1", "tracks | 1"),
        ("contestants: ['dqn n_timesteps:300']\nn_timesteps: 50", "n_timesteps | 'dqn n_timesteps:300'"),
        ("contestants: [dqn]\nn_timesteps: 50\ngym_packages: [antigravity]", "plan.yml | antigravity | --trust"),
        ("contestants: [dqn", "'plan.yml' | line 1"),
        ("- dqn", "'plan.yml' | contestants"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_plan_file(
    plan: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plan.yml").write_text(plan)
    with error_naming(UserError, named):
        command.main(["--plan", "plan.yml"])


def test_a_full_disk_is_said_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        comparison.shutil, "disk_usage", lambda _: os.terminal_size((0, 0)) and type("", (), {"free": 2**29})
    )
    with error_naming(UserError, f"{tmp_path} | 0.5 | 1.0"):
        compare(Plan.of(["dqn buffer_size:20000000"], seeds=1, **SHORT), tmp_path)


def test_a_plan_grows_and_changes_in_nothing_else() -> None:
    earlier = Plan.of(["dqn"], seeds=2, **SHORT)
    both = Plan.of(["ppo"], seeds=[7000], **SHORT).added_to(earlier)
    assert [contestant.name for contestant in both.contestants] == ["dqn", "ppo"]
    assert both.seeds == (0, 1000, 7000)
    # the zoo's numbers stay, whatever is added
    assert [r.number for r in runs_of(both, Path("x")) if r.contestant.name == "dqn"] == [1, 2, 3]
    with error_naming(UserError, "n_timesteps | 1000 | 2000"):
        Plan.of(["dqn"], **SHORT | {"n_timesteps": 2000}).added_to(earlier)
    with error_naming(UserError, "fast | False | True"):
        Plan.of(["dqn"], **SHORT, fast=True).added_to(earlier)
    with error_naming(UserError, "'dqn' | 'dqn gamma:0.9'"):
        Plan.of({"dqn": "dqn gamma:0.9"}, **SHORT).added_to(earlier)


class FakeLauncher:
    """Runs that end at once, as ``outcome`` says."""

    num_threads = 1

    def __init__(self, outcome: Callable[[PlannedRun, int], State | None], slots: int = 1) -> None:
        self.outcome, self.slots, self.at_once = outcome, slots, slots
        self.started: list[int] = []
        self.stopped: list[int] = []

    def start(self, run: PlannedRun) -> "FakeLauncher.UnderWay":
        self.started.append(run.seed)
        return self.UnderWay(self, run)

    class UnderWay:
        def __init__(self, launcher: "FakeLauncher", run: PlannedRun) -> None:
            self.launcher, self.run = launcher, run

        def poll(self) -> State | None:
            state = self.launcher.outcome(self.run, self.launcher.started.count(self.run.seed))
            if state is not None:
                self.run.log_folder.joinpath(self.run.contestant.algo).mkdir(parents=True, exist_ok=True)
                self.run.save_state(state)
                if state.finished:
                    self._leave_agent()
            return state

        def _leave_agent(self) -> None:
            self.run.folder.mkdir(exist_ok=True)
            ZipFile(self.run.folder / f"{self.run.plan.env}.zip", "w").close()
            budget = self.run.plan.n_timesteps
            (self.run.folder / "training_clock.csv").write_text(f"agent_steps,seconds\n{budget},1.0\n")

        def stop(self) -> None:
            self.launcher.stopped.append(self.run.seed)

        def wait(self) -> None:
            assert self.run.seed in self.launcher.stopped


@pytest.fixture
def fake_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[PlannedRun]:
    monkeypatch.setattr(scheduler, "_POLL_SECONDS", 0)
    return list(runs_of(Plan.of(["dqn"], seeds=4, **SHORT), tmp_path))


def test_a_failed_run_is_tried_once_more_and_the_others_go_on(
    fake_runs: list[PlannedRun], capsys: pytest.CaptureFixture[str]
) -> None:
    def outcome(run: PlannedRun, attempt: int) -> State:
        well = run.seed in (0, 2000) or (run.seed == 1000 and attempt == 2)
        return State(finished=well, attempts=1, failure="" if well else "MemoryError: no room")

    launcher = FakeLauncher(outcome)
    failed = scheduler.train(fake_runs, launcher)
    assert launcher.started == [0, 1000, 2000, 3000, 1000, 3000]
    assert [run.seed for run in failed] == [3000]
    assert not missing(f"dqn | 1000 | MemoryError: no room | {fake_runs[1].log}", capsys.readouterr().err)

    # started again: finished ones are left alone
    launcher = FakeLauncher(lambda *_: State(finished=True))
    assert scheduler.train(fake_runs, launcher) == []
    assert launcher.started == [3000]


def test_ctrl_c_stops_what_is_under_way(fake_runs: list[PlannedRun]) -> None:
    def outcome(run: PlannedRun, _: int) -> State | None:
        if run.seed == 0:
            return State(finished=True, attempts=1)
        if run.seed == 2000:
            raise KeyboardInterrupt
        return None

    launcher = FakeLauncher(outcome, slots=2)
    with pytest.raises(KeyboardInterrupt):
        scheduler.train(fake_runs, launcher)
    assert sorted(launcher.stopped) == [1000, 2000]
    assert fake_runs[0].state.finished


class ClosedLauncher(FakeLauncher):
    """Starts nothing, and says whether it was closed."""

    closed = False

    def start(self, run: PlannedRun) -> "FakeLauncher.UnderWay":
        raise OSError(28, "No space left on device")

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("baseline", ["ppo", None])
def test_a_launcher_is_closed_whatever_fails(baseline: str | None, tmp_path: Path) -> None:
    launcher = ClosedLauncher(lambda *_: None)
    with pytest.raises((UserError, OSError)):
        compare(Plan.of(["dqn"], seeds=1, baseline=baseline, **SHORT), tmp_path, launcher)
    assert launcher.closed
    launcher = ClosedLauncher(lambda *_: None)
    with comparison.opened(tmp_path), error_naming(UserError, f"'{tmp_path}'"):
        compare(Plan.of(["dqn"], seeds=1, **SHORT), tmp_path, launcher)
    assert launcher.closed


@pytest.mark.skipif(not Path("/proc/self/io").is_file(), reason="counts bytes as Linux does")
def test_watching_the_runs_reads_the_ends_of_their_clocks(tmp_path: Path) -> None:
    plan = Plan.of(["dqn", "ppo"], seeds=10, env="CartPole-v1", minutes=100)
    runs = list(runs_of(plan, tmp_path))
    hour = "".join(f"{290 * second},{second}.003\n" for second in range(1, 3601))  # 57 kB
    for planned in runs:
        planned.folder.mkdir(parents=True)
        (planned.folder / "training_clock.csv").write_text(f"agent_steps,seconds\n{hour}")

    def read_so_far() -> int:
        return int(Path("/proc/self/io").read_text().split()[1])

    bar = scheduler._Bar(runs)
    before = read_so_far()
    for _ in range(10):
        bar.show(runs)
    assert read_so_far() - before < 10 * 20 * 1000
    assert [planned.progress for planned in runs] == [pytest.approx(0.6, abs=1e-3)] * 20
    bar.close()


def test_a_log_file_is_not_filled_by_the_bar(
    fake_runs: list[PlannedRun], capsys: pytest.CaptureFixture[str]
) -> None:
    bar = scheduler._Bar(fake_runs)
    for _ in range(100):
        bar.show(fake_runs)
    bar.finish(fake_runs[0])
    bar.show([])
    bar.close()
    written = capsys.readouterr().err
    assert written.count("\r") < 5
    assert not missing("1/4 runs done", written)


def test_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(launchers, "n_cores", lambda: 8)
    monkeypatch.setattr(launchers, "available_memory", lambda: 7 * 2**30)
    assert (LocalLauncher().slots, LocalLauncher().num_threads) == (3, 2)
    assert LocalLauncher(jobs=16).num_threads == 1
    assert LocalLauncher(jobs=2).num_threads == 4
    with error_naming(UserError, "--num-threads | 1 | 0"):
        LocalLauncher(num_threads=0)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished comparison, made from the command line."""
    folder = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        patch.chdir(folder)
        command.main(["dqn", "dqn gamma:0.9", *TYPED.split()])
    assert (folder / "comparison/report.html").is_file()
    return folder / "comparison"


@pytest.mark.slow
def test_results_are_what_the_runs_left(compared: Path) -> None:
    results = Results.load(compared / "results")
    assert results.runs["contestant"].tolist() == ["dqn", "dqn gamma:0.9"]
    assert results.runs["attempts"].tolist() == [1, 1]
    assert results.runs["agent_steps"].tolist() == [1024, 1024]  # train_freq is 256
    assert results.runs["peak_memory_mb"].between(100, 4000).all()
    for row in results.runs.itertuples():
        evaluations = np.load(compared / row.folder / "evaluations.npz")
        curve = results.curves[results.curves["contestant"] == row.contestant]
        assert curve["agent_steps"].tolist() == [500, 1000] == evaluations["timesteps"].tolist()
        assert curve["score"].tolist() == evaluations["results"].ravel().tolist()
        assert curve["seconds"].is_monotonic_increasing
        assert curve["seconds"].max() <= row.seconds
    assert not {"lap_finished", "missed_tiles"} & set(results.drives)  # no laps in CartPole
    keys = results.drives[["contestant", "checkpoint", "track"]].to_records(index=False).tolist()
    assert sorted(keys) == [
        (name, checkpoint, 200_000) for name in ("dqn", "dqn gamma:0.9") for checkpoint in ("best", "final")
    ]
    (gamma,) = results.runs.loc[results.runs["contestant"] == "dqn gamma:0.9", "command"]
    assert gamma.startswith("sb3-cardqn train --algo dqn --env CartPole-v1 --seed 0 -n 1000 --eval-freq 500")
    assert "-f runs/dqn_gamma=0.9 --run-id 1" in gamma
    assert gamma.endswith("-params gamma:0.9")
    config = compared / "runs/dqn_gamma=0.9/dqn/CartPole-v1_1/CartPole-v1/config.yml"
    assert "- gamma\n    - 0.9\n" in config.read_text()


@pytest.mark.slow
def test_drives_of_an_older_release_are_gathered(compared: Path, tmp_path: Path) -> None:
    shutil.copytree(compared, tmp_path / "old")
    plan = Plan.load(tmp_path / "old/plan.yml")
    runs = list(runs_of(plan, tmp_path / "old"))
    new = gather(plan, runs).drives
    for run in runs:
        drives = pd.read_csv(drives_path(run)).assign(lap_finished=False, missed_tiles=np.nan)
        drives_path(run).write_text(drives.to_csv(index=False))
    pd.testing.assert_frame_equal(gather(plan, runs).drives, new)


@pytest.mark.slow
@pytest.mark.parametrize("fast", [True, False])
def test_held_out_tracks_have_the_picture_the_plan_says(
    fast: bool, compared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {}

    def evaluate(agents: list[Any], tracks: range, **options: Any) -> list[Any]:
        told.update(options)
        return [type("", (), {"drives": pd.DataFrame({"track": tracks, "score": 1.0})}) for _ in agents]

    monkeypatch.setattr(comparison, "evaluate", evaluate)
    monkeypatch.setattr(comparison, "drives_path", lambda run: tmp_path / "drives.csv")
    runs = list(runs_of(Plan.of(["dqn"], seeds=1, fast=fast, **SHORT), compared))
    comparison._drive_held_out(runs, 1)
    assert told["stock"] is not fast
    assert len(pd.read_csv(tmp_path / "drives.csv")) == 2


@pytest.mark.slow
def test_seeds_are_added_and_the_zoos_plots_read_all(compared: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in compared.glob("runs/*/*/*_1/*.zip")}
    plan = Plan.of(["dqn", "dqn gamma:0.9"], seeds=2, baseline="dqn gamma:0.9", **SHORT)
    results = compare(plan, compared, LocalLauncher(1))
    assert set(pd.read_csv(compared / "tables" / "comparisons.csv")["contestant"]) == {"dqn gamma:0.9"}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert results.runs.groupby("contestant")["seed"].apply(list).to_dict() == {
        "dqn": [0, 1000],
        "dqn gamma:0.9": [0, 1000],
    }
    words = "all_plots -a dqn -e CartPole-v1 --no-display -print -o plots -f comparison/runs/dqn comparison/runs/dqn_gamma=0.9"
    plots = run_well(compared.parent, words)
    assert "CartPole-v1-DQN-comparison/runs/dqn: 2" in plots
    assert "CartPole-v1-DQN-comparison/runs/dqn_gamma=0.9: 2" in plots


@pytest.mark.slow
def test_a_dry_run_takes_the_time_of_finished_runs(
    compared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command.main(["--dry-run", "--output", str(compared), "--seeds", "3"])
    shown = capsys.readouterr().out
    assert not missing("CartPole-v1 | 1000 | 0, 1000, 2000", shown)
    assert "finished" in shown
    assert not list(compared.glob("runs/*/*/*_3"))


@pytest.mark.slow
def test_a_killed_comparison_takes_its_runs_along_and_goes_on_from_their_checkpoint(tmp_path: Path) -> None:
    go = tmp_path / "go"
    waiting = {"tests.small_training.WaitFor": {"agent_step": 600, "path": str(go)}}
    slow = {"algo": "dqn", "learning_starts": 0, "train_freq": 8, "gradient_steps": 1, "callback": [waiting]}
    plan = Plan.of({"slow": slow}, seeds=1, **SHORT | {"n_evaluations": 10})
    plan.save(tmp_path / "plan.yml")
    (planned,) = runs_of(plan, tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-m", "sb3_cardqn", "compare", "--output", str(tmp_path), "--jobs", "1"],
        stderr=subprocess.DEVNULL,
    )
    while not list(planned.folder.glob("checkpoints/checkpoint-*.json")):
        assert process.poll() is None
        time.sleep(0.05)
    of_the_run = psutil.Process(process.pid).children(recursive=True)
    assert of_the_run
    process.kill()
    process.wait()
    guard = time.monotonic() + 3600
    while not all(map(ended, of_the_run)):
        assert time.monotonic() < guard, "the run stays without its comparison"
        time.sleep(0.05)

    go.touch()
    results = compare(plan, tmp_path, LocalLauncher(1))
    assert " resume " in [line for line in planned.log.read_text().splitlines() if line.startswith("$")][-1]
    assert results.runs["attempts"].tolist() == [2]
    assert results.curves["agent_steps"].tolist() == list(range(100, 1100, 100))
    assert results.curves["seconds"].is_monotonic_increasing


def ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


FAILING = """
from stable_baselines3.common.callbacks import BaseCallback

class FullDisk(BaseCallback):
    def _on_step(self):
        if self.num_timesteps > 600:
            raise OSError(28, "No space left on device")
        return True
"""


@pytest.mark.slow
def test_a_run_that_fails_twice_is_reported_and_the_others_are_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing.py").write_text(FAILING)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    plan = Plan.of(
        {"ill": "ppo callback:\"'failing.FullDisk'\" n_envs:1", "well": "ppo n_envs:1"}, seeds=1, **SHORT
    )
    results = compare(plan, tmp_path / "out", LocalLauncher(1))
    assert results.runs["contestant"].tolist() == ["well"]
    assert "No space left on device" in results.failures["ill, seed 0"]
    state = json.loads((tmp_path / "out/runs/ill/ppo/CartPole-v1_1.json").read_text())
    assert (state["attempts"], state["finished"]) == (2, False)
    assert (tmp_path / "out/report.html").is_file()


def test_an_attempt_that_ends_early_is_no_success(tmp_path: Path) -> None:
    (planned,) = runs_of(Plan.of(["dqn"], seeds=1, **SHORT), tmp_path)
    attempt = Attempt.__new__(Attempt)
    attempt.run = planned
    assert "SIGKILL" in attempt._failure(-signal.SIGKILL)
    assert not missing("ended early | 0", attempt._failure(0))


@pytest.mark.parametrize(
    ("edited", "named"),
    [
        ({"seeds": [1000, 0]}, "seed | 0 | 1000"),
        ({"n_timesteps": 500}, "n_timesteps | 1000 | 500"),
        ({"contestants": {"dqn": "dqn gamma:0.5"}}, "overrides | gamma:0.5"),
    ],
)
def test_runs_of_another_plan_are_not_relabelled(tmp_path: Path, edited: dict[str, Any], named: str) -> None:
    before = {"contestants": {"dqn": "dqn"}, "seeds": [0, 1000], **SHORT}
    for planned in runs_of(Plan.of(**before), tmp_path):
        planned.folder.mkdir(parents=True)
        planned.save_state(State(finished=True, attempts=1, asked=planned.asked))
    with error_naming(UserError, named):
        compare(Plan.of(**before | edited), tmp_path, ClosedLauncher(lambda *_: pytest.fail("it is trained")))


def test_a_run_that_ended_unseen_is_not_trained_again(tmp_path: Path) -> None:
    (planned,) = runs_of(Plan.of(["dqn"], seeds=1, **SHORT), tmp_path)
    planned.folder.mkdir(parents=True)
    budget = int(planned.agent_steps)
    (planned.folder / "training_clock.csv").write_text(f"agent_steps,seconds\n{budget},2.5\n")
    ZipFile(planned.folder / "CartPole-v1.zip", "w").close()
    assert not planned.state.finished  # nothing says that the comparison began it
    planned.save_state(State(attempts=1, failure="killed by SIGKILL"))
    checkpoint = planned.folder / "checkpoints" / "checkpoint-1.json"
    checkpoint.parent.mkdir()
    checkpoint.touch()
    assert not planned.state.finished
    checkpoint.unlink()
    assert planned.state.finished
    assert scheduler.train([planned], FakeLauncher(lambda *_: pytest.fail("it is trained again"))) == []
    attempt = Attempt.__new__(Attempt)
    attempt.run = planned
    assert attempt._failure(-signal.SIGSEGV) == ""  # the process ended badly, after it had saved its agent
    (planned.folder / "CartPole-v1.zip").write_bytes(b"PK")  # half of it, of a full disk
    assert not planned.state.finished


@pytest.mark.slow
def test_what_a_stopped_process_took_is_kept(tmp_path: Path) -> None:
    (planned,) = runs_of(Plan.of(["dqn"], seeds=1, **SHORT), tmp_path)
    attempt = Attempt(planned, 1)
    time.sleep(1)
    attempt.stop()
    attempt.wait()
    attempt.wait()  # again: it has ended
    assert planned.state.wall_seconds >= 1
    assert planned.state.peak_memory_mb > 1
    assert planned.state.asked == planned.asked
    assert planned.state.machine["Cores"] == str(os.cpu_count())
    assert not planned.state.finished


def test_the_estimate_of_a_budget_in_minutes_is_the_budget(tmp_path: Path) -> None:
    plan = Plan.of(["dqn"], seeds=1, env="CartPole-v1", minutes=2)
    seconds, _ = estimate.estimate(plan.contestants[0], list(runs_of(plan, tmp_path)), 1)
    assert seconds == 120


@pytest.mark.slow
def test_what_a_process_took_that_ended_by_itself_is_kept(tmp_path: Path) -> None:
    (planned,) = runs_of(Plan.of(["dqn"], seeds=1, **SHORT), tmp_path)
    attempt = Attempt(planned, 1)
    attempt._process.kill()  # by a scheduler that signals all processes, for example
    os.waitid(os.P_PID, attempt._process.pid, os.WEXITED | os.WNOWAIT)
    attempt.stop()
    attempt.wait()
    assert planned.state.peak_memory_mb > 0
    assert "SIGKILL" in planned.state.failure


def test_a_budget_on_the_command_line_replaces_one_in_the_other_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plan.yml").write_text("contestants: [dqn]\nn_timesteps: 500\nenv: CartPole-v1\nseeds: 1")
    command.main(["--plan", "plan.yml", "--minutes", "2", "--dry-run"])
    assert "2.0 minutes per run" in capsys.readouterr().out
