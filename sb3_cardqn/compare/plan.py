"""What is compared: contestants, seeds, environment and budget, checked before anything trains."""

import argparse
import contextlib
import inspect
import io
import math
import shlex
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from sb3_cardqn import trust
from sb3_cardqn.compare.names import check_name
from sb3_cardqn.durable import read_file, write_text
from sb3_cardqn.errors import UserError, did_you_mean
from sb3_cardqn.python_text import NotDataError, code_in, evaluate
from sb3_cardqn.seeds import HELD_OUT_SEEDS, TRAINING_SEEDS
from sb3_cardqn.yaml_files import parse_yaml, with_numbers
from sb3_cardqn.zoo.experiment import CarExperimentManager
from sb3_cardqn.zoo.settings import check_algorithm, check_environment, check_hyperparameters, parse_settings

SEED_STRIDE = 1000  # a run takes its seed and one more for each environment
MAX_SEEDS = len(TRAINING_SEEDS) // SEED_STRIDE


@dataclass(frozen=True)
class Contestant:
    """
    An algorithm with what is overridden in its hyperparameters.

    :param name: in tables and pictures
    :param algo: as rl-zoo3 calls it
    :param overrides: as for ``train -params``, such as ``("gamma:0.95",)``
    """

    name: str
    algo: str
    overrides: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str | Mapping[str, Any], name: str | None = None) -> "Contestant":
        """
        >>> Contestant.parse("cardqn double_q:True")
        Contestant(name='cardqn double_q:True', algo='cardqn', overrides=('double_q:True',))
        >>> Contestant.parse({"algo": "cardqn", "n_steps": 1}, "one step")
        Contestant(name='one step', algo='cardqn', overrides=('n_steps:1',))

        :param text: the algorithm, then overrides, with spaces between; quotes as in a shell. Or a dictionary
            of hyperparameters as in the zoo's files, with the algorithm as ``algo``
        :param name: what to call it; by default the text itself
        :return: the contestant
        :raises UserError: if there is no such algorithm or hyperparameter, a value is not Python, or the name
            is not one line of text
        """
        if isinstance(text, Mapping) and isinstance(text.get("algo"), str):
            settings = [f"{key}:{value!r}" for key, value in text.items() if key != "algo"]
            text = shlex.join([text["algo"], *settings])
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"a contestant is an algorithm, such as 'cardqn double_q:True', got {text!r}")
        try:
            algo, *overrides = shlex.split(text)
        except ValueError as error:
            raise UserError(f"contestant '{text}': {error}") from error
        name = name if name and name.strip() else " ".join(text.split())
        check_name(name)
        contestant = cls(name, algo, tuple(overrides))
        check_algorithm(algo)
        check_hyperparameters(algo, list(contestant.hyperparams))
        return contestant

    @property
    def text(self) -> str:
        """What ``parse`` reads."""
        return shlex.join([self.algo, *self.overrides])

    @property
    def hyperparams(self) -> dict[str, Any]:
        """The overrides' values."""
        return parse_settings(f"contestant '{self.name}'", self.overrides)


