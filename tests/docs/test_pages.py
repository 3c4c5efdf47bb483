"""The site's pages: their links lead somewhere, their Python runs, and what is made from the package is whole."""

import re
from pathlib import Path
from types import ModuleType

import pytest

import sb3_cardqn
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
    names = generated.command_names()
    assert {"train", "evaluate", "race", "compare", "resume", "export", "bench", "push_to_hub"} <= set(names)
    assert generated.subcommands(generated.help_of(["bench"])) != []
    assert "--checkpoint" in generated.help_of(["evaluate"])


def test_the_metrics_page_has_every_metric_of_the_agent() -> None:
    page = (DOCS / "reference/metrics.md").read_text(encoding="utf-8")
    logged = set(re.findall(r"``((?:train|rollout)/\w+)``", sb3_cardqn.CarDQN.__doc__ or ""))
    assert logged
    for metric in logged:
        assert f"| `{metric}` |" in page, metric
