import json
import sys
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import pandas as pd
import pytest

from sb3_cardqn.compare import command
from sb3_cardqn.compare.analysis import analyse
from sb3_cardqn.compare.merge import merge, merge_folders
from sb3_cardqn.compare.report import write_report
from sb3_cardqn.compare.results import Results
from sb3_cardqn.errors import UserError
from tests.command_line import ROOT
from tests.compare.results import made_up_results
from tests.named import error_naming, missing


@pytest.fixture
def whole() -> Results:
    return made_up_results(seeds=4, tracks=2)


def part(whole: Results, seeds: list[int], **settings: object) -> Results:
    """The runs with these seeds, as if they were a comparison."""
    tables = {
        name: table[table["seed"].isin(seeds)]
        for name, table in (("runs", whole.runs), ("curves", whole.curves), ("drives", whole.drives))
    }
    return replace(whole, plan=whole.plan | {"seeds": seeds} | settings, **tables)


@pytest.fixture
def halves(whole: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    """Folders A and B with two seeds each."""
    monkeypatch.chdir(tmp_path)
    part(whole, [0, 1]).save(Path("A/results"))
    part(whole, [2, 3]).save(Path("B/results"))
    return whole


def test_halves_give_the_report_of_the_whole(halves: Results, capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["--merge", "A", "B/results", "--output", "C"])
    assert str(Path("C/report.html")) in capsys.readouterr().err
    merged = Results.load(Path("C/results"))
    assert merged.plan == halves.plan
    for name in ("curves", "drives"):
        key = ["contestant", "seed", "track", "score"]
        tables = (
            getattr(results, name)[key].sort_values(key, ignore_index=True) for results in (merged, halves)
        )
        pd.testing.assert_frame_equal(*tables)
    assert set(merged.runs["folder"]) >= {"A/logs/dqn/CarRacing-v3_1", "B/logs/dqn/CarRacing-v3_4"}
    # a merged comparison merges again
    part(halves, [0, 1]).save(Path("D/results"))
    with error_naming(UserError, "0, 1 | 'D' | 'C'"):
        command.main(["--merge", "D", "C", "--output", "E"])
    assert not Path("E").exists()


def test_one_folder_is_reported_again(halves: Results) -> None:
    page = merge_folders([Path("A")], Path("again"))
    assert page.read_text() == merge_folders([Path("again")], Path("once more")).read_text().replace(
        "again/", ""
    )


def test_published_results_give_their_published_tables() -> None:
    folder = ROOT / "docs" / "head_to_head"
    analysis = analyse(Results.load(folder / "results"))  # of an older release
    for table in ("aggregates", "comparisons", "times"):
        published = pd.read_csv(folder / "tables" / f"{table}.csv")
        pd.testing.assert_frame_equal(analysis[table], published, check_dtype=False)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"budget": {"agent_steps": 5}}, "budget | 500000 | 5 | 'A' | 'B'"),
        ({"tracks": 50}, "tracks | 100 | 50 | 'A' | 'B'"),  # a plan without it has the usual number
        ({"baseline": "dqn"}, "baseline | None | dqn | 'A' | 'B'"),
    ],
)
def test_other_plans_are_not_merged(settings: dict[str, object], named: str, whole: Results) -> None:
    parts = [(Path("A"), part(whole, [0, 1])), (Path("B"), part(whole, [2, 3], **settings))]
    with error_naming(UserError, named):
        merge(parts)


def test_a_setting_that_older_plans_do_not_have(whole: Results) -> None:
    merged = merge([(Path("A"), part(whole, [0])), (Path("B"), part(whole, [1], fast=False, minutes=None))])
    assert merged.plan["seeds"] == [0, 1]


def test_seeds_that_overlap_are_named(whole: Results) -> None:
    with error_naming(UserError, "1, 2 | 'A' | 'B'"):
        merge([(Path("A"), part(whole, [0, 1, 2])), (Path("B"), part(whole, [1, 2, 3]))])


def test_other_hyperparameters_are_not_merged(whole: Results) -> None:
    """A file of them may have changed between two comparisons."""
    parts = [
        (Path(name), replace(part(whole, [i]), hyperparams={"dqn": {"gamma": gamma, "n_envs": "1"}}))
        for i, (name, gamma) in enumerate([("A", "0.99"), ("B", "0.5"), ("C", "0.99")])
    ]
    with error_naming(UserError, "'dqn' | {'gamma': '0.99'} | 'A' | {'gamma': '0.5'} | 'B'"):
        merge(parts[:2])
    assert merge([parts[0], parts[2]]).hyperparams == parts[0][1].hyperparams
    merge([parts[1], (Path("old"), part(whole, [3]))])  # of a release that kept none


