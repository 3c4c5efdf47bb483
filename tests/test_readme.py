import re
from pathlib import Path

import pytest

from sb3_cardqn import CarDQN

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_python_runs_with_a_smaller_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    for ample, small in (("learning_starts=5_000", "learning_starts=100"), ("learn(250_000", "learn(208")):
        assert ample in code
        code = code.replace(ample, small)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert CarDQN.load("cardqn.zip").num_timesteps == 208  # a multiple of 16 environments


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (Path(__file__).parent.parent / target).exists(), target