@dataclass(frozen=True)
class Plan:
    """
    Everything that decides a comparison's results. ``Plan.of`` takes it the way people write it.

    :param contestants: what competes
    :param seeds: of the trainings, the same for each contestant
    :param n_timesteps: budget of a run in agent steps; None where it is in minutes
    :param minutes: budget of a run in minutes of training, evaluations not counted; None where it is in agent
        steps
    :param env: id of the environment
    :param n_evaluations: on validation tracks, spread evenly over the training
    :param eval_episodes: validation tracks driven each time
    :param tracks: held-out tracks driven in the end
    :param fast: drive those with the picture of the training, usually ``FastRender``'s, several times as fast
    :param baseline: name of the contestant that each other one is compared with; None compares all pairs
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

    def __post_init__(self) -> None:
        if not self.contestants:
            raise UserError("nothing to compare, name contestants such as: cardqn dqn 'cardqn double_q:True'")
        _check_distinct("contestant", self.names)
        if not self.seeds:
            raise UserError("seeds: needs at least 1, got none")
        for seed in self.seeds:
            _check_number("seeds", seed, int, 0)
        _check_distinct("seed", self.seeds)
        check_environment(self.env)
        if (self.n_timesteps is None) == (self.minutes is None):
            raise UserError(
                "a plan needs one budget: agent steps (-n, n_timesteps) or minutes (--minutes), "
                f"got n_timesteps={self.n_timesteps}, minutes={self.minutes}"
            )
        if self.n_timesteps is not None:
            _check_number("n_timesteps", self.n_timesteps, int, 1)
        if self.minutes is not None:
            _check_number("minutes", self.minutes, float, 0.01)
        _check_number("n_evaluations", self.n_evaluations, int, 1, self.n_timesteps)
        _check_number("eval_episodes", self.eval_episodes, int, 1)
        _check_number("tracks", self.tracks, int, 1, len(HELD_OUT_SEEDS))
        if not isinstance(self.fast, bool):
            raise UserError(f"fast: needs true or false, got {self.fast!r}")

    @property
    def names(self) -> tuple[str, ...]:
        """The contestants' names."""
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

        :param contestants: algorithms with their overrides, in a dictionary if they have names of their own
        :param seeds: how many, or which
        :param rest: arguments of ``Plan``
        :return: the plan
        :raises UserError: if something in it is unknown or out of range
        """
        fields = list(inspect.signature(cls).parameters)
        for key in rest:
            if key not in fields:
                raise UserError(f"unknown key '{key}' in the plan{did_you_mean(key, fields)}")
            if isinstance(rest[key], float) and rest[key].is_integer() and key != "minutes":
                rest[key] = int(rest[key])  # !!float 1e5, as the zoo's files have it
        if isinstance(seeds, int) and not isinstance(seeds, bool):
            if not 1 <= seeds <= MAX_SEEDS:
                raise UserError(
                    f"seeds: needs 1 to {MAX_SEEDS} of them, got {seeds}; to name one: --seed {seeds}, or "
                    f"seeds: [{seeds}] in a plan"
                )
            seeds = range(0, seeds * SEED_STRIDE, SEED_STRIDE)
        if not isinstance(seeds, Sequence) or isinstance(seeds, str):
            raise UserError(f"seeds: needs a number or a list of them, got {seeds!r}")
        if isinstance(contestants, Mapping):
            named = [(text, str(name)) for name, text in contestants.items()]
        elif isinstance(contestants, Sequence) and not isinstance(contestants, str):
            named = [(text, None) for text in contestants]  # type: ignore[misc]
        else:
            raise UserError(f"contestants: needs a list, or a mapping of names, got {contestants!r}")
        if rest.get("baseline") is not None:
            rest["baseline"] = str(rest["baseline"])  # YAML reads 1 as a number, in a name as well
        return cls(tuple(Contestant.parse(text, name) for text, name in named), tuple(seeds), **rest)

    @classmethod
    def load(cls, path: Path) -> "Plan":
        """
        :param path: of a YAML file with the arguments of ``of``
        :return: the plan
        """
        return cls.of(**read_plan(path))

    def as_dict(self) -> dict[str, Any]:
        """
        :return: arguments of ``of``, in JSON's and YAML's types
        """
        contestants = {contestant.name: contestant.text for contestant in self.contestants}
        return vars(self) | {"contestants": contestants, "seeds": list(self.seeds)}

    def save(self, path: Path) -> None:
        """
        :param path: of the YAML file to write
        """
        write_text(path, yaml.safe_dump(self.as_dict(), sort_keys=False))
        trust.remember(path)

    def added_to(self, earlier: "Plan") -> "Plan":
        """
        Join this plan to the one a folder was begun with.

        Contestants and seeds may be added, the number of held-out tracks and the baseline may change; what
        runs are trained and driven with may not.

        :param earlier: the folder's plan
        :return: both
        :raises UserError: naming what differs
        """
        for name in ("env", "n_timesteps", "minutes", "n_evaluations", "eval_episodes", "fast"):
            old, new = getattr(earlier, name), getattr(self, name)
            if old != new:
                raise UserError(
                    f"the output folder was begun with {name} {old}, this plan has {new}: take another folder"
                )
        contestants = {contestant.name: contestant for contestant in earlier.contestants}
        for contestant in self.contestants:
            old = contestants.setdefault(contestant.name, contestant)
            if old != contestant:
                raise UserError(
                    f"the output folder was begun with contestant '{old.name}' as '{old.text}', now it is "
                    f"'{contestant.text}': give it another name, or take another folder"
                )
        seeds = tuple(dict.fromkeys([*earlier.seeds, *self.seeds]))
        return Plan(**vars(self) | {"contestants": tuple(contestants.values()), "seeds": seeds})

    def try_out(self) -> None:
        """
        Build each contestant's environments and model once, in a folder that is thrown away.

        :raises UserError: if that does not work, the environments of two seeds would meet, or the baseline is
            no contestant
        """
        if self.baseline is not None and self.baseline not in self.names:
            raise UserError(
                f"baseline: needs the name of a contestant, got {self.baseline!r}"
                + did_you_mean(self.baseline, list(self.names))
            )
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
                model.get_env().close()  # type: ignore[union-attr]
            for lower, higher in pairwise(sorted(self.seeds)):
                if higher - lower < manager.n_envs:
                    raise UserError(
                        f"seeds {lower} and {higher} are too near for contestant '{contestant.name}': a run "
                        f"of {manager.n_envs} environments takes as many seeds"
                    )


def read_plan(path: Path) -> dict[str, Any]:
    """
    :param path: of a YAML file
    :return: what it says, unchecked
    :raises UserError: if it is no mapping, or holds more than data and nobody vouches for it
    """
    contents = read_file(path)
    settings = with_numbers(parse_yaml(contents, path))
    if not isinstance(settings, dict) or not all(isinstance(key, str) for key in settings):
        raise UserError(f"plan '{path}': needs keys such as contestants, seeds and n_timesteps")
    trust.require_for(_code_in(settings.get("contestants")), path, contents)
    return settings


def _code_in(contestants: Any) -> str | None:
    """
    :param contestants: of a plan, as it was read
    :return: the first text in them that is more than data; None if all is data
    """
    listed = contestants.values() if isinstance(contestants, dict) else contestants
    for contestant in listed if isinstance(listed, Iterable) else ():
        hyperparams = contestant if isinstance(contestant, dict) else {}
        try:
            for setting in shlex.split(contestant)[1:] if isinstance(contestant, str) else ():
                name, _, text = setting.partition(":")
                hyperparams[name] = evaluate(text)
        except NotDataError:
            return setting
        except ValueError:  # a quote is missing, as ``Contestant.parse`` will say
            continue
        code = code_in(hyperparams)
        if code is not None:
            return code
    return None


def _check_number(name: str, value: Any, kind: type, least: float, most: float | None = None) -> None:
    is_number = isinstance(value, (int, kind)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < least or (most is not None and value > most):
        upper = "" if most is None else f" and at most {most}"
        noun = "a whole number" if kind is int else "a number"
        raise UserError(f"{name}: needs {noun} of at least {least}{upper}, got {value!r}")


def _check_distinct(what: str, values: Sequence[Any]) -> None:
    for value, times in Counter(values).items():
        if times > 1:
            raise UserError(f"{what} '{value}' is there {times} times")
