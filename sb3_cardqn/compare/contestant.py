"""Contestant: an algorithm with overrides of its hyperparameters, as a plan names it."""

import ast
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sb3_cardqn.compare.names import check_name
from sb3_cardqn.errors import UserError
from sb3_cardqn.python_text import NotDataError, code_in, evaluate
from sb3_cardqn.zoo.settings import check_algorithm, check_hyperparameters, parse_settings


@dataclass(frozen=True)
class Contestant:
    """
    An algorithm with overrides of its hyperparameters.

    :param name: name in tables and pictures
    :param algo: the zoo's name of the algorithm
    :param overrides: values of ``train -params``, such as ``("gamma:0.95",)``
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

        :param text: algorithm and overrides, separated by spaces and quoted as in a shell; or a dict of
            hyperparameters as in the zoo's files, with the algorithm under ``algo``
        :param name: name of the contestant, by default the text
        :return: the contestant
        :raises UserError: if there is no such algorithm or hyperparameter, a value is not Python, or the name
            is not one line of text
        """
        if isinstance(text, Mapping) and isinstance(text.get("algo"), str):
            settings = {key: value for key, value in text.items() if key != "algo"}
            check_algorithm(text["algo"])
            check_hyperparameters(text["algo"], list(settings))  # before a key becomes part of a text
            as_python = {key: ast.unparse(ast.Constant(value)) for key, value in settings.items()}  # inf too
            text = shlex.join([text["algo"], *(f"{key}:{value}" for key, value in as_python.items())])
        if not isinstance(text, str) or not text.strip():
            raise UserError(
                f"a contestant must be an algorithm and overrides, as in 'cardqn double_q:True', got {text!r}"
            )
        try:
            algo, *overrides = shlex.split(text)
        except ValueError as error:
            raise UserError(f"contestant '{text}': {error}") from error
        name = name if name and name.strip() else " ".join(text.split())
        check_name(name)
        contestant = cls(name, algo, tuple(overrides))
        check_algorithm(algo)
        check_hyperparameters(algo, list(contestant.hyperparams))
        if "n_timesteps" in contestant.hyperparams:
            raise UserError(
                "a contestant needs no n_timesteps, since all have the plan's budget (-n or --minutes), got "
                f"'{contestant.text}'"
            )
        return contestant

    @property
    def text(self) -> str:
        """Text that ``parse`` reads."""
        return shlex.join([self.algo, *self.overrides])

    @property
    def hyperparams(self) -> dict[str, Any]:
        """Values of the overrides."""
        return parse_settings(f"contestant '{self.name}'", self.overrides)

    def with_overrides(self, hyperparams: Mapping[str, Any]) -> dict[str, str]:
        """
        :param hyperparams: hyperparameters as read, with those of this contestant
        :return: the same as text, which can be compared and saved; overrides as they were typed
        """
        typed = dict(setting.split(":", 1) for setting in self.overrides)
        return {name: typed.get(name, repr(value)) for name, value in hyperparams.items()} | typed


def code_of_contestants(contestants: Any) -> str | None:
    """
    :param contestants: contestants of a plan, as read
    :return: first text in them that is not only data; None if there is none
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
        except ValueError:  # a quote is missing; ``Contestant.parse`` reports it
            continue
        code = code_in(hyperparams)
        if code is not None:
            return code
    return None
