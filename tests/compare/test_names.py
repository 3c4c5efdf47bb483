import os
import re
import unicodedata
from dataclasses import replace
from html import escape
from pathlib import Path

import pandas as pd
import pytest

from sb3_cardqn.compare import Plan, Results, compare, comparison
from sb3_cardqn.compare.attempt import Attempt
from sb3_cardqn.compare.launchers import LocalLauncher
from sb3_cardqn.compare.report import write_report
from sb3_cardqn.compare.run import PlannedRun, State, runs_of
from sb3_cardqn.errors import UserError
from tests.compare.results import made_up_results
from tests.named import error_naming

NAMES = [
    "dqn", "DQN", "$", "a$b$c", "$\\frac{", "1", "02", "1e3", "nan", "NaN", "None", "NA", "null", "inf", "true",
    "<script>alert(1)</script>", "</title>", "&amp;", "%d", "{y}", "%{x}", "{{ 7 * 7 }}", "x" * 300, "x" * 299 + "y",
    "word " * 60, "..", "/", ".", "...", "../..", "a/b", "a_b", "a b", "A_B", "a_b-2", "\\", "C:", "con", "NUL.txt",
    "Lpt1", "com3.", "a.", "a", "a ", " a", "-o", "~", "*", "?", "|", "`ls`", "**", "[x](y)", '"', "'", ",", ";", "#",
    "measure", "track", "contestant", "seed", "score", "_x", "__", "é", "e\N{COMBINING ACUTE ACCENT}", "straße",
    "STRASSE", "ﬁ", "fi", "日本語", "\N{RACING CAR}", "\N{RIGHT-TO-LEFT OVERRIDE}x", "\N{NO-BREAK SPACE}b", "İ", "i",
    "\N{LATIN SMALL LETTER DOTLESS I}",
]  # fmt: skip


def plan_of(names: list[str]) -> Plan:
    return Plan.of(dict.fromkeys(names, "dqn"), seeds=1, env="CartPole-v1", n_timesteps=1000, tracks=1)


