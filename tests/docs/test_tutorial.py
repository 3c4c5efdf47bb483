import ast
import re
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient

from tests.docs.loaded import loaded

DOCS = Path(__file__).parent.parent.parent / "docs"
NOTEBOOKS = sorted((DOCS / "tutorial").glob("*.ipynb"))
TITLES = [
    "3.0 Background",
    "3.1 Wrapping the environment",
    "3.2 Creating the Q-network",
    "3.3 What is experience replay?",
    "3.4 Creating a DQN agent",
    "3.4.1 Balancing exploration and exploitation with an epsilon-greedy strategy",
    "3.4.2 Should the ratio of exploration and exploitation change over time?",
    "3.4.3 Training the model with the Bellman equation",
    "3.5 How good is it?",
]
FOLDED = {"hide-input", "remove-input", "remove-cell"}  # tags that the site knows
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def reader() -> ModuleType:
    return loaded(DOCS / "tutorial/reader.py")


def cells(path: Path, kind: str) -> list[Any]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def visible(path: Path) -> list[str]:
    return [cell.source for cell in cells(path, "code") if not FOLDED & set(cell.metadata.get("tags", ()))]


def import_lines(code: str) -> int:
    statements = [node for node in ast.parse(code).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    return sum((node.end_lineno or 0) - node.lineno + 1 for node in statements)


def shown_code(notebook: Any) -> list[str]:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    shown = [output.get("data", {}).get("text/markdown", "") for output in outputs]
    return [text for text in shown if text.startswith("```python")]


@pytest.mark.slow
@each_notebook
def test_every_cell_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(DOCS, tmp_path / "docs", ignore=shutil.ignore_patterns("*.gif"))
    monkeypatch.setenv("FAST", "1")
    monkeypatch.setenv("PYTHONPATH", str(DOCS.parent))
    notebook = nbformat.read(path, as_version=4)
    folder = {"metadata": {"path": str(tmp_path / "docs/tutorial")}}
    NotebookClient(
        notebook, timeout=None, startup_timeout=3600, kernel_name="python3", resources=folder
    ).execute()
    # else, run that notebook again: it shows code as it was
    assert shown_code(notebook) == shown_code(nbformat.read(path, as_version=4))


@each_notebook
def test_a_visible_cell_holds_one_idea(path: Path) -> None:
    for source in visible(path):
        lines = source.splitlines()
        assert len(lines) <= 15, f"{len(lines)} lines:\n{source}"
        assert max(map(len, lines)) <= 88, source


@each_notebook
def test_it_begins_with_an_idea_and_not_with_imports(path: Path) -> None:
    title, opening, *_ = cells(path, "markdown")[0].source.split("\n\n")
    assert title.startswith("# 3.")
    assert opening.rstrip("*").endswith("?") or opening.startswith("![")
    for source in visible(path):
        assert import_lines(source) <= 5, source


@each_notebook
def test_its_cells_import_public_names_of_the_package(path: Path) -> None:
    for cell in cells(path, "code"):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sb3_cardqn"):
                assert node.module == "sb3_cardqn"  # the rest is imported by reader.py


@each_notebook
def test_it_was_run_once_from_top_to_bottom(path: Path) -> None:
    counts = [cell.execution_count for cell in cells(path, "code")]
    assert counts == list(range(1, len(counts) + 1))


@each_notebook
def test_what_is_committed_is_small_whole_and_of_no_machine(path: Path) -> None:
    assert path.stat().st_size < 1.5e6
    for cell in cells(path, "code"):
        assert cell.source.startswith("%") or cell.execution_count, "a cell was not run"
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr"
            text = output.get("text", "") + output.get("data", {}).get("text/plain", "")
            assert not re.search(r"Warning|(^|[\s'\"])/(home|root|tmp|work|usr)/", text), text


@each_notebook
def test_the_hidden_solutions_pass_the_readers_checks(path: Path, reader: ModuleType) -> None:
    """And the unanswered exercises do not."""
    all_cells = nbformat.read(path, as_version=4).cells
    names: dict[str, Any] = {"np": np, "check": reader.check}
    exercises = 0
    for cell, after in pairwise(all_cells):
        if cell.cell_type == "code" and cell.source.lstrip().startswith("import"):
            imports = "\n".join(
                line for line in cell.source.splitlines() if re.match(r"import (math|numpy)", line)
            )
            exec(imports, names)
        if cell.cell_type != "code" or "# your answer here" not in cell.source:
            continue
        exercises += 1
        function, call = cell.source.rsplit("\ncheck(", 1)
        verdict = f"verdict = check({call}"
        exec(f"{function}\n{verdict}", names)
        assert names["verdict"] is False
        (solution,) = re.findall(r"\{dropdown\} Solution\n```python\n(.*?)```", after.source, re.DOTALL)
        exec(f"{solution}\n{verdict}", names)
        assert names["verdict"] is True, solution
    assert exercises


def test_every_section_is_there_once() -> None:
    text = "\n".join(cell.source for path in NOTEBOOKS for cell in cells(path, "markdown"))
    found = [title.strip("# ") for title in re.findall(r"^#{1,3} 3\.\d.*$", text, flags=re.MULTILINE)]
    assert found == TITLES


def test_code_is_shown_whole_without_its_docstring(reader: ModuleType) -> None:
    def one(number: int) -> int:
        """
        Say one more.
        """
        # on purpose
        return number + 1

    code = "def one(number: int) -> int:\n    # on purpose\n    return number + 1"
    assert reader.source(one, one).data == f"```python\n{code}\n\n{code}\n```"


def test_a_tables_numbers_of_a_column_have_as_many_decimals(reader: ModuleType) -> None:
    frame = pd.DataFrame({"a <name>": ["x"], "steps": [10_000], "score": [927.5]}, index=[7])
    frame = pd.concat([frame, pd.DataFrame({"a <name>": [True], "steps": [2], "score": [3.0]})])
    shown = re.findall(r"<t[hd](?: [^>]*)?>(.*?)</t[hd]>", reader.table(frame).data)
    assert shown == ["a &lt;name&gt;", "steps", "score", "x", "10,000", "927.5", "True", "2", "3.0"]


@pytest.mark.parametrize(
    ("answer", "right", "says"),
    [
        (lambda x: 2 * x, True, "right: 2 of 2"),
        (lambda x: x, False, r"not yet: <lambda>\(1\) should be 2, got 1; 0 of 2 right"),
        (lambda x: 2 if x == 1 else 5, False, r"not yet: <lambda>\(2\) should be 4, got 5; 1 of 2 right"),
        (lambda x: [2 * x, 2 * x], False, "not yet"),
        (lambda x: None, False, "not answered yet"),
    ],
)
def test_check_says_what_is_wrong(
    answer: Callable, right: bool, says: str, reader: ModuleType, capsys: pytest.CaptureFixture
) -> None:
    assert reader.check(answer, ((1,), 2), ((2,), 4)) is right
    assert re.search(says, capsys.readouterr().out)
