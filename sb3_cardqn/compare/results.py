"""Results: the measured tables of a comparison, saved as CSV files, from which reports are made."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from sb3_cardqn.durable import write_text

_TABLES = ("runs", "curves", "drives")


@dataclass(frozen=True)
class Results:
    """
    Tidy tables, keyed by ``contestant`` (an algorithm with its overrides) and training ``seed``.

    :param plan: the plan: contestants, seeds, environment, budget
    :param machine: hardware and versions
    :param runs: one row per finished run: contestant, seed, algo, folder, command, agent_steps, seconds (of
        training, without evaluations), peak_memory_mb, attempts
    :param curves: one row per validation episode: contestant, seed, agent_steps, seconds (of training so
        far), track (0 for the first of the validation tracks), score
    :param drives: one row per held-out episode: contestant, seed, checkpoint ("final" or "best"), track,
        score, frames, lap_finished
    :param failures: failures of runs that are not in the tables, by run
    """

    plan: dict[str, Any]
    machine: dict[str, str]
    runs: pd.DataFrame
    curves: pd.DataFrame
    drives: pd.DataFrame
    failures: dict[str, str] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """
        :param folder: folder for ``plan.json`` and a CSV file per table, created if missing
        """
        folder.mkdir(parents=True, exist_ok=True)
        about = {name: getattr(self, name) for name in ("plan", "machine", "failures")}
        write_text(folder / "plan.json", json.dumps(about, indent=2))
        for name in _TABLES:
            write_text(folder / f"{name}.csv", getattr(self, name).to_csv(index=False))

    @classmethod
    def load(cls, folder: Path) -> "Results":
        """
        :param folder: folder written by ``save``
        :return: the saved results
        """
        about = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        # a converter keeps names such as "02" and "nan", which pandas would read as a number and as missing
        how: dict[str, Any] = {"float_precision": "round_trip", "converters": {"contestant": str}}
        return cls(**about, **{name: pd.read_csv(folder / f"{name}.csv", **how) for name in _TABLES})
