from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from sb3_cardqn.race.learning_curve import has_curve, plot_learning_curve


def test_points_stand_where_the_clock_showed_their_agent_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "logs [1]"
    folder.mkdir()
    run: Any = SimpleNamespace(folder=folder, algo="dqn", env_id="CarRacing-v3")
    assert not has_curve(run)
    (folder / "training_clock.csv").write_text("agent_steps,seconds\n100,60\n300,240\n")
    # 400 frames are 300 agent steps; 600 seconds of wall clock, of which the evaluations took 360
    (folder / "0.monitor.csv").write_text('#{"t_start": 0, "env_id": "x"}\nr,l,t\n5,200,200\n7,200,600\n')
    np.savez(folder / "evaluations.npz", timesteps=[200, 300], results=[[1.0, 3.0], [4.0, 6.0]])
    figures: list[Any] = []
    savefig = Figure.savefig

    def keep(figure: Figure, *args: Any, **kwargs: Any) -> None:
        figures.append(figure)
        savefig(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    assert has_curve(run)
    (folder / "training_clock.csv").rename(tmp_path / "clock")  # a run of rl-zoo3 itself has none
    assert not has_curve(run)
    (tmp_path / "clock").rename(folder / "training_clock.csv")
    plot_learning_curve(run, tmp_path / "curve.png")
    episodes, _, evaluations = figures[0].axes[0].lines
    assert episodes.get_xydata().tolist() == [[1.75, 5.0], [4.0, 7.0]]  # half of 300 agent steps at 105 s
    assert evaluations.get_xydata().tolist() == [[2.5, 2.0], [4.0, 5.0]]
    assert (tmp_path / "curve.png").stat().st_size > 10_000
