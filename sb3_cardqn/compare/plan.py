"""Plan of a comparison (contestants, seeds, environment, budget), checked before training."""

import argparse
import contextlib
import inspect
import io
import math
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from sb3_cardqn import trust
from sb3_cardqn.checkpoint.replay_files import checkpoint_bytes
from sb3_cardqn.compare.contestant import Contestant, code_of_contestants
from sb3_cardqn.durable import read_file, write_text
from sb3_cardqn.env.task import task_of
from sb3_cardqn.errors import UserError, did_you_mean
from sb3_cardqn.evaluate import check_seeds
from sb3_cardqn.seeds import HELD_OUT_SEEDS, TRAINING_SEEDS, VALIDATION_SEEDS
from sb3_cardqn.yaml_files import parse_yaml, with_numbers
from sb3_cardqn.zoo.experiment import CarExperimentManager
from sb3_cardqn.zoo.settings import (
    check_environment,
    import_packages,
)

SEED_STRIDE = 1000  # environment i of a run uses the run's seed plus i
MAX_SEEDS = len(TRAINING_SEEDS) // SEED_STRIDE
# settings of training and driving, which all runs of a comparison share
FIXED = ("env", "n_timesteps", "minutes", "n_evaluations", "eval_episodes", "fast", "first", "vec_env")


@dataclass(frozen=True)
class TriedOut:
    """
    What building a contestant's environments and model found out about its runs.

    :param checkpoint_bytes: size of a checkpoint of the replay buffer; None if there can be no checkpoints
    :param hyperparams: its hyperparameters, by name, as text
    """

    checkpoint_bytes: int | None
    hyperparams: dict[str, str]


