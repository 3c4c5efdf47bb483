"""Results: the measured tables of a comparison, saved as CSV files, from which reports are made."""

import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from sb3_cardqn.agents.saved import WhichCheckpoint
from sb3_cardqn.durable import read_file, write_text
from sb3_cardqn.errors import UserError

JUDGED: tuple[WhichCheckpoint, ...] = ("final", "best")  # checkpoints scored in held-out episodes
RESULTS = "results"  # folder of the tables in the folder of a comparison
ABOUT = "plan.json"  # plan, machine and failures
# table -> columns that statistics need, with their types
_TABLES: dict[str, dict[str, type]] = {
    "runs": {
        "contestant": str, "seed": int, "folder": str, "command": str, "agent_steps": int, "seconds": float,
        "peak_memory_mb": float, "attempts": int,
    },
    "curves": {"contestant": str, "seed": int, "agent_steps": int, "seconds": float, "score": float},
    "drives": {"contestant": str, "seed": int, "checkpoint": str, "track": int, "score": float},
}  # fmt: skip


@dataclass(frozen=True)
class Results:
    """
    Tidy tables, keyed by ``contestant`` (an algorithm with its overrides) and training ``seed``.

    :param plan: the plan: contestants, seeds, environment, budget
    :param machine: hardware and versions
    :param runs: one row per finished run: contestant, seed, algo, folder, command, agent_steps, seconds (of
        training, without evaluations), peak_memory_mb, attempts, core_hours (missing in old results)
    :param curves: one row per validation episode: contestant, seed, agent_steps, seconds (of training so
        far), track (0 for the first of the validation tracks; missing in rows that are means over all), score
    :param drives: one row per held-out episode: contestant, seed, checkpoint ("final" or "best"), track,
        score, frames, and in CarRacing lap_finished, missed_tiles (missing in old results)
    :param failures: failures of runs that are not in the tables, by run
    :param hyperparams: hyperparameters of each contestant, by name, as text (missing in old results)
    """

    plan: dict[str, Any]
    machine: dict[str, str]
    runs: pd.DataFrame
    curves: pd.DataFrame
    drives: pd.DataFrame
    failures: dict[str, str] = field(default_factory=dict)
    hyperparams: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def n_envs(self) -> int:
        """Largest number of environments of a run, which use its seed and the ones after it."""
        numbers = [read.get("n_envs", "1") for read in self.hyperparams.values()]
        return max((int(number) for number in numbers if number.isdecimal()), default=1)

    def save(self, folder: Path) -> None:
        """
        :param folder: folder for ``plan.json`` and a CSV file per table, created if missing
        """
        folder.mkdir(parents=True, exist_ok=True)
        about = {name: getattr(self, name) for name in ("plan", "machine", "failures", "hyperparams")}
        write_text(folder / ABOUT, json.dumps(about, indent=2))
        for name in _TABLES:
            write_text(folder / f"{name}.csv", getattr(self, name).to_csv(index=False))

    @classmethod
    def load(cls, folder: Path) -> "Results":
        """
        :param folder: folder written by ``save``
        :return: the saved results
        :raises UserError: if a file is missing or holds something else
        """
        about = _read(folder / ABOUT, json.loads)
        _check_about(about, folder / ABOUT)
        return cls(
            **about, **{name: _table(folder / f"{name}.csv", types) for name, types in _TABLES.items()}
        )


def joined(machines: Iterable[dict[str, str]]) -> dict[str, str]:
    """
    Put machines into one table.

    >>> joined([{"CPU": "one", "Cores": "2"}, {"CPU": "other", "Cores": "2"}])
    {'CPU': 'one; other', 'Cores': '2'}

    :param machines: hardware and versions, of several machines or moments
    :return: the same names, each with all its values
    """
    values: dict[str, dict[str, None]] = {}
    for machine in machines:
        for name, value in machine.items():
            values.setdefault(name, {})[str(value)] = None
    return {name: "; ".join(each) for name, each in values.items()}


def _check_about(about: Any, path: Path) -> None:
    """
    :param about: content of ``plan.json``
    :param path: path of the file, for the error
    :raises UserError: if it is not the plan, machine and failures of a comparison
    """
    plan = {"contestants": (dict, list), "seeds": list}
    needed: dict[str, dict[str, Any]] = {"plan": plan, "machine": {}, "failures": {}, "hyperparams": {}}
    if not isinstance(about, dict) or not about.keys() <= needed.keys():
        raise UserError(f"'{path}' does not hold the plan of a comparison: {about!r:.80}")
    for name, keys in needed.items():
        part = about.get(name, {} if name in ("failures", "hyperparams") else None)
        if not isinstance(part, dict) or not all(isinstance(part.get(k), kind) for k, kind in keys.items()):
            wanted = f" with {' and '.join(keys)}" if keys else ""
            raise UserError(f"'{path}' needs a mapping '{name}'{wanted}, got {part!r:.80}")
    for name, read in about.get("hyperparams", {}).items():
        if not isinstance(read, dict) or not all(isinstance(text, str) for text in read.values()):
            raise UserError(f"'{path}' needs hyperparams of {name} to be texts by name, got {read!r:.80}")


def _read(path: Path, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(read_file(path).decode())
    except ValueError as error:
        raise UserError(f"'{path}' does not hold results of a comparison: {error}") from error


def _table(path: Path, types: dict[str, type]) -> pd.DataFrame:
    # a converter keeps names such as "02" and "nan", which pandas would read as a number and as missing
    how: dict[str, Any] = {"float_precision": "round_trip", "converters": {"contestant": str}}
    numbers = {name: kind for name, kind in types.items() if name != "contestant"}
    table = _read(path, lambda text: pd.read_csv(io.StringIO(text), dtype=numbers, **how))
    missing = [name for name in types if name not in table]
    if missing:
        raise UserError(f"'{path}' does not hold results of a comparison: there is no column '{missing[0]}'")
    return table
