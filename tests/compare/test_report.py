import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import numpy as np
import pandas as pd
import pytest

from sb3_cardqn.compare import statistics, tables
from sb3_cardqn.compare.analysis import analyse
from sb3_cardqn.compare.phrases import count_seeds, times_verdict, verdict
from sb3_cardqn.compare.plan import Plan
from sb3_cardqn.compare.report import write_report
from sb3_cardqn.compare.results import Results
from sb3_cardqn.errors import UserError
from tests.compare.results import CONTESTANTS, made_up_results
from tests.named import error_naming

CHROMIUM = shutil.which("chromium")
NASTY = 'cardqn <b>bold</b> & "q" | a:b'


@pytest.fixture(scope="module")
def results() -> Results:
    return made_up_results(CONTESTANTS | {NASTY: (500.0, 10.0, 200.0)})


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "race.mp4"
    writer: Any = imageio.get_writer(path, fps=10)
    with writer:
        for brightness in range(0, 200, 40):
            writer.append_data(np.full((64, 96, 3), brightness, np.uint8))
    return path


@pytest.fixture(scope="module")
def page(results: Results, video: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(results, tmp_path_factory.mktemp("report"), {"all <i>three</i>": video})


def test_no_name_of_a_plan_is_html_in_the_markdown(results: Results, tmp_path: Path) -> None:
    hostile = replace(results, plan=results.plan | {"env": "<img src=x onerror=alert(1)>"})
    write_report(hostile, tmp_path)
    facts = (tmp_path / "report.md").read_text().split("## ")[0]
    assert "environment: &lt;img" in facts
    assert "<b>" not in facts


def test_laps_are_counted_over_all_runs_of_a_contestant() -> None:
    missed = {("a", 0): [0, 21], ("a", 1): [20, 300], ("b", 0): [1, 0]}
    drives = pd.DataFrame(
        [
            {
                "contestant": name,
                "seed": seed,
                "checkpoint": "final",
                "missed_tiles": tiles,
                "lap_finished": tiles == 0,
            }
            for (name, seed), laps in missed.items()
            for tiles in laps
        ]
    )
    table = tables.laps_table(drives)
    assert table is not None
    assert table.rows == [["a", "final", "4", "25.0", "2"], ["b", "final", "2", "50.0", "0"]]
    assert tables.laps_table(drives.drop(columns="missed_tiles")) is None
    assert tables.laps_table(drives.assign(missed_tiles=np.nan)) is None
    some = drives["missed_tiles"].where(drives["seed"] == 0)
    assert tables.laps_table(drives.assign(missed_tiles=some)) is None


def sentence(baseline: str | None = None, **contestants: list[float]) -> str:
    rows = [
        {"measure": "final", "contestant": name, "seed": seed, "score": score}
        for name, scores in contestants.items()
        for seed, score in enumerate(scores)
    ]
    scores = pd.DataFrame(rows)
    return verdict(statistics.aggregates(scores), statistics.comparisons(scores, baseline), baseline)


def about(score: float) -> list[float]:
    """Five runs near a score."""
    return [score - 0.3, score - 0.2, score, score + 0.2, score + 0.3]


def test_verdict_names_a_winner_only_when_clear_of_all() -> None:
    high, near, low = about(900), [900.0, 899.0, 901.0, 880.0, 920.0], about(600)
    assert sentence(low=low, high=high) == (
        "high wins: it scores 900 and leads low by 300 (95 % interval: 299 to 301); 5 seeds."
    )
    assert re.fullmatch(
        "No clear difference: a scores 900 and leads b by 0 \\(95 % interval: \N{MINUS SIGN}"
        r"\d+ to \d+\), which may be chance; "
        r"5 seeds; more than 1,000 seeds each would settle what is open\.",
        sentence(a=high, b=near),
    )
    assert re.fullmatch(
        r"No clear winner: high scores 900 and leads near by 0 \(.*\), which may be chance; it clearly leads low by 300 "
        r"\(299 to 301\); 5 seeds; more than 1,000 seeds each would settle what is open\.",
        sentence(high=high, near=near, low=low),
    )


def test_verdict_does_not_list_a_dozen() -> None:
    assert sentence(a=about(900), b=about(800), c=about(700), d=about(600), e=about(500)) == (
        "a wins: it scores 900 and leads b by 100 (95 % interval: 99 to 101), c by 200 (199 to 201) and 2 others by more; "
        "5 seeds."
    )


def test_verdict_against_a_baseline() -> None:
    scores = {"a": about(900), "b": about(800), "c": about(500), "d": [800.0, 800.4]}
    text = sentence("b", **scores)
    assert text.startswith("b scores 800.")
    assert "clear: a \N{MINUS SIGN}100 (\N{MINUS SIGN}101 to \N{MINUS SIGN}99), c 300 (299 to 301);" in text
    assert "not clear: d 0 (\N{MINUS SIGN}1 to 1);" in text
    assert "2 to 5 seeds" in text
    assert "gone" in sentence("gone", **scores)


def test_verdict_on_one_seed_or_one_contestant() -> None:
    assert sentence(a=[900.0], b=[100.0]) == (
        "No clear difference: a scores 900 and leads b by 800 (95 % interval: none), which may be chance; "
        "1 seed (too few for an interval)."
    )
    alone = sentence(a=[-31.0, -29.0] * 5)
    assert "a scores \N{MINUS SIGN}30 (95 % interval: \N{MINUS SIGN}31 to \N{MINUS SIGN}29)" in alone
    assert "10 seeds" in alone


def test_verdict_says_how_many_seeds_would_settle_what_is_open() -> None:
    # one standard deviation apart: 17 each, as in tables of powers
    text = sentence(a=[100.0, 110.0, 120.0], b=[90.0, 100.0, 110.0])
    assert text.endswith("3 seeds (few); 17 seeds each would settle what is open.")
    assert "settle" not in sentence(a=[900.0] * 5, b=[800.0] * 5)


def times_sentence(**contestants: list[float]) -> str:
    rows = [
        (name, i, 6000 * t, 60 * t) for name, minutes in contestants.items() for i, t in enumerate(minutes)
    ]
    runs = pd.DataFrame(rows, columns=["contestant", "seed", "agent_steps", "seconds"])
    ends = pd.DataFrame({"agent_steps": inf, "seconds": inf}, index=list(contestants))
    return times_verdict(statistics.times(runs), statistics.time_comparisons(runs, ends))


def test_verdict_on_times() -> None:
    assert times_sentence(a=[1.0, 2.0, 3.0, 4.0, 5.0], b=[9.0, 8.0, inf, inf, inf]) == (
        "5 of 5 runs of a (median: 18,000 agent steps, 3.0 minutes), 2 of 5 runs of b get there. "
        "Clear, in agent steps: a before b."
    )
    assert times_sentence(a=[1.0, inf], b=[2.0, 3.0]).endswith("none.")
    assert times_sentence(a=[inf, inf], b=[inf]) == "No run gets there."
    dozen = times_sentence(**{name: [1.0, inf] for name in "abcdefghijkl"})
    assert dozen.startswith("12 of 24 runs of 12 contestants")


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        ([1, 1], "1 seed (too few for an interval)"),
        ([1, 5], "1 to 5 seeds (few)"),
        ([4], "4 seeds (few)"),
        ([10, 20], "10 to 20 seeds"),
    ],
)
def test_few_seeds_are_called_few(seeds: list[int], words: str) -> None:
    assert count_seeds(pd.Series(seeds)) == words


