"""Tests of docs/ablation/factorial.py and docs/head_to_head/search.py."""

import runpy
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from sb3_cardqn.compare import Plan, Results
from tests.command_line import ROOT

SEARCH = runpy.run_path(str(ROOT / "docs/head_to_head/search.py"))
FACTORIAL = runpy.run_path(str(ROOT / "docs/ablation/factorial.py"))
PARTS, MEASURES = FACTORIAL["PARTS"], FACTORIAL["MEASURES"]


def test_no_effect_is_mixed_with_another_or_with_a_pair_of_parts() -> None:
    first = FACTORIAL["design"]()
    runs = np.concatenate([first, -first])
    assert runs.shape == (32, 8)
    mains = list(runs.T)
    twos = [one * other for one, other in combinations(mains, 2)]
    for i, main in enumerate(mains):
        assert main.sum() == 0
        assert not any(main @ other for other in [*mains[i + 1 :], *twos])


def test_effects_are_found_beside_those_of_seeds_and_of_pairs_of_parts() -> None:
    first = FACTORIAL["design"]()
    seeds, rng = np.arange(16), np.random.default_rng(0)
    known = np.array([100.0, -60, 0, 3, 40, 0, -7, 25])
    rows = []
    for signs in (first, -first):
        score = 500 + signs @ known / 2 + 50 * signs[:, 0] * signs[:, 3] + 10 * seeds**2
        score += rng.normal(scale=1e-6, size=16)
        table = dict.fromkeys(MEASURES, score) | dict(zip(PARTS, signs.T, strict=True))
        rows.append(pd.DataFrame({"seed": seeds, **table}))
    runs = pd.concat(rows).sample(frac=1, random_state=0)
    found = FACTORIAL["effects"](runs)
    for measure in MEASURES:
        own = found[found["measure"] == measure]
        assert list(own["part"]) == list(PARTS)
        np.testing.assert_allclose(own["effect"], known, atol=1e-5)
    panels = FACTORIAL["picture"](found).axes
    assert [line.get_xdata()[0] for line in panels[0].lines if line.get_marker() == "o"] == pytest.approx(
        known, abs=1e-5
    )
    ranked = found[found["measure"] == FACTORIAL["RANKS"]].set_index("part")["effect"]
    assert ranked["histograms"] > 0 > ranked["3 steps"]


def test_effects_need_the_whole_design() -> None:
    first, rng = FACTORIAL["design"](), np.random.default_rng(0)
    both = pd.DataFrame(np.concatenate([first, -first]), columns=list(PARTS)).assign(
        seed=[*range(16), *range(16)], **dict.fromkeys(MEASURES, rng.normal(size=32))
    )
    FACTORIAL["effects"](both)
    alone = both[(both["seed"] > 0) | (both["penalties"] > 0)]
    swapped = both.assign(**{"3 steps": both["3 steps"].where(both["seed"] > 0, 1)})
    for partial in (both[both["seed"] < 12], alone, swapped):
        with pytest.raises(ValueError, match=f"16 pairs, got {len(partial)} runs"):
            FACTORIAL["effects"](partial)


def test_effects_have_the_noise_of_the_pairs() -> None:
    rng = np.random.default_rng(0)
    first = FACTORIAL["design"]()
    outside = 0
    for _ in range(500):
        rows = [
            pd.DataFrame(
                dict(zip(PARTS, signs.T, strict=True)) | dict.fromkeys(MEASURES, rng.normal(size=16))
            )
            for signs in (first, -first)
        ]
        found = FACTORIAL["effects"](pd.concat([row.assign(seed=range(16)) for row in rows]))
        own = found[found["measure"] == MEASURES[0]]
        outside += (own["low"] * own["high"] > 0).sum()
    assert 150 < outside < 250  # 5 % of 4,000, with four standard errors


def test_contestants_are_the_recipe_but_for_their_parts() -> None:
    contestant = FACTORIAL["contestant"]
    _, recipe = contestant(np.array([1] * 6 + [-1] * 2))
    name, bare = contestant(np.array([-1] * 6 + [1] * 2))
    assert name == "double Q, priorities"
    differ = {key for key in recipe if recipe[key] != bare[key]}
    assert differ == {
        "policy_kwargs",
        "n_steps",
        "advantage_learning",
        "env_wrapper",
        "learning_rate",
        "double_q",
        "replay_buffer_class",
    }
    assert "QuantileHead" in bare["policy_kwargs"]
    assert bare["learning_rate"] == 5e-4
    assert {"sb3_cardqn.DiscretizeActions": {"actions": "default5"}} in bare["env_wrapper"]
    assert len(recipe["env_wrapper"]) - len(bare["env_wrapper"]) == 2


def test_the_search_plan_is_what_its_script_draws(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ROOT / "docs/head_to_head"
    monkeypatch.setattr("sys.argv", ["search.py"])
    runpy.run_path(str(folder / "search.py"), run_name="__main__")
    assert capsys.readouterr().out == (folder / "search.yml").read_text()


def test_the_head_to_head_takes_the_largest_areas() -> None:
    names = list(SEARCH["trials"]())
    best = {"cardqn 3", "dqn 2", "qrdqn 0", "ppo 7"}
    curves = pd.DataFrame(
        [
            {"contestant": name, "seed": 30_000, "agent_steps": steps, "seconds": steps / 100, "score": score}
            for name in names
            # the best by area does not end best
            for steps, score in [
                (75_000, 500 if name in best else 0),
                (150_000, 200 if name in best else 400),
            ]
        ]
    )
    results = Results(SEARCH["search"](), {}, pd.DataFrame(), curves, pd.DataFrame())
    plan = SEARCH["head_to_head"](results)
    drawn = SEARCH["trials"]()
    assert plan["contestants"]["cardqn"] == drawn["cardqn 3"]
    assert plan["contestants"]["ppo"] == drawn["ppo 7"]
    assert plan["contestants"]["qrdqn"] == {"algo": "qrdqn", "exploration_fraction": 25_000 / 300_000}
    dqn = drawn["dqn 2"]
    assert plan["contestants"]["dqn"] == dqn | {"exploration_fraction": dqn["exploration_fraction"] / 2}
    assert Plan.of(**plan).held_out == range(410_000, 410_100)
