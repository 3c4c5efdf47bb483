"""The site's pages: their links lead somewhere, their Python runs, and what is made from the package is whole."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import KVWriter, Logger

import sb3_cardqn
from sb3_cardqn import cli
from sb3_cardqn.compare import Plan
from sb3_cardqn.zoo.configuration import checked_hyperparams, read_configuration
from tests.docs.loaded import loaded
from tests.docs.test_readme import blocks, with_smaller_budget

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    page
    for page in [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
    if not {"report.md", "results"} & set(page.relative_to(ROOT).parts[-1:])
)
PYTHON = [
    pytest.param(code, id=f"{page.stem}-{number}")
    for folder in ("get_started", "how_to")
    for page in sorted((DOCS / folder).glob("*.md"))
    for number, code in enumerate(blocks("python", page.read_text(encoding="utf-8")))
]


@pytest.fixture(scope="module")
def generated() -> ModuleType:
    return loaded(DOCS / "_extensions/generated.py")


def anchors(page: Path) -> set[str]:
    """As GitHub and MyST make them of headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_links_work_on_github_too() -> None:
    """It shows Sphinx's roles as text, and a list of pages as code."""
    texts = {page: page.read_text(encoding="utf-8") for page in [*PAGES, *DOCS.rglob("*.ipynb")]}
    assert [page.name for page, text in texts.items() if "{doc}" in text or "[None](" in text] == []
    for index in DOCS.rglob("index.md"):
        listed = re.findall(
            r"^(?:.* <)?([\w/.]+)>?$", texts[index].partition("```{toctree}")[2], re.MULTILINE
        )
        for page in listed:
            assert re.search(rf"\]\({re.escape(page)}\.(md|ipynb)\)", texts[index]), (index, page)


@pytest.mark.parametrize(
    "path",
    sorted([ROOT / "Makefile", *(ROOT / "hyperparams").glob("*.yml"), *DOCS.rglob("plan.yml"), *PAGES]),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_files_that_are_named_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"(?<![\w/.])(?:docs|hyperparams|tests)/[\w/]+\.(?:md|yml|py|png|csv)\b", text):
        assert (ROOT / name).exists(), name


@pytest.mark.slow
@pytest.mark.parametrize("code", PYTHON)
def test_the_python_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(with_smaller_budget(code), {"__name__": "__main__"})


def test_the_api_page_has_every_public_name_once(generated: ModuleType) -> None:
    shown = [name for names in generated.ROOMS.values() for name in names]
    assert sorted(shown) == sorted(sb3_cardqn.__all__)


def test_the_commands_page_has_every_command(generated: ModuleType) -> None:
    assert set(generated.command_names()) == {*cli.ZOO_COMMANDS, *cli._OWN, "resume"}
    assert generated.subcommands(generated.help_of(["bench"])) != []


def test_commands_on_pages_have_the_options_of_their_help(generated: ModuleType) -> None:
    helps: dict[tuple[str, ...], str] = {}
    checked = 0
    for page in PAGES:
        for line in re.findall(r"^    sb3-cardqn (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            words = line.partition(" #")[0].split()
            if words[0].startswith("-"):
                continue
            command = tuple(words[: 1 + (words[0] == "bench")])
            if command not in helps:
                helps[command] = generated.help_of(command)
                assert helps[command].startswith("usage:"), command
            for option in (word for word in words if re.fullmatch(r"--?[a-zA-Z][\w-]*", word)):
                assert re.search(rf"(?<![\w-]){option}(?![\w-])", helps[command]), (page.name, line)
                checked += 1
    assert checked > 200


class Keys(KVWriter):
    """Remembers the names of what is logged."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def write(self, key_values: Any, key_excluded: Any, step: int = 0) -> None:
        self.names |= key_values.keys()


def test_the_metrics_page_has_every_metric_of_the_agent() -> None:
    keys = Keys()
    env = make_vec_env("CartPole-v1", 2)
    head = {"head_class": sb3_cardqn.HistogramHead}
    model = sb3_cardqn.CarDQN("MlpPolicy", env, learning_starts=20, buffer_size=100, policy_kwargs=head)
    model.set_logger(Logger(None, [keys]))
    evaluation = EvalCallback(env, eval_freq=20, n_eval_episodes=1, verbose=0)
    model.learn(200, evaluation, log_interval=1)
    documented = set(re.findall(r"``((?:train|rollout)/\w+)``", sb3_cardqn.CarDQN.__doc__ or ""))
    assert documented <= keys.names
    assert {"train/clipped_targets", "rollout/ep_rew_mean", "eval/mean_reward"} <= keys.names
    page = (DOCS / "reference/metrics.md").read_text(encoding="utf-8")
    assert [name for name in sorted(keys.names) if f"`{name}`" not in page] == []


# of wrappers and games that this commit, or a machine without MinAtar, does not have
OF_ELSEWHERE = {"off_road", "shades", "perturbed_and_restarted", "minatar_breakout", "minatar_space_invaders"}
FILES = [path for path in sorted(DOCS.rglob("*.yml")) if path.stem not in OF_ELSEWHERE]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DOCS)))
def test_plans_and_configurations_are_read(path: Path) -> None:
    if "contestants" in yaml.safe_load(path.read_text(encoding="utf-8")):
        assert Plan.load(path).contestants
    else:
        configuration = read_configuration(str(path), "CarRacing-v3", False)
        assert checked_hyperparams("cardqn", configuration, {}, {}, None)["policy"] == "CnnPolicy"
