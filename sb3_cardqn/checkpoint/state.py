"""State of a training run except its replay buffer, as plain data: functions that get it and set it."""

import random
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, ProgressBarCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecFrameStack, VecMonitor, VecNormalize

from sb3_cardqn.checkpoint.made_with import NUMBERS, layers
from sb3_cardqn.checkpoint.resumable_episode import get_generator, set_generator
from sb3_cardqn.errors import UserError

# Attributes of algorithms that change while they learn, besides networks and buffer; not all have each.
_CLOCKS = (
    "num_timesteps", "_total_timesteps", "_num_timesteps_at_start", "_episode_num", "_n_updates", "_n_calls",
    "_current_progress_remaining", "exploration_rate", "_due",
)  # fmt: skip
_OBSERVATIONS = ("_last_obs", "_last_original_obs", "_last_episode_starts")
_WINDOWS = ("ep_info_buffer", "ep_success_buffer")


def get_clocks(model: OffPolicyAlgorithm) -> dict[str, Any]:
    """
    :param model: algorithm, between two rollouts
    :return: its counters, the windows of its running means, its last observations
    """
    names = (*_CLOCKS, *_OBSERVATIONS, *_WINDOWS)
    seconds = (time.time_ns() - model.start_time) / 1e9
    return {"seconds": seconds} | {name: getattr(model, name) for name in names if hasattr(model, name)}


def set_clocks(model: OffPolicyAlgorithm, clocks: dict[str, Any], observations: bool) -> None:
    """
    :param model: algorithm made like the saved one
    :param clocks: result of ``get_clocks``
    :param observations: True to set the last observations too, if the environments were restored
    """
    for name in (*_CLOCKS, *(_OBSERVATIONS if observations else ())):
        if name in clocks:
            setattr(model, name, clocks[name])
    for name in _WINDOWS:
        setattr(model, name, deque(clocks[name], maxlen=getattr(model, name).maxlen))
    model.start_time = time.time_ns() - int(clocks["seconds"] * 1e9)


def get_networks(model: OffPolicyAlgorithm) -> dict[str, Any]:
    """
    :param model: any algorithm
    :return: state dicts of networks and optimizers, and the other tensors it saves
    """
    tensors = {name: _attribute(model, name) for name in model._get_torch_save_params()[1]}
    return {"parameters": _plain(model.get_parameters()), "tensors": tensors}


def _plain(value: Any) -> Any:
    """
    :param value: state dicts
    :return: the same with Python's numbers for NumPy's, which ``weights_only=True`` refuses
    """
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    return value.item() if isinstance(value, np.generic) else value


def set_networks(model: OffPolicyAlgorithm, networks: dict[str, Any]) -> None:
    """
    :param model: algorithm made like the saved one
    :param networks: result of ``get_networks``
    """
    for name in model.get_parameters():
        part = _attribute(model, name)
        getattr(part, "_orig_mod", part).load_state_dict(networks["parameters"][name])  # th.compile has one
    for name in model._get_torch_save_params()[1]:
        tensor = networks["tensors"][name]
        if tensor is not None:
            _attribute(model, name).data = tensor.data.to(model.device)


def _attribute(owner: Any, path: str) -> Any:
    for name in path.split("."):
        owner = getattr(owner, name)
    return owner


def get_random(model: OffPolicyAlgorithm) -> dict[str, Any]:
    """
    :param model: algorithm whose action space is sampled
    :return: states of Python's, NumPy's, torch's, the agent's GPU's and the action space's generators
    """
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002  the generator SB3 draws from
        "torch": th.get_rng_state().numpy(),
        "cuda": [th.cuda.get_rng_state(model.device).numpy()] if model.device.type == "cuda" else [],
        "action_space": model.action_space.np_random.bit_generator.state,
    }


def set_random(model: OffPolicyAlgorithm, states: dict[str, Any]) -> None:
    """
    :param model: algorithm whose action space is sampled
    :param states: result of ``get_random``
    """
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(states["numpy"])  # noqa: NPY002
    th.set_rng_state(th.from_numpy(states["torch"]))
    if states["cuda"] and model.device.type == "cuda":
        th.cuda.set_rng_state(th.from_numpy(states["cuda"][0]), model.device)
    model.action_space.np_random.bit_generator.state = states["action_space"]


def get_env_random(env: VecEnv) -> dict[str, Any]:
    """
    :param env: any vector of environments
    :return: random state of each environment, and the seeds for the next reset
    """
    return {
        "states": [get_generator(generator) for generator in env.get_attr("np_random")],
        "seeds": env.unwrapped._seeds,
    }


def set_env_random(env: VecEnv, states: dict[str, Any]) -> None:
    """
    :param env: vector made like the saved one
    :param states: result of ``get_env_random``
    """
    for i, (generator, state) in enumerate(zip(env.get_attr("np_random"), states["states"], strict=True)):
        set_generator(generator, state)
        env.set_attr("np_random", generator, i)
    env.unwrapped._seeds = states["seeds"]


def get_envs(env: VecEnv) -> dict[str, Any]:
    """
    :param env: the training environments
    :return: random states, running episodes if they are recorded, and state of the vector wrappers
    """
    episodes = env.env_method("episode") if env.has_attr("restore_episode") else None
    wrappers = [_wrapper_state(layer) for layer in layers(env)]
    return {"random": get_env_random(env), "episodes": episodes, "wrappers": wrappers}


