"""README: short, and its blocks run as they stand in a fresh clone; without ``make soak`` on smaller budgets."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
# options, all of them documented, that make a command of README short
SHORT = {
    "race": "--tracks 1 --fast --first 200003",
    "train": "--n-evaluations 1 --eval-episodes 1 --vec-env dummy --num-threads 1",
    "evaluate": "--tracks 1 --fast",
    "compare": "--dry-run",
}
BUDGETS = {"--minutes 1": "--minutes 0.01", "LunarLander-v3 -P": "LunarLander-v3 -P -n 300 --eval-freq -1"}


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    lines = "\n".join(blocks("bash")).splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.startswith("sb3-cardqn ")]


def with_smaller_budget(code: str) -> str:
    code = re.sub(r"learning_starts=[\d_]+", "learning_starts=100", code)
    return re.sub(r"learn\(([\d_]+)", lambda found: f"learn({min(int(found[1]), 300)}", code)


def run(clone: Path, argv: list[str]) -> None:
    state = {"XDG_STATE_HOME": str(clone.parent / "state"), "PYTHONPATH": str(clone)}
    done = subprocess.run(
        [sys.executable, "-m", "sb3_cardqn", *argv],
        cwd=clone,
        env=os.environ | state,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(argv)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git would give a newcomer."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git repository")
    folder = tmp_path_factory.mktemp("newcomer") / "sb3-cardqn"
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    return folder


def test_it_has_at_most_800_words() -> None:
    assert len(README.split()) <= 800


def test_its_first_screen_has_the_claim_the_picture_and_the_command() -> None:
    first_screen = "\n".join(README.splitlines()[:20])
    assert "final tracks" in first_screen
    assert "](docs/race.gif)" in first_screen
    assert "sb3-cardqn race cardqn" in first_screen


@pytest.mark.slow
def test_the_commands_run_in_a_fresh_clone(clone: Path) -> None:
    """In README's order: later ones find what earlier ones left."""
    for command in commands():
        if "--plan" in command:  # a dry run of the head-to-head alone takes a minute
            continue
        for ample, small in BUDGETS.items():
            command = command.replace(ample, small)
        _, name, *rest = shlex.split(command)
        run(clone, [name, *rest, *shlex.split(SHORT[name])])
    assert (clone / "race.mp4").stat().st_size > 1e4


@pytest.mark.soak
def test_the_commands_run_with_their_own_budgets(clone: Path) -> None:
    """All but the head-to-head, which takes hours."""
    for command in commands():
        if "--plan" not in command:
            run(clone, shlex.split(command)[1:])
    assert (clone / "minute/report.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.splitlines()[-1][:30])
def test_the_python_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(with_smaller_budget(code), {"__name__": "__main__"})