def test_everything_is_written(page: Path, results: Results) -> None:
    names = {path.relative_to(page.parent).as_posix() for path in page.parent.rglob("*.*")}
    assert names >= {"report.html", "report.md", "scores.png", "learning_curves.png", "profiles.png"}
    assert {name for name in names if name.startswith("tables/")} == {
        f"tables/{name}.csv" for name in analyse(results)
    }
    aggregates = pd.read_csv(page.parent / "tables" / "aggregates.csv")
    assert len(aggregates) == 4 * 4  # final, best, equal time, learning curve; four contestants


def test_markdown_has_the_numbers_and_survives_names(page: Path) -> None:
    text = (page.parent / "report.md").read_text()
    numbers = pd.read_csv(page.parent / "tables" / "aggregates.csv").iloc[0]
    assert (
        f"| cardqn | 5 | {numbers['iqm']:.1f} | {numbers['iqm_low']:.1f} to {numbers['iqm_high']:.1f} |"
        in text
    )
    assert "cardqn &lt;b&gt;bold" in text
    assert "sb3-cardqn train --algo dqn --env CarRacing-v3 --seed 3 -n 500000" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    tables = re.findall(r"^\|[^\n]*\n\|[-:|]+\n(?:\|[^\n]*\n)+", text, re.MULTILINE)
    assert sum(table.count("\n") for table in tables) - len(tables) == len(rows)  # every row is in a table
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_missing_checkpoints_are_told(tmp_path: Path) -> None:
    made_up = made_up_results({"a": (800.0, 10.0, 400.0), "b": (700.0, 10.0, 400.0)}, seeds=2, tracks=2)
    drives = made_up.drives
    gone = (drives["checkpoint"] == "best") & ((drives["contestant"] == "b") | (drives["seed"] == 0))
    write_report(
        Results(made_up.plan, made_up.machine, made_up.runs, made_up.curves, drives[~gone]), tmp_path
    )
    text = (tmp_path / "report.md").read_text()
    assert "| a | 1 of 2 |" in text
    assert text.count("Without a score: b;") == 1
    assert "| none |" in text