def set_envs(env: VecEnv, state: dict[str, Any]) -> bool:
    """
    :param env: the training environments, made like the saved ones
    :param state: result of ``get_envs``
    :return: True if the running episodes are restored; if False, the next reset begins the episodes that
        would have come next
    """
    exact = state["episodes"] is not None and env.has_attr("restore_episode")
    if exact:
        restored = [
            env.env_method("restore_episode", episode, indices=i)[0]
            for i, episode in enumerate(state["episodes"])
        ]
        exact = all(restored)
    set_env_random(env, state["random"])
    for layer, saved in zip(layers(env), state["wrappers"], strict=True):
        _set_wrapper_state(layer, saved)
    return exact


def _wrapper_state(layer: VecEnvWrapper) -> dict[str, Any]:
    if isinstance(layer, VecFrameStack):
        parts = {key: part.stacked_obs for key, part in _stacks(layer).items()}
        return {"stack": parts.get("", parts)}
    if isinstance(layer, VecNormalize | VecMonitor):
        return {name: _statistics(value) for name, value in vars(layer).items() if _counts(value)}
    return {}


def _stacks(layer: VecFrameStack) -> dict[str, Any]:
    """
    :param layer: stacks observations
    :return: key of a Dict observation -> SB3's ``StackedObservations`` of it; "" -> that of others
    """
    return getattr(layer.stacked_obs, "sub_stacked_observations", {"": layer.stacked_obs})


def _set_wrapper_state(layer: VecEnvWrapper, saved: dict[str, Any]) -> None:
    for key, part in (_stacks(layer) if isinstance(layer, VecFrameStack) else {}).items():
        part.stacked_obs = saved["stack"][key] if key else saved["stack"]
    for name in _wrapper_state(layer) if isinstance(layer, VecNormalize | VecMonitor) else ():
        current, value = getattr(layer, name), saved[name]
        if isinstance(current, RunningMeanStd):
            _set_statistics(current, value)
        elif isinstance(current, dict) and all(isinstance(part, RunningMeanStd) for part in current.values()):
            for key, part in current.items():
                _set_statistics(part, value[key])
        else:
            setattr(layer, name, value)


def _set_statistics(current: RunningMeanStd, saved: dict[str, Any]) -> None:
    current.mean, current.var, current.count = saved["mean"], saved["var"], saved["count"]


def _counts(value: Any) -> bool:
    parts = value.values() if isinstance(value, dict) else [value]
    return all(isinstance(part, (np.ndarray, RunningMeanStd)) for part in parts)


def _statistics(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _statistics(part) for key, part in value.items()}
    return dict(vars(value)) if isinstance(value, RunningMeanStd) else value


def all_callbacks(root: BaseCallback) -> list[BaseCallback]:
    """
    :param root: root of a tree of callbacks
    :return: all callbacks in it except lists, each once
    """
    found: list[BaseCallback] = []

    def visit(callback: BaseCallback) -> None:
        if any(callback is known for known in found):
            return
        found.append(callback)
        for name, value in vars(callback).items():
            for child in value if isinstance(value, list) else [value]:
                if name != "parent" and isinstance(child, BaseCallback):
                    visit(child)

    visit(root)
    return [callback for callback in found if not isinstance(callback, CallbackList)]


def get_callback(callback: BaseCallback) -> dict[str, Any]:
    """
    :param callback: any callback
    :return: its attributes that are numbers, or lists, deques, arrays and dicts of numbers, and the random
        state of its environment
    """
    own = {name: value for name, value in vars(callback).items() if name not in ("locals", "globals")}
    numbers = {name: value for name, value in own.items() if _is_numbers(value)}
    env = getattr(callback, "eval_env", None)
    return {
        "class": type(callback).__name__,
        "numbers": numbers,
        "random": get_env_random(env) if isinstance(env, VecEnv) else None,
    }


def set_callback(callback: Any, state: dict[str, Any]) -> None:
    """
    :param callback: callback made like the saved one
    :param state: result of ``get_callback``
    :raises UserError: if it sets an attribute that does not hold numbers, such as a path
    """
    began = callback.num_timesteps
    for name, value in state["numbers"].items():
        current = getattr(callback, name, "none of that name")
        if not _is_numbers(value) or not (current is None or _is_numbers(current)):
            raise UserError(f"the checkpoint sets {name} of {type(callback).__name__} to {value!r:.50}")
        if name != "verbose":
            setattr(callback, name, _as_before(current, value))
    if state["random"] is not None:
        set_env_random(callback.eval_env, state["random"])
    if type(callback)._on_step is ProgressBarCallback._on_step:  # another one follows by itself
        callback.pbar.update(callback.num_timesteps - began)


def _is_numbers(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biuf"
    if isinstance(value, dict):
        return all(isinstance(name, str) for name in value) and _are_plain(value.values())
    return _are_plain(value) if isinstance(value, deque) else _are_plain([value])


def _are_plain(values: Iterable[Any]) -> bool:
    """
    :param values: any values
    :return: True if they are numbers, and lists of them; not of arrays, such as pictures that would be lists
    """
    return all(
        _are_plain(value) if isinstance(value, (list, tuple)) else isinstance(value, NUMBERS)
        for value in values
    )


def _as_before(current: Any, value: Any) -> Any:
    """
    :param current: attribute of a callback made like the saved one
    :param value: its saved value, as JSON returns it
    :return: the value in the type of the attribute
    """
    if isinstance(current, np.ndarray):
        return np.array(value, current.dtype)
    if isinstance(current, deque):
        return deque(value, current.maxlen)
    if isinstance(current, dict):  # a Counter, for example
        current.clear()
        current.update(value)
        return current
    return value