def test_any_name_has_a_legal_folder_of_its_own(tmp_path: Path) -> None:
    runs = list(runs_of(plan_of(NAMES), tmp_path))
    folders = [run.log_folder.name for run in runs]
    assert len(folders) == len(NAMES)
    for forms in ("NFC", "NFD", "NFKC"):  # as macOS and Windows tell names apart
        assert len({unicodedata.normalize(forms, name).casefold() for name in folders}) == len(NAMES)
        assert len({unicodedata.normalize(forms, name).upper() for name in folders}) == len(NAMES)
    for run, name in zip(runs, folders, strict=True):
        assert re.search(r'[<>:"/\\|?*\s]|^\.*$|[. ]$', name) is None, name
        assert re.match(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", name, re.IGNORECASE) is None
        assert len(name.encode()) < 200
        assert run.folder.resolve().relative_to(tmp_path.resolve()).parts[:2] == ("runs", name)
        run.folder.mkdir(parents=True)
    assert len(list((tmp_path / "runs").iterdir())) == len(NAMES)


def test_a_contestant_keeps_its_folder_when_others_come(tmp_path: Path) -> None:
    for i in range(1, len(NAMES)):
        few = {run.contestant.name: run.folder for run in runs_of(plan_of(NAMES[:i]), tmp_path)}
        more = {run.contestant.name: run.folder for run in runs_of(plan_of(NAMES), tmp_path)}
        assert few.items() <= more.items()
    named_as_before = {
        "cardqn double_q:False policy_kwargs:'dict(net_arch=[64, 64])'": "cardqn_double_q=False_policy_kwargs=_dict_net_arch=_64_64",
        "one step": "one_step",
    }
    for name, folder in named_as_before.items():
        (run,) = runs_of(plan_of([name]), tmp_path)
        assert run.log_folder.name == folder


def test_any_name_survives_the_plans_file(tmp_path: Path) -> None:
    plan = replace(plan_of(NAMES), baseline="02")
    plan.save(tmp_path / "plan.yml")
    assert Plan.load(tmp_path / "plan.yml") == plan


@pytest.mark.parametrize("name", ["a\nb", "a\0", "\x1b[31m", "\udc80", "a\x85"])
def test_a_name_that_files_cannot_hold_is_refused(name: str) -> None:
    with error_naming(UserError, f"name | {name!r}"):
        plan_of([name])


def test_any_name_is_in_the_results_and_in_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = made_up_results({"dqn": (800.0, 10.0, 400.0)}, seeds=2, tracks=2)
    tables = {
        name: pd.concat(
            [getattr(results, name).assign(contestant=contestant) for contestant in NAMES], ignore_index=True
        )
        for name in ("runs", "curves", "drives")
    }
    plan = {"contestants": dict.fromkeys(NAMES, "dqn"), "seeds": [0, 1], "baseline": "$"}
    results = replace(results, plan=plan, **tables)
    results.save(tmp_path / "results")
    loaded = Results.load(tmp_path / "results")
    for name in ("runs", "curves", "drives"):
        pd.testing.assert_frame_equal(getattr(loaded, name), getattr(results, name))
    page = write_report(loaded, tmp_path).read_text(encoding="utf-8")
    for contestant in NAMES:
        assert f">{escape(contestant, quote=False)}<" in page.replace("&#34;", '"').replace("&#39;", "'")
    assert "<script>alert" not in page
    assert capsys.readouterr().err == ""
    for picture in ("scores", "profiles", "learning_curves"):
        assert (tmp_path / f"{picture}.png").is_file()
    per_track = pd.read_csv(tmp_path / "tables" / "per_track.csv", nrows=0)
    assert len(per_track.columns) == 2 + len(NAMES)


def test_the_page_is_there_when_pictures_and_film_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scores.png").mkdir()  # nothing can be drawn there
    plan = Plan.of(["dqn"], seeds=1, n_timesteps=1000)
    never_trained = list(runs_of(plan, tmp_path))  # nothing can be filmed
    comparison._report(made_up_results(seeds=2, tracks=2), never_trained, tmp_path)
    assert "cardqn" in (tmp_path / "report.html").read_text(encoding="utf-8")
    said = capsys.readouterr().err
    for word in ("pictures", "scores.png", "film", "report.html"):
        assert word in said


def begun(tmp_path: Path) -> PlannedRun:
    (run,) = runs_of(plan_of(["dqn"]), tmp_path)
    run.folder.mkdir(parents=True)
    (run.folder / "notes.txt").write_text("mine")
    return run


def test_a_folder_that_was_there_before_the_comparison_is_left_alone(tmp_path: Path) -> None:
    run = begun(tmp_path)
    with error_naming(UserError, f"'{run.folder}'"):
        compare(run.plan, tmp_path, LocalLauncher(1))
    assert (run.folder / "notes.txt").read_text() == "mine"


@pytest.mark.slow
def test_a_folder_that_the_comparison_made_is_trained_anew(tmp_path: Path) -> None:
    run = begun(tmp_path)
    run.save_state(State(attempts=1, failure="killed by SIGKILL"))
    attempt = Attempt(run, 1)
    attempt.stop()
    attempt.wait()
    assert not (run.folder / "notes.txt").exists()


@pytest.mark.parametrize("link", ["runs", "runs/dqn", "runs/dqn/dqn", "runs/dqn/dqn/CartPole-v1_1", "log"])
def test_nothing_is_written_or_removed_behind_a_link(link: str, tmp_path: Path) -> None:
    run = begun(tmp_path / "elsewhere")
    run.save_state(State(attempts=1))
    run.log.write_text("mine")
    here = replace(run, output=tmp_path / "here")
    place = here.log if link == "log" else here.output / link
    place.parent.mkdir(parents=True)
    place.symlink_to(run.log if link == "log" else run.output / link)
    before = {path: path.stat().st_mtime_ns for path in run.output.rglob("*")}
    with error_naming(UserError, f"'{place}'"):
        compare(here.plan, here.output, LocalLauncher(1))
    assert {path: path.stat().st_mtime_ns for path in run.output.rglob("*")} == before


def test_a_log_that_is_a_pipe_is_named(tmp_path: Path) -> None:
    (run,) = runs_of(plan_of(["dqn"]), tmp_path)
    run.folder.parent.mkdir(parents=True)
    os.mkfifo(run.log)
    with error_naming(UserError, f"'{run.log}'"):
        compare(run.plan, tmp_path, LocalLauncher(1))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"attempts": 1, "spoiled": true}'])
def test_a_state_that_is_none_is_named(text: str, tmp_path: Path) -> None:
    (run,) = runs_of(plan_of(["dqn"]), tmp_path)
    run.folder.mkdir(parents=True)
    path = Path(f"{run.folder}.json")
    path.write_text(text)
    with error_naming(UserError, f"'{path}'"):
        compare(run.plan, tmp_path, LocalLauncher(1))