def test_failed_runs_are_told(tmp_path: Path) -> None:
    made_up = made_up_results({"a": (800.0, 10.0, 400.0), "b": (700.0, 10.0, 400.0)}, seeds=2, tracks=2)
    gone = {"b, seed 2000": "NotFiniteError: reward"}
    for results in (replace(made_up, failures=gone), only_a(made_up, gone | {"b, seed 0": "killed"})):
        text = write_report(results, tmp_path).with_suffix(".md").read_text()
        missing = len(results.failures)
        assert f"{missing} of {missing + len(results.runs)} runs failed" in text
        assert "b, seed 2000: NotFiniteError: reward" in text
        alone = results.runs["contestant"].nunique() == 1
        assert ("no other contestant has a score" in text) == alone


def only_a(results: Results, failures: dict[str, str]) -> Results:
    tables = {
        name: table[table["contestant"] == "a"]
        for name, table in (("runs", results.runs), ("curves", results.curves), ("drives", results.drives))
    }
    return replace(results, failures=failures, **tables)


def test_one_run_without_validation_is_reported(tmp_path: Path) -> None:
    made_up = made_up_results({"a": (800.0, 10.0, 400.0)}, seeds=1, tracks=2)
    bare = Results(made_up.plan, made_up.machine, made_up.runs, made_up.curves.iloc[:0], made_up.drives)
    page = write_report(bare, tmp_path)
    assert "1 seed (too few for an interval)" in page.read_text()
    assert "Learning curves" not in page.read_text()
    assert "Performance profiles" in page.read_text()


