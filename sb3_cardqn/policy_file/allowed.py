"""Classes and arguments that an exported file may name; nothing else is ever built from a file."""

import inspect
import math
import re
import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.torch_layers import FlattenExtractor, NatureCNN
from torch import nn

from sb3_cardqn.cardqn.heads import DuelingHead, HistogramHead
from sb3_cardqn.cardqn.torch_layers import CarRacingCNN, MinAtarCNN
from sb3_cardqn.env import actions, wrappers
from sb3_cardqn.env.car_racing import COLORS, CarRacingWrapper
from sb3_cardqn.env.fast_render import FastRender
from sb3_cardqn.env.road_contrast import RoadContrastObservation
from sb3_cardqn.env.task import task_of
from sb3_cardqn.errors import UserError, did_you_mean
from sb3_cardqn.python_text import short_name

_SHORT = reprlib.Repr()
_SHORT.maxstring = 80  # characters
short = _SHORT.repr  # for values from files, which may be long or contain control characters of terminals


@dataclass(frozen=True)
class Need:
    """
    A requirement on a value from a file.

    :param text: the requirement in words, as in "must be ..."
    :param fits: function that returns True for a value that meets it
    """

    text: str
    fits: Callable[[Any], bool]

    def check(self, name: str, value: Any) -> None:
        """
        :param name: name of the value, for the error
        :param value: value of any JSON type
        :raises UserError: if it does not meet the requirement
        """
        if not self.fits(value):
            raise UserError(f"{name} must be {self.text}, got {short(value)}")


def whole(low: int, high: int) -> Need:
    """
    Require a whole number.

    >>> whole(1, 8).fits(8), whole(1, 8).fits(True), whole(1, 8).fits(8.0)
    (True, False, False)

    :param low: lower bound, inclusive
    :param high: upper bound, inclusive
    :return: the requirement
    """
    text = f"a whole number from {low} to {high}"
    return Need(text, lambda value: type(value) is int and low <= value <= high)


def one_of(*values: Any) -> Need:
    """
    :param values: allowed values, all of one type
    :return: the requirement
    """
    return Need(
        f"one of {', '.join(map(repr, values))}",
        lambda value: type(value) is type(values[0]) and value in values,
    )


def list_of(item: Need, low: int, high: int) -> Need:
    """
    :param item: requirement on every item
    :param low: minimum length, inclusive
    :param high: maximum length, inclusive
    :return: the requirement
    """
    return Need(
        f"a list of {low} to {high} items, each {item.text}",
        lambda value: isinstance(value, list) and low <= len(value) <= high and all(map(item.fits, value)),
    )


YES_OR_NO = one_of(True, False)
PIXELS = whole(0, 512)
NUMBER = Need("a number", lambda value: type(value) in (int, float) and abs(value) < 1e9)  # no NaN
NEGATIVE = Need("a number below 0", lambda value: NUMBER.fits(value) and value < 0)
POSITIVE = Need("a number above 0", lambda value: NUMBER.fits(value) and value > 0)
SHARE = Need("a number from 0 to 1", lambda value: NUMBER.fits(value) and 0 <= value <= 1)
# shown to people, so without control characters of terminals
TEXT = Need(
    "printable text", lambda value: isinstance(value, str) and len(value) <= 10_000 and value.isprintable()
)
SHAPE = Need(
    "1 to 4 whole numbers with a product of at most 1048576",
    lambda value: list_of(whole(1, 2**20), 1, 4).fits(value) and math.prod(value) <= 2**20,
)
FACTS = Need(
    "an object whose values are texts and numbers",
    lambda value: (
        isinstance(value, dict)
        and all(TEXT.fits(name) and (TEXT.fits(fact) or NUMBER.fits(fact)) for name, fact in value.items())
    ),
)
# Without a "module:" prefix, because gym.make would import the module.
ENV_ID = Need(
    "the id of an environment, such as 'CarRacing-v3'",
    lambda value: isinstance(value, str) and re.fullmatch(r"[\w./-]{1,100}", value) is not None,
)
_MAX_EPISODE_STEPS = {"max_episode_steps": whole(1, 10**9)}
_CAR_RACING = {"lap_complete_percent": NUMBER, "domain_randomize": YES_OR_NO, "continuous": YES_OR_NO}
# no name of a file, nor of a module
_WORD = Need(
    "a word", lambda value: isinstance(value, str) and re.fullmatch(r"[\w+-]{1,100}", value) is not None
)
_SETTING = Need(
    "true, false, null, a number or a word, or a list of at most 100 of them",
    lambda value: value is None or any(need.fits(value) for need in (YES_OR_NO, NUMBER, _WORD)),
)
_ENV_ARGUMENT = Need(
    _SETTING.text,
    lambda value: _SETTING.fits(value) or list_of(_SETTING, 0, 100).fits(value),
)
_GYM_MAKES = {"render_mode", *inspect.signature(gym.make).parameters}

# name -> class, and a requirement on each of its arguments
Allowed = dict[str, tuple[type, dict[str, Need]]]

FEATURES_EXTRACTORS: Allowed = {
    "CarRacingCNN": (
        CarRacingCNN,
        {
            "features_dim": whole(1, 4096),
            "width": whole(1, 256),
            "normalized_image": YES_OR_NO,
            "layer_norm": YES_OR_NO,
        },
    ),
    "MinAtarCNN": (MinAtarCNN, {"features_dim": whole(1, 4096), "width": whole(1, 256)}),
    "NatureCNN": (NatureCNN, {"features_dim": whole(1, 4096), "normalized_image": YES_OR_NO}),
    "FlattenExtractor": (FlattenExtractor, {}),
}
HEADS: Allowed = {
    "Linear": (nn.Linear, {}),
    "DuelingHead": (DuelingHead, {}),
    "HistogramHead": (HistogramHead, {"low": NEGATIVE, "high": POSITIVE, "n_bins": whole(1, 1024)}),
}
ACTIVATIONS: Allowed = {"ReLU": (nn.ReLU, {}), "Tanh": (nn.Tanh, {}), "ELU": (nn.ELU, {})}