def test_seeds_that_environments_share_are_not_merged(whole: Results) -> None:
    first, second = (replace(part(whole, [i]), hyperparams={"dqn": {"n_envs": "3"}}) for i in (0, 2))
    with error_naming(UserError, "3 | 0 | 'A' | 2 | 'B'"):
        merge([(Path("A"), first), (Path("B"), second)])


def test_environments_that_differ_are_reported(whole: Results, tmp_path: Path) -> None:
    kwargs = {"dqn": {"env_kwargs": "dict(gravity=1)"}, "cardqn": {}}
    text = write_report(replace(whole, hyperparams=kwargs), tmp_path).with_suffix(".md").read_text()
    assert not missing("env_kwargs dict(gravity=1) for dqn; none for cardqn", text)
    same = {name: {"env_kwargs": "dict(gravity=1)"} for name in kwargs}
    text = write_report(replace(whole, hyperparams=same), tmp_path).with_suffix(".md").read_text()
    assert "gravity" not in text


def test_machines_and_failures_of_all_are_kept(whole: Results) -> None:
    here = replace(
        part(whole, [0, 1]), machine={"cpu": "one"}, failures={"dqn, seed 2": "x", "dqn, seed 9": "y"}
    )
    there = replace(part(whole, [2, 3]), machine={"cpu": "two", "GPU": "none"})
    merged = merge([(Path("A"), here), (Path("B"), there)])
    assert merged.machine == {"cpu": "one; two", "GPU": "none"}
    assert merged.failures == {"dqn, seed 9": "y"}  # the other one was trained in B


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        ("--merge A B --output A", "'A'"),
        ("--merge A absent", "'absent/results/plan.json'"),
        ("--merge A B --seeds 5", "--merge | --output"),
        ("dqn --merge A B", "--merge"),
    ],
)
def test_a_mistake_is_named(typed: str, named: str, halves: Results) -> None:
    Path("A/plan.yml").write_text("contestants: [dqn]\nn_timesteps: 500")
    with error_naming((UserError, SystemExit), named):
        command.main(typed.split())
    assert not Path("comparison/report.html").exists()


@pytest.mark.parametrize(
    ("file", "text", "named"),
    [
        ("plan.json", "{", "plan.json"),
        ("plan.json", json.dumps({"plan": {}, "machines": {}}), "plan.json | machines"),
        ("plan.json", "[]", "plan.json"),
        ("plan.json", json.dumps({"plan": [1], "machine": {}}), "plan.json | plan | [1]"),
        ("plan.json", json.dumps({"plan": {"seeds": [0]}, "machine": {}}), "plan.json | contestants"),
        (
            "plan.json",
            json.dumps({"plan": {"seeds": [0], "contestants": []}, "machine": {}, "hyperparams": {"dqn": 3}}),
            "plan.json | hyperparams | dqn | 3",
        ),
        ("runs.csv", "contestant,seed\ndqn,0", "runs.csv | folder"),
        ("drives.csv", "contestant,seed,checkpoint,track,score\ndqn,0,final,1,fast", "drives.csv | fast"),
        ("curves.csv", "", "curves.csv"),
    ],
)
def test_files_that_are_no_results(file: str, text: str, named: str, halves: Results) -> None:
    Path("A/results", file).write_text(text)
    with error_naming(UserError, named):
        Results.load(Path("A/results"))


def test_a_package_that_registers_the_environment_can_be_named(
    whole: Results,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    request.addfinalizer(lambda: (gym.registry.pop("Mine-v0", None), sys.modules.pop("mine", None)))
    Path("mine.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('Mine-v0', 'gymnasium.envs.classic_control:CartPoleEnv', reward_threshold=300)\n"
    )
    part(whole, [0, 1], env="Mine-v0", gym_packages=["mine"]).save(Path("A/results"))
    command.main(["--merge", "A", "--output", "C"])
    assert not missing("Mine-v0 | --gym-packages", capsys.readouterr().err)
    assert "Time to a score" not in Path("C/report.md").read_text()
    command.main(["--merge", "A", "--output", "D", "--gym-packages", "mine"])
    assert "--gym-packages" not in capsys.readouterr().err
    assert "Time to a score of 300" in Path("D/report.md").read_text()
