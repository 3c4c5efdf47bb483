import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sb3_cardqn.bench import to900
from sb3_cardqn.bench.to900 import SPEEDS, bench_to900, to900_table
from sb3_cardqn.compare import Plan, Results
from sb3_cardqn.zoo.configuration import own_file, read_configuration


def test_table() -> None:
    rows = [
        (contestant, seed, 20_000 * (i + 1), 60.0 * (i + 1), score)
        for contestant, seed, scores in [
            ("a", 0, [500, 905, 899, 900, 910, 920]),  # reaches it at the fourth and stays
            ("a", 1, [500, 600, 700, 905, 902, 870]),  # relapses once
            ("a", 2, [900, 900, 900, 900, 900, 900]),
            ("b", 0, [905, 0, 905, 0, 905, 0]),  # never keeps it
            ("b", 1, [900, 900, 905, 905, 905, 905]),  # and a third run failed
        ]
        for i, score in enumerate(scores)
    ]
    columns = ["contestant", "seed", "agent_steps", "seconds", "score"]
    plan = {"contestants": dict.fromkeys("abc", "cardqn")}
    results = Results(plan, {}, pd.DataFrame(), pd.DataFrame(rows, columns=columns), pd.DataFrame())
    a, b, c = to900_table(results, 10.0, seeds=3).to_dict("records")
    assert (a["contestant"], a["runs"], a["reached"]) == ("a", 3, 3)
    assert (a["minutes"], a["agent_steps"], a["worst_minutes"]) == (4, 80_000, 4)
    assert (a["sb3_steps"], a["worst_sb3_steps"]) == (2400, 2400)
    assert a["late_score"] == (902 + 870) / 2
    assert a["relapses"] == 1 / 6
    assert (b["runs"], b["reached"], b["minutes"], b["worst_sb3_steps"]) == (3, 1, math.inf, math.inf)
    assert b["relapses"] == 0.25
    assert (c["contestant"], c["runs"], c["reached"], c["minutes"]) == ("c", 3, 0, math.inf)  # all failed


def test_by_default_measures_what_make_race_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    monkeypatch.setattr(to900, "bench_to900", lambda *args: called.append(args))
    to900.main([])
    contestants, seeds, agent_steps, _ = called[0]
    race, dqn = Plan.of(contestants, seeds, n_timesteps=agent_steps).contestants
    entry = read_configuration(str(own_file("race")), "CarRacing-v3", is_atari=False).entry
    assert race.hyperparams | {"n_timesteps": agent_steps} == entry
    assert (dqn.algo, dqn.hyperparams) == ("dqn", {"exploration_fraction": 0.15})
    to900.main(["race.yml", "qrdqn"])
    assert Plan.of(called[1][0], seeds, n_timesteps=agent_steps).contestants[0] == race
    assert list(called[1][0]) == ["race.yml", "qrdqn"]


@pytest.mark.slow
def test_measures_and_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = "cardqn n_envs:2 learning_starts:10 buffer_size:1000"
    for call in (1, 2):
        table = bench_to900([small], 1, 30, tmp_path / "to900", calls=2)
        assert table["runs"].tolist() == [1]
        assert table["minutes"].tolist() == [math.inf]
        speeds = pd.read_csv(tmp_path / "to900" / SPEEDS)["agent_steps_per_second"]
        assert len(speeds) == 2 * call
        assert (speeds > 0).all()
    assert "SB3 DQN with the zoo's wrappers" in capsys.readouterr().out
