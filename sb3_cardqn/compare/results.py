"""What a comparison measured: tables that runs are gathered into, and reports are made from."""

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
    Tidy tables, keyed by ``contestant`` (what competes: an algorithm with its overrides) and
    training ``seed``.

    :param plan: as it was run: contestants, seeds, environment, budget
    :param machine: hardware and versions
    :param runs: one row a finished run: contestant, seed, algo, folder, command, agent_steps, seconds (of
        training, without evaluations), peak_memory_mb, attempts
    :param curves: one row a validation episode: contestant, seed, agent_steps, seconds (of training until
        then), track (0 for the first of the validation tracks), score
    :param drives: one row a held-out episode: contestant, seed, checkpoint ("final" or "best"), track, score,
        frames, lap_finished
    :param failures: what became of runs that are not in the tables
    """

    plan: dict[str, Any]
    machine: dict[str, str]
    runs: pd.DataFrame
    curves: pd.DataFrame
    drives: pd.DataFrame
    failures: dict[str, str] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """
        :param folder: to write ``plan.json`` and a CSV file for each table to; is made
        """
        folder.mkdir(parents=True, exist_ok=True)
        about = {name: getattr(self, name) for name in ("plan", "machine", "failures")}
        write_text(folder / "plan.json", json.dumps(about, indent=2))
        for name in _TABLES:
            write_text(folder / f"{name}.csv", getattr(self, name).to_csv(index=False))

    @classmethod
    def load(cls, folder: Path) -> "Results":
        """
        :param folder: that ``save`` wrote
        :return: the same results
        """
        about = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        # a converter keeps names that pandas would take for numbers or for nothing: "02", "nan"
        how: dict[str, Any] = {"float_precision": "round_trip", "converters": {"contestant": str}}
        return cls(**about, **{name: pd.read_csv(folder / f"{name}.csv", **how) for name in _TABLES})