_PEDALS = {"actions": list_of(list_of(NUMBER, 3, 3), 1, 1000)}
_CROP = {"crop": list_of(PIXELS, 4, 4)}
_STACK = {"num_frames": whole(1, 64)}
WRAPPERS: Allowed = {
    "sb3_cardqn.FastRender": (FastRender, {}),
    "sb3_cardqn.DiscretizeActions": (actions.DiscretizeActions, _PEDALS),
    "sb3_cardqn.FrameSkip": (wrappers.FrameSkip, {"skip": whole(1, 1000)}),
    "sb3_cardqn.GrayscaleObservation": (
        wrappers.GrayscaleObservation,
        {"keep_dim": YES_OR_NO},
    ),
    "sb3_cardqn.RoadContrastObservation": (RoadContrastObservation, {}),
    "sb3_cardqn.ResizeObservation": (
        wrappers.ResizeObservation,
        {"shape": list_of(PIXELS, 2, 2), **_CROP},
    ),
    "sb3_cardqn.FrameStack": (wrappers.FrameStack, {**_STACK, "padding_type": one_of("reset", "zero")}),
    "sb3_cardqn.CarRacingWrapper": (
        CarRacingWrapper,
        {
            **_PEDALS,
            "frame_skip": whole(1, 1000),
            "screen_size": list_of(PIXELS, 2, 2),
            **_CROP,
            **_STACK,
            "colors": one_of(*COLORS),
            "fast_render": YES_OR_NO,
        },
    ),
    "stable_baselines3.common.atari_wrappers.AtariWrapper": (
        AtariWrapper,
        {
            "noop_max": whole(0, 1000),
            "frame_skip": whole(1, 1000),
            "screen_size": whole(1, 512),
            "terminal_on_life_loss": YES_OR_NO,
            "clip_reward": YES_OR_NO,
            "action_repeat_probability": SHARE,
        },
    ),
}


def check_env_kwargs(env_id: str, kwargs: dict[str, Any]) -> None:
    """
    :param env_id: id of an environment
    :param kwargs: its arguments from a file, by name
    :raises UserError: if one is not allowed
    """
    needs = _CAR_RACING
    if not task_of(env_id).has_laps:
        needs = {name: _ENV_ARGUMENT for name in kwargs if name not in _GYM_MAKES}
    check_arguments("env", kwargs, needs | _MAX_EPISODE_STEPS)


def look_up(table: Allowed, what: str, entry: Any) -> tuple[type, dict[str, Any]]:
    """
    Read one entry, ``"Name"`` or ``{"Name": {"argument": value}}`` as in the zoo's YAML files.

    >>> look_up(FEATURES_EXTRACTORS, "features_extractor", {"NatureCNN": {"features_dim": 64}})
    (<class 'stable_baselines3.common.torch_layers.NatureCNN'>, {'features_dim': 64})

    :param table: allowed names
    :param what: name of the entry, for the error
    :param entry: value of any JSON type
    :return: class and arguments
    :raises UserError: if the name is not in the table, or an argument is unknown or not allowed
    """
    name, arguments = entry, dict[str, Any]()
    if isinstance(entry, dict) and len(entry) == 1:
        ((name, arguments),) = entry.items()
    name = short_name(name) if isinstance(name, str) else name  # files may name a class's earlier module
    if not isinstance(name, str) or name not in table or not isinstance(arguments, dict):
        raise UserError(f"{what} must be one of {', '.join(table)}, got {short(entry)}")
    built, needs = table[name]
    check_arguments(what, arguments, needs)
    return built, arguments


def check_arguments(what: str, arguments: dict[str, Any], needs: dict[str, Need]) -> None:
    """
    :param what: name of the entry that has the arguments, for the error
    :param arguments: arguments from a file, by name
    :param needs: requirements, by name
    :raises UserError: if an argument is unknown or not allowed
    """
    for name, value in arguments.items():
        if name not in needs:
            raise UserError(f"{what} has no argument {short(name)}{did_you_mean(name, list(needs))}")
        needs[name].check(f"{what}'s {name}", value)


def write_down(table: Allowed, what: str, cls: Any, arguments: dict[str, Any]) -> Any:
    """
    Make an entry for ``look_up`` that includes current default values.

    :param table: allowed names
    :param what: name of the entry, for the error
    :param cls: class to export
    :param arguments: keyword arguments of the class
    :return: the entry
    :raises UserError: if the class is not in the table, or an argument is not allowed
    """
    names = [name for name, (known, _) in table.items() if known is cls]
    if not names:
        name = getattr(cls, "__name__", repr(cls))
        raise UserError(f"an exported {what} must be one of {', '.join(table)}, got {name}")
    needs = table[names[0]][1]
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(cls).parameters.items()
        if name in needs
    }
    arguments = {name: _as_json(name, value, needs) for name, value in (defaults | arguments).items()}
    check_arguments(what, arguments, needs)
    return {names[0]: arguments} if arguments else names[0]


def _as_json(name: str, value: Any, needs: dict[str, Need]) -> Any:
    if name == "actions" and isinstance(value, str):
        value = actions.ACTION_SETS[value]  # the named set may change later; this agent's actions must not
    if name in ("shape", "screen_size") and isinstance(value, int) and name in needs:
        value = value if needs[name].fits(value) else [value, value]
    return [_as_json("", item, {}) for item in value] if isinstance(value, (list, tuple)) else value