def test_a_baseline_and_fast_drives_are_reported(tmp_path: Path) -> None:
    results = made_up_results(CONTESTANTS, seeds=2)
    write_report(replace(results, plan=results.plan | {"baseline": "dqn", "fast": True}), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "**dqn scores " in text
    assert "| dqn | cardqn | \N{MINUS SIGN}" in text
    assert "| cardqn | qrdqn |" not in text
    assert "held-out episodes: 20 (200000 to 200019), drawn by FastRender" in text
    write_report(replace(results, plan=results.plan | {"env": "CartPole-v1", "fast": True}), tmp_path)
    assert "FastRender" not in (tmp_path / "report.md").read_text()


def test_a_report_of_another_environment_reads_as_if_made_for_it(tmp_path: Path) -> None:
    results = made_up_results(CONTESTANTS, seeds=3)
    runs = results.runs.assign(
        command=results.runs["command"].str.replace("CarRacing-v3", "LunarLander-v3"),
        folder=results.runs["folder"].str.replace("CarRacing-v3", "LunarLander-v3"),
    )
    plan = Plan.of(["cardqn", "dqn", "qrdqn"], 3, n_timesteps=100, env="LunarLander-v3", tracks=20).as_dict()
    del plan["tracks"], plan["fast"]  # keys of a plan
    write_report(replace(results, runs=runs, plan=plan), tmp_path)
    for name in ("report.md", "report.html"):
        text = re.sub(r"data:[^\"]*|cardqn", "", (tmp_path / name).read_text())
        assert "environment: LunarLander-v3" in text or "<dt>environment</dt>" in text
        assert not re.findall(r"\b(?:race|track|lap|drive|road|car|CarRacing)s?\b", text, re.IGNORECASE)


def small(results: Results, env: str) -> Results:
    """The same learning for a thousandth of the points and of the time."""
    return replace(
        results,
        plan=results.plan | {"env": env},
        runs=results.runs.assign(seconds=results.runs["seconds"] / 1000),
        curves=results.curves.assign(
            score=results.curves["score"] / 1000, seconds=results.curves["seconds"] / 1000
        ),
        drives=results.drives.assign(score=results.drives["score"] / 1000),
    )


def test_small_scores_and_short_times_keep_their_digits(tmp_path: Path) -> None:
    results = made_up_results({"a": (830.0, 5.0, 400.0), "b": (800.0, 5.0, 300.0)}, tracks=2)
    write_report(small(results, "FrozenLake-v1"), tmp_path)
    text = (tmp_path / "report.md").read_text()
    number, signed = r"0\.\d{3}", r"\N{MINUS SIGN}?0\.\d{3}"
    assert re.search(rf"\*\*.*a scores {number} and leads b by {number} .*: {signed} to {number}", text)
    for table in ("Scores in numbers", "Pairs in numbers"):
        (row,) = re.findall(rf"### {table}.*?\n(\| a [^\n]*)", text.split("## Best")[0], re.DOTALL)
        assert len(re.findall(rf"{number}\b", row)) >= 6
    assert re.search(rf"\| a \| 0 \| {number} \| {number} \| 0\.02 \|", text)  # a run, its minutes
    assert re.search(r"\| a \| 5 of 5 \| [\d,]+ \| .*? \| 0\.\d+ \|", text)  # minutes to the threshold
    assert re.search(r"\| a \| 500,000 \| [^|]*\| 0\.02 ", text)  # minutes, beside the throughput
    assert re.search(r"training time of all runs: 0\.00\d h", text)
    write_report(replace(results, plan=results.plan | {"env": "CarRacing-v3"}), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert re.search(
        r"\*\*.*a scores \d{3} and leads b by \d+ \(95 % interval: \N{MINUS SIGN}?\d+ to \d+\)", text
    )
    assert re.search(r"\| a \| 5 \| \d{3}\.\d \| \d{3}\.\d to \d{3}\.\d \|", text)


def test_a_contestant_without_a_score_at_equal_time_is_told(tmp_path: Path) -> None:
    speeds = {"a": (800.0, 10.0, 400.0), "b": (700.0, 10.0, 350.0), "late": (700.0, 10.0, 5.0)}
    write_report(made_up_results(speeds, seeds=2, tracks=2), tmp_path)
    (verdict,) = re.findall("- Equal wall-clock time: (.*)", (tmp_path / "report.md").read_text())
    assert "leads b by" in verdict
    assert verdict.endswith("Without a score: late; some of the runs had not been evaluated by then.")


@pytest.mark.parametrize(
    ("env", "points", "timed"),
    [
        ("CarRacing-v3", "(5 points of 900)", True),
        ("CartPole-v1", "(2.64 points of 475)", True),
        ("Pendulum-v1", None, False),
    ],
)
def test_notes_speak_of_a_reward_threshold_where_there_is_one(
    env: str, points: str | None, timed: bool, tmp_path: Path
) -> None:
    results = made_up_results({"a": (800.0, 10.0, 400.0)}, seeds=2, tracks=2)
    write_report(replace(results, plan=results.plan | {"env": env}), tmp_path)
    notes = (tmp_path / "report.md").read_text().split("### How to read this")[1].split("###")[0]
    assert re.findall(r"\(\S+ points of .*?\)", notes) == ([points] if points else [])
    assert ("reward threshold" in notes, "difference of times" in notes) == (timed, timed)


def test_times_to_the_reward_threshold_are_reported(tmp_path: Path) -> None:
    fast = made_up_results({"fast": (990.0, 5.0, 400.0), "slow": (700.0, 5.0, 400.0)}, seeds=6, tracks=2)
    page = write_report(replace(fast, plan=fast.plan | {"env": "CarRacing-v3"}), tmp_path / "car")
    text = (tmp_path / "car/report.md").read_text()
    times = pd.read_csv(tmp_path / "car/tables/times.csv").set_index("contestant")
    median = times["agent_steps"]["fast"]
    assert f"| fast | 6 of 6 | {median:,.0f} | " in text
    assert "| slow | 0 of 6 | \N{INFINITY} |" in text
    assert "Time to a score of 900" in page.read_text()
    for env in ("Pendulum-v1", "Absent-v0"):  # has no threshold
        write_report(replace(fast, plan=fast.plan | {"env": env}), tmp_path / env)
        assert "Time to" not in (tmp_path / env / "report.md").read_text()


def test_saved_results_give_the_same_page(tmp_path: Path) -> None:
    results = made_up_results({"a": (800.0, 10.0, 400.0), "b": (700.0, 10.0, 400.0)}, seeds=2, tracks=2)
    results.save(tmp_path / "results")
    first = write_report(results, tmp_path / "first")
    again = write_report(Results.load(tmp_path / "results"), tmp_path / "again")
    assert again.read_text() == first.read_text()


@pytest.mark.parametrize("name", ["race.gif", "absent.mp4"])
def test_what_is_no_video_is_refused_before_anything_is_written(
    name: str, results: Results, tmp_path: Path
) -> None:
    (tmp_path / "race.gif").touch()
    with error_naming(UserError, f"mp4 | '{tmp_path / name}'"):
        write_report(results, tmp_path / "report", {"race": tmp_path / name})
    assert not (tmp_path / "report").exists()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium, none is on the PATH (Debian: apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Browser:
    """A page in a real Chromium, with all that it asked for and complained about."""

    def __init__(self, path: Path, page: Any) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(path.as_uri())


@pytest.mark.slow
def test_page_renders_without_complaint_or_request(chromium: Any, page: Path) -> None:
    tab = chromium.new_page(viewport={"width": 1280, "height": 900})
    browser = Browser(page, tab)
    widths = tab.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert len(widths) == 3
    assert min(widths) > 0  # drawn
    tab.wait_for_function("document.querySelector('video').readyState >= 2")  # its first picture is there
    assert browser.complaints == []
    assert {url.split(":")[0] for url in browser.requests} <= {"file", "data", "blob"}
    # names are text, not markup
    assert tab.locator("td b, figcaption i, h1 b").count() == 0
    assert NASTY in tab.locator("td").all_text_contents()
    assert tab.locator("figcaption").text_content() == "all <i>three</i>"
    tab.close()


@pytest.mark.slow
def test_page_fits_a_phone_and_follows_the_dark(chromium: Any, page: Path) -> None:
    tab = chromium.new_page(viewport={"width": 400, "height": 800}, color_scheme="light")
    browser = Browser(page, tab)
    for scheme, colour, drawn in (
        ("light", "rgb(29, 33, 38)", "none"),
        ("dark", "rgb(228, 231, 235)", "invert(0.9) hue-rotate(180deg)"),
    ):
        tab.emulate_media(color_scheme=scheme)
        tab.wait_for_function("colour => getComputedStyle(document.body).color == colour", arg=colour)
        assert tab.evaluate("getComputedStyle(document.images[0]).filter") == drawn
    assert tab.evaluate("document.documentElement.scrollWidth") <= 400
    assert browser.complaints == []
    tab.close()