@dataclass(frozen=True)
class Plan:
    """
    Everything that determines the results of a comparison. ``Plan.of`` accepts simpler arguments.

    :param contestants: contestants to compare
    :param seeds: training seeds, the same for every contestant
    :param n_timesteps: budget of a run in agent steps; None if it is in minutes
    :param minutes: budget of a run in minutes of training without evaluations; None if it is in agent steps
    :param env: id of the environment
    :param n_evaluations: number of evaluations, evenly spaced over training
    :param eval_episodes: episodes per evaluation, on validation seeds
    :param tracks: number of held-out episodes, at the end; in CarRacing a track each
    :param fast: True to drive CarRacing's held-out tracks with the picture used in training, usually
        ``FastRender``'s, several times as fast
    :param baseline: name of the contestant to compare all others with; None to compare all pairs
    :param first: seed of the first held-out episode
    :param gym_packages: modules to import that register the environment
    :param vec_env: "dummy", or "subproc" to step a run's environments in processes of their own; then train
        one run at a time, on all cores
    """

    contestants: tuple[Contestant, ...]
    seeds: tuple[int, ...]
    n_timesteps: int | None = None
    minutes: float | None = None
    env: str = "CarRacing-v3"
    n_evaluations: int = 20
    eval_episodes: int = 5
    tracks: int = len(HELD_OUT_SEEDS)
    fast: bool = False
    baseline: str | None = None
    first: int = HELD_OUT_SEEDS.start
    gym_packages: tuple[str, ...] = ()
    vec_env: str = "dummy"

    def __post_init__(self) -> None:
        if not self.contestants:
            raise UserError("a plan needs contestants, such as cardqn dqn 'cardqn double_q:True', got none")
        _check_distinct("contestant", self.names)
        if not self.seeds:
            raise UserError("seeds: needs at least 1, got none")
        for seed in self.seeds:
            _check_number("seeds", seed, int, 0)
        _check_distinct("seed", self.seeds)
        import_packages(self.gym_packages)
        check_environment(self.env)
        self._check_budget()
        _check_number("n_evaluations", self.n_evaluations, int, 1, self.n_timesteps)
        _check_number("eval_episodes", self.eval_episodes, int, 1)
        _check_number(f"tracks (--{task_of(self.env).episode}s)", self.tracks, int, 1, len(HELD_OUT_SEEDS))
        _check_number("first", self.first, int, 0)
        check_seeds(self.held_out, task_of(self.env))
        judges = VALIDATION_SEEDS[: self.eval_episodes]
        if self.first <= judges[-1] and self.held_out[-1] >= judges[0]:
            raise UserError(
                f"first: needs episodes outside of {judges[0]} to {judges[-1]}, which choose the best "
                f"checkpoints, got {self.first}"
            )
        if not isinstance(self.fast, bool):
            raise UserError(f"fast: needs true or false, got {self.fast!r}")
        if self.vec_env not in ("dummy", "subproc"):
            raise UserError(f"vec_env: needs dummy or subproc, got {self.vec_env!r}")

    def _check_budget(self) -> None:
        if (self.n_timesteps is None) == (self.minutes is None):
            raise UserError(
                "a plan needs one budget: agent steps (-n, n_timesteps) or minutes (--minutes), "
                f"got n_timesteps={self.n_timesteps}, minutes={self.minutes}"
            )
        if self.n_timesteps is not None:
            _check_number("n_timesteps", self.n_timesteps, int, 1)
        if self.minutes is not None:
            _check_number("minutes", self.minutes, float, 0.01)
            if any(contestant.algo == "ars" for contestant in self.contestants):
                raise UserError(
                    f"minutes: needs algorithms that a callback can stop, got {self.minutes:g} and ars"
                )

    @property
    def held_out(self) -> range:
        """Seeds of the held-out episodes."""
        return range(self.first, self.first + self.tracks)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the contestants."""
        return tuple(contestant.name for contestant in self.contestants)

    @classmethod
    def of(
        cls,
        contestants: Sequence[str | Mapping[str, Any]] | Mapping[str, str | Mapping[str, Any]],
        seeds: int | Sequence[int] = 5,
        **rest: Any,
    ) -> "Plan":
        """
        >>> plan = Plan.of(["cardqn", "dqn", "cardqn double_q:True"], seeds=3, n_timesteps=100_000)
        >>> plan.seeds
        (0, 1000, 2000)

        :param contestants: algorithms with overrides; a list, or a dict from names
        :param seeds: number of seeds, or list of seeds
        :param rest: further arguments of ``Plan``
        :return: the plan
        :raises UserError: if something in it is unknown or out of range
        """
        fields = list(inspect.signature(cls).parameters)
        for key in rest:
            if key not in fields:
                raise UserError(f"unknown key '{key}' in the plan{did_you_mean(key, fields)}")
            if isinstance(rest[key], float) and rest[key].is_integer() and key != "minutes":
                rest[key] = int(rest[key])  # the zoo's files write !!float 1e5
        if isinstance(seeds, int) and not isinstance(seeds, bool):
            if not 1 <= seeds <= MAX_SEEDS:
                raise UserError(
                    f"seeds: needs a number of seeds from 1 to {MAX_SEEDS}, got {seeds}; for the single seed "
                    f"{seeds}: --seed {seeds}, or seeds: [{seeds}] in a plan"
                )
            seeds = range(0, seeds * SEED_STRIDE, SEED_STRIDE)
        if not isinstance(seeds, Sequence) or isinstance(seeds, str):
            raise UserError(f"seeds: needs a number of seeds or a list of seeds, got {seeds!r}")
        if isinstance(contestants, Mapping):
            named = [(text, str(name)) for name, text in contestants.items()]
        elif isinstance(contestants, Sequence) and not isinstance(contestants, str):
            named = [(text, None) for text in contestants]  # type: ignore[misc]
        else:
            raise UserError(f"contestants: needs a list or a mapping from names, got {contestants!r}")
        rest["gym_packages"] = _packages(rest.get("gym_packages", ()))
        if rest.get("baseline") is not None:
            rest["baseline"] = str(rest["baseline"])  # YAML reads the name 1 as a number
        return cls(tuple(Contestant.parse(text, name) for text, name in named), tuple(seeds), **rest)

    @classmethod
    def load(cls, path: Path) -> "Plan":
        """
        :param path: YAML file with the arguments of ``of``
        :return: the plan
        """
        return cls.of(**read_plan(path))

    def as_dict(self) -> dict[str, Any]:
        """
        :return: arguments of ``of``, as JSON and YAML data
        """
        contestants = {contestant.name: contestant.text for contestant in self.contestants}
        lists = {"seeds": list(self.seeds), "gym_packages": list(self.gym_packages)}
        return vars(self) | {"contestants": contestants} | lists

    def save(self, path: Path) -> None:
        """
        :param path: YAML file to write
        """
        write_text(path, yaml.safe_dump(self.as_dict(), sort_keys=False))
        trust.remember(path)

    def added_to(self, earlier: "Plan") -> "Plan":
        """
        Merge this plan with the earlier plan of the output folder.

        Contestants and seeds may be added, and the number of held-out tracks and the baseline may change.
        Settings of training and driving must stay the same.

        :param earlier: plan of the folder
        :return: merged plan
        :raises UserError: if another setting differs; the text names it and both values
        """
        for name in FIXED:
            old, new = getattr(earlier, name), getattr(self, name)
            if old != new:
                raise UserError(
                    f"the output folder needs {name} {old}, as in its plan, got {new}: use another folder"
                )
        contestants = {contestant.name: contestant for contestant in earlier.contestants}
        for contestant in self.contestants:
            old = contestants.setdefault(contestant.name, contestant)
            if old != contestant:
                raise UserError(
                    f"the output folder needs contestant '{old.name}' to be '{old.text}', as in its plan, "
                    f"got '{contestant.text}': use another name or another folder"
                )
        seeds = tuple(dict.fromkeys([*earlier.seeds, *self.seeds]))
        return Plan(**vars(self) | {"contestants": tuple(contestants.values()), "seeds": seeds})

    def try_out(self) -> dict[str, TriedOut]:
        """
        Build every contestant's environments and model once, in a temporary folder.

        :return: name of each contestant -> what was found out about its runs
        :raises UserError: if that fails, the environments of two runs would share seeds, or the baseline is
            not a contestant
        """
        if self.baseline is not None and self.baseline not in self.names:
            raise UserError(
                f"baseline: needs the name of a contestant, got {self.baseline!r}"
                + did_you_mean(self.baseline, list(self.names))
            )
        tried = {}
        for contestant in self.contestants:
            with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
                manager = CarExperimentManager(
                    argparse.Namespace(),
                    contestant.algo,
                    self.env,
                    folder,
                    eval_freq=-1,
                    hyperparams=contestant.hyperparams,
                    seed=max(self.seeds),
                    verbose=0,
                )
                try:
                    model, _ = manager.setup_experiment()  # type: ignore[misc]
                except Exception as error:
                    text = " ".join(str(error).split())
                    raise UserError(f"contestant '{contestant.name}': {text}") from error
                tried[contestant.name] = TriedOut(
                    checkpoint_bytes(getattr(model, "replay_buffer", None)),
                    contestant.with_overrides(manager.saved_hyperparams),
                )
                model.get_env().close()  # type: ignore[union-attr]
            for lower, higher in pairwise(sorted(self.seeds)):
                if higher - lower < manager.n_envs:
                    raise UserError(
                        f"seeds: needs seeds at least {manager.n_envs} apart for the {manager.n_envs} "
                        f"environments of contestant '{contestant.name}', got {lower} and {higher}"
                    )
        return tried


def differing(one: Any, other: Any) -> tuple[Any, Any]:
    """
    Reduce two different values to what differs.

    >>> differing({"gamma": "0.99", "n_envs": "1"}, {"gamma": "0.5", "n_envs": "1"})
    ({'gamma': '0.99'}, {'gamma': '0.5'})

    :param one: any setting
    :param other: another value of it
    :return: both; of two dicts only the items that differ
    """
    if not isinstance(one, dict) or not isinstance(other, dict):
        return one, other
    same = {name for name in one if name in other and one[name] == other[name]}
    first, second = ({name: own[name] for name in own if name not in same} for own in (one, other))
    return first, second


def read_plan(path: Path) -> dict[str, Any]:
    """
    :param path: YAML file
    :return: its settings, unchecked
    :raises UserError: if it is not a mapping, or contains code and is not trusted
    """
    contents = read_file(path)
    settings = with_numbers(parse_yaml(contents, path))
    if not isinstance(settings, dict) or not all(isinstance(key, str) for key in settings):
        raise UserError(
            f"plan '{path}': needs a mapping with keys such as contestants, seeds and n_timesteps"
        )
    packages = settings.get("gym_packages")
    code = f"gym_packages: {packages}" if packages else code_of_contestants(settings.get("contestants"))
    trust.require_for(code, path, contents)
    return settings


def _packages(names: Any) -> tuple[str, ...]:
    if not isinstance(names, Sequence) or isinstance(names, str):
        raise UserError(f"gym_packages: needs a list of modules, got {names!r}")
    return tuple(map(str, names))


def _check_number(name: str, value: Any, kind: type, least: float, most: float | None = None) -> None:
    is_number = isinstance(value, (int, kind)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < least or (most is not None and value > most):
        upper = "" if most is None else f" and at most {most}"
        noun = "a whole number" if kind is int else "a number"
        raise UserError(f"{name}: needs {noun} of at least {least}{upper}, got {value!r}")


def _check_distinct(what: str, values: Sequence[Any]) -> None:
    for value, times in Counter(values).items():
        if times > 1:
            raise UserError(f"each {what} must occur once, got '{value}' {times} times")
