"""The zoo's plots: one run is enough, and what matches nothing is said, with what there is."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt

from sb3_cardqn.errors import UserError
from sb3_cardqn.zoo.commands import run
from tests.named import error_naming, missing

PLOTS = "-e CartPole-v1 -f logs"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of dqn with 3 episodes and 4 evaluations, as ``train`` leaves them."""
    monkeypatch.chdir(tmp_path)
    plt.close("all")
    folder = tmp_path / "logs/dqn/CartPole-v1_1"
    folder.mkdir(parents=True)
    (folder / "0.monitor.csv").write_text('#{"t_start": 0.0}\nr,l,t\n9,9,1\n8,8,2\n7,7,3\n')
    np.savez(
        folder / "evaluations.npz",
        timesteps=np.arange(1, 5) * 10,
        results=np.arange(8.0).reshape(4, 2),
        ep_lengths=np.full((4, 2), 9),
    )
    return folder


def curves() -> int:
    """Of more than one point, in all figures."""
    return sum(
        len(line.get_xdata()) > 1 for i in plt.get_fignums() for ax in plt.figure(i).axes for line in ax.lines
    )


def test_a_window_needs_a_screen(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MPLBACKEND", raising=False)
    monkeypatch.setattr("matplotlib.get_backend", lambda: "agg")
    with error_naming(UserError, "plot_train | all_plots -o"):
        run("plot_train", ["-a", "dqn", *PLOTS.split(), "-w", "1"])


def test_one_run_is_plotted(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")
    run("plot_train", ["-a", "dqn", *PLOTS.split(), "-w", "1"])
    assert curves() == 1
    plt.close("all")
    run("all_plots", ["-a", "dqn", *PLOTS.split(), "-o", "plots", "--no-display"])
    assert curves() == 1
    plt.close("all")
    run("plot_from_file", ["-i", "plots.pkl", "-o", "plots.svg"])
    assert Path("plots.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (f"plot_train -a ppo {PLOTS}", "ppo | CartPole-v1 | 'logs' | logs/dqn/CartPole-v1_1"),
        ("plot_train -a dqn -e Acrobot-v1 -f logs", "Acrobot-v1 | logs/dqn/CartPole-v1_1"),
        ("plot_train -a dqn -e CartPole-v1 -f absent", "'absent'"),
        (f"plot_train -a dqn {PLOTS}", "-w | 3 | 100"),
        (f"plot_train -a dqn {PLOTS} -w 1 -y success", "success"),
        (f"plot_train -a dqn {PLOTS} -w 3 -max 20", "2"),
        (f"all_plots -a ppo {PLOTS}", "ppo | CartPole-v1 | 'logs' | logs/dqn/CartPole-v1_1"),
        ("all_plots -a dqn -e Acrobot-v1 -f logs", "Acrobot-v1"),
        ("all_plots -a dqn -e CartPole-v1 -f absent", "'absent'"),
        (f"all_plots -a dqn {PLOTS} -k successes", "'successes'"),
        (f"all_plots -a dqn {PLOTS} -l a b", "-l | ['a', 'b']"),
        (f"all_plots -a dqn {PLOTS} -max 9", "-max | 10 | 'logs/dqn/CartPole-v1_1' | 9"),
        ("plot_from_file -i absent", "'absent.pkl'"),
    ],
)
def test_what_matches_nothing_is_said(command: str, named: str, runs: Path) -> None:
    with error_naming(UserError, named):
        run(command.split()[0], command.split()[1:])
    assert not curves()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("--skip-envs CartPole-v1", "CartPole-v1"),
        ("--keep-envs Acrobot-v1", "Acrobot-v1 | CartPole-v1"),
        ("--keep-keys PPO-logs", "PPO-logs | DQN-logs"),
        ("--skip-keys DQN-logs", "DQN-logs"),
        ("-l a b", "-l | 1 | DQN-logs | ['a', 'b']"),
    ],
)
def test_a_choice_that_leaves_nothing_is_said(options: str, named: str, runs: Path) -> None:
    run("all_plots", ["-a", "dqn", *PLOTS.split(), "-o", "plots", "--no-display"])
    with error_naming(UserError, named):
        run("plot_from_file", ["-i", "plots", *options.split()])


def test_a_file_of_something_else_is_named(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUST_REMOTE_CODE", "True")
    Path("other.pkl").write_bytes(b"no pickle")
    with error_naming(UserError, "'other.pkl'"):
        run("plot_from_file", ["-i", "other"])


def test_what_is_missing_beside_what_matches_is_said(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its row of the table is zeros."""
    run("all_plots", ["-a", "dqn", "ppo", *PLOTS.split(), "--no-display"])
    assert not missing("ppo | CartPole-v1 | 'logs'", capsys.readouterr().err)
