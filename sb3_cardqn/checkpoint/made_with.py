"""Settings and library versions of a checkpoint, compared on resume, and warnings about omitted state."""

import enum
import functools
import inspect
import math
import platform
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import stable_baselines3
import torch as th
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.utils import FloatSchedule
from stable_baselines3.common.vec_env import (
    VecCheckNan,
    VecEnv,
    VecEnvWrapper,
    VecExtractDictObs,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
)

from sb3_cardqn.cardqn.overlap import OverlapAlgorithm
from sb3_cardqn.checkpoint.resumable_episode import ResumableEpisode
from sb3_cardqn.env.meanwhile import Meanwhile
from sb3_cardqn.errors import UserError
from sb3_cardqn.version import __version__

# arguments of algorithms that do not affect the weights, or that settings() describes in another way
_NO_SETTINGS = {
    "policy", "env", "replay_buffer_class", "tensorboard_log", "verbose", "seed", "device", "overlap",
    "_init_setup_model",
}  # fmt: skip
# wrappers that have no state, or whose state is in the checkpoint
_KNOWN_WRAPPERS = (
    VecFrameStack, VecNormalize, VecMonitor, VecTransposeImage, VecExtractDictObs, VecCheckNan, Meanwhile,
)  # fmt: skip
_PLAIN = (bool, int, float, str)
NUMBERS = (bool, int, float, np.number, np.bool_)  # also of what a callback counts
_OF_EVERY_WRAPPER = {
    "venv", "num_envs", "observation_space", "action_space", "reset_infos", "metadata", "render_mode",
    "class_attributes", "_seeds", "_options",
}  # fmt: skip


class CheckpointWarning(UserWarning):
    """A problem with writing or reading a checkpoint, and what is done instead."""


def settings(model: OffPolicyAlgorithm) -> dict[str, Any]:
    """
    :param model: algorithm, before it learns
    :return: constructor arguments and spaces, as JSON data
    """
    names = [name for name in inspect.signature(type(model)).parameters if name not in _NO_SETTINGS]
    arguments = {name: getattr(model, name) for name in names if hasattr(model, name)}
    spaces = {name: str(getattr(model, name)) for name in ("observation_space", "action_space")}
    env = model.get_env()
    overlap = {"overlap": model.overlaps(env)} if env and isinstance(model, OverlapAlgorithm) else {}
    return described({"policy": type(model.policy), **arguments, **overlap, **spaces})


def arguments_of(callbacks: Iterable[BaseCallback]) -> dict[str, Any]:
    """
    :param callbacks: callbacks, before training
    :return: their constructors' arguments that are numbers, as attributes hold them; by "place.class.name"
    """
    return {
        f"{i}.{type(callback).__name__}.{name}": described(vars(callback)[name])
        for i, callback in enumerate(callbacks)
        for name in inspect.signature(type(callback)).parameters
        if name != "verbose" and _is_plain_number(vars(callback).get(name))
    }


def _is_plain_number(value: Any) -> bool:
    return isinstance(value, NUMBERS) and not math.isnan(value)


def described(value: Any) -> Any:
    """
    Describe a setting with JSON data.

    >>> described({"layers": (64, 64), "activation_fn": th.nn.ReLU})
    {'layers': [64, 64], 'activation_fn': 'torch.nn.modules.activation.ReLU'}

    :param value: any object
    :return: classes and functions by name, other objects by class, schedules with their numbers
    """
    if isinstance(value, enum.Enum):
        return value.value
    if value is None or isinstance(value, _PLAIN):
        return value
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): described(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [described(part) for part in value]
    if isinstance(value, functools.partial):
        return [described(value.func), described(value.args), described(value.keywords)]
    name = getattr(value, "__qualname__", None)
    if name is not None:
        return f"{value.__module__}.{name}"
    if isinstance(value, FloatSchedule):
        return described(value.value_schedule)
    return [
        described(type(value)),
        {key: part for key, part in getattr(value, "__dict__", {}).items() if isinstance(part, _PLAIN)},
    ]


def versions() -> dict[str, str]:
    """
    :return: versions of everything that affects learning, by name
    """
    return {
        "python": platform.python_version(),
        "torch": str(th.__version__),
        "numpy": np.__version__,
        "gymnasium": gym.__version__,
        "stable_baselines3": stable_baselines3.__version__,
        "sb3_cardqn": __version__,
    }


def check_settings(saved: Mapping[str, Any], ours: Mapping[str, Any], unchecked: Collection[str]) -> None:
    """
    :param saved: settings in the checkpoint; empty in format 1
    :param ours: settings of the run that resumes from it
    :param unchecked: names of settings that may differ
    :raises UserError: if a setting differs; the text names it and both values
    """
    missing = "nothing"
    differences = [
        f"{name}={saved.get(name, missing)!r:.200}, got {ours.get(name, missing)!r:.200}"
        for name in sorted({*saved, *ours} - {*unchecked})
        if saved and saved.get(name, missing) != ours.get(name, missing)
    ]
    if differences:
        raise UserError(f"the checkpoint was written with {'; with '.join(differences)}")


def warn_of_versions(saved: Mapping[str, str]) -> None:
    """
    :param saved: versions in the checkpoint; empty in format 1
    """
    ours = versions()
    differences = [
        f"{name} {saved.get(name, 'of an unknown version')} (here {version})"
        for name, version in ours.items()
        if saved.get(name) != version
    ]
    if differences:
        warnings.warn(
            f"the checkpoint was written with {', '.join(differences)}: results may differ from those of a "
            "run that never stopped",
            CheckpointWarning,
            stacklevel=2,
        )


def check_outermost(env: VecEnv) -> None:
    """
    :param env: the training environments
    :raises UserError: if a wrapper is around ``ResumableEpisode``, which would not see the replay
    """
    for one in getattr(env.unwrapped, "envs", []):
        inside = isinstance(one, gym.Env) and is_wrapped(one, ResumableEpisode)
        if inside and not isinstance(one, ResumableEpisode):
            raise UserError(
                "ResumableEpisode needs to be the outermost wrapper, so that the others are replayed too; "
                "SB3 adds a Monitor outside if there is none, so use ResumableEpisode(Monitor(env)); "
                f"got {one}"
            )


def warn_of_what_is_left_out(model: OffPolicyAlgorithm) -> None:
    """
    :param model: algorithm, before it learns
    """
    forgotten = list(_forgotten(model.env))
    if model.action_noise is not None and type(model.action_noise) is not NormalActionNoise:
        forgotten.append(f"action_noise {type(model.action_noise).__name__}")
    if getattr(model, "use_sde", False):
        forgotten.append("noise of use_sde")
    if forgotten:
        warnings.warn(
            f"checkpoints do not contain this state, which restarts on resume: {', '.join(forgotten)}",
            CheckpointWarning,
            stacklevel=2,
        )


def layers(env: VecEnv | None) -> Iterator[VecEnvWrapper]:
    """
    :param env: vectorized environment
    :return: its wrappers, from the outermost
    """
    while isinstance(env, VecEnvWrapper):
        yield env
        env = env.venv


def _forgotten(env: VecEnv | None) -> Iterator[str]:
    for layer in layers(env):
        names = [name for name in vars(layer) if name not in _OF_EVERY_WRAPPER]
        if names and type(layer) not in _KNOWN_WRAPPERS:
            yield f"{type(layer).__name__} ({', '.join(names)})"
