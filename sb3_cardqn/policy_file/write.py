"""write_policy: exports a trained agent's driving Q-network, with a description of its environment."""

import platform
from pathlib import Path
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
import stable_baselines3
import torch as th
from gymnasium import spaces
from sb3_contrib.qrdqn.policies import QuantileNetwork
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.dqn.policies import QNetwork as DQNsQNetwork
from torch import nn

from sb3_cardqn.cardqn.heads import mean_of_quantiles
from sb3_cardqn.cardqn.policies import CarDQNPolicy
from sb3_cardqn.cardqn.q_network import QNetwork
from sb3_cardqn.env.training_wrappers import judged_wrappers, sees_normalized
from sb3_cardqn.errors import UserError
from sb3_cardqn.policy_file import allowed
from sb3_cardqn.policy_file import read as policy_file
from sb3_cardqn.python_text import find_class
from sb3_cardqn.version import __version__

EXPORTABLE = ("cardqn", "dqn", "qrdqn")  # the zoo's names of the algorithms


class Trained(Protocol):
    """The training run of an agent, such as ``agents.Run``."""

    @property
    def env_id(self) -> str:
        """Id of the environment."""

    @property
    def config(self) -> dict[str, Any]:
        """Hyperparameters the agent was trained with."""


def write_policy(
    model: BaseAlgorithm,
    algo: str,
    path: Path,
    run: Trained | None = None,
    facts: dict[str, Any] | None = None,
) -> None:
    """
    Export an agent of CarDQN, or of SB3's DQN or QRDQN, for ``load_policy``.

    :param model: the agent
    :param algo: the zoo's name of its algorithm
    :param path: ``.safetensors`` file to write; the description is also written beside it, as ``.json``
    :param run: its training run, which describes the environment; None for a file that only ``load_policy``
        can use
    :param facts: texts and numbers about its training, added to agent steps and versions
    :raises UserError: if the agent has a part that a file may not name; the text lists the allowed ones
    """
    if algo not in EXPORTABLE:
        raise UserError(f"the algorithm of an exported agent must be cardqn, dqn or qrdqn, got '{algo}'")
    policy: Any = model.policy
    head, weights = _head_and_weights(policy)
    about = {
        "format_version": policy_file.VERSION,
        "algorithm": algo,
        "observation_space": _observation_space(policy.observation_space),
        "actions": int(policy.action_space.n),
        "features_extractor": allowed.write_down(
            allowed.FEATURES_EXTRACTORS,
            "features extractor",
            policy.features_extractor_class,
            policy.features_extractor_kwargs,
        ),
        "net_arch": list(policy.net_arch),
        "activation": allowed.write_down(allowed.ACTIVATIONS, "activation", policy.activation_fn, {}),
        "head": allowed.write_down(allowed.HEADS, "head", type(head), getattr(head, "arguments", {})),
        "normalize_images": policy.normalize_images,
        "env": None if run is None else _env(run, policy.observation_space),
        "training": _training(model) | (facts or {}),
    }
    policy_file.write(path, about, weights)


_NETWORKS = (QNetwork, DQNsQNetwork, QuantileNetwork)
_PACKAGES = ("sb3_cardqn", "stable_baselines3", "sb3_contrib")


def _observation_space(space: spaces.Space) -> dict[str, Any]:
    if isinstance(space, spaces.Discrete) and space.start == 0:
        return {"n": int(space.n)}
    if not isinstance(space, spaces.Box) or (
        space.dtype == np.uint8 and not (np.all(space.low == 0) and np.all(space.high == 255))
    ):
        raise UserError(
            "the observation space of an exported agent must be a Box (uint8 from 0 to 255) or a Discrete "
            f"from 0, got {space}"
        )
    return {"shape": list(space.shape), "dtype": str(space.dtype)}


def _head_and_weights(policy: Any) -> tuple[nn.Module, dict[str, th.Tensor]]:
    for method in ("predict", "_predict"):
        if getattr(type(policy), method).__module__.split(".")[0] not in _PACKAGES:  # it would be lost
            raise UserError(
                f"the policy of an exported agent must act by its network alone, got {type(policy).__name__} "
                f"with a {method} of its own"
            )
    network: Any
    if isinstance(policy, CarDQNPolicy):
        network = policy.driving_net
    else:
        network = policy.quantile_net if hasattr(policy, "quantile_net") else policy.q_net
    if type(network) not in _NETWORKS:  # the forward() of a subclass would be lost
        raise UserError(
            f"the network of an exported agent must be DQN's own class, got {type(network).__name__}"
        )
    if isinstance(network, QuantileNetwork):
        layers: Any = network.quantile_net
        head: Any = mean_of_quantiles(layers[-1], network.n_quantiles)
    else:
        layers = network.q_net
        head = layers[-1]
        if "exported" in vars(type(head)):  # a subclass may have layers that its parent's leaves out
            head = head.exported()
    last = f"q_net.{len(layers) - 1}."
    weights = {
        name.replace("quantile_net.", "q_net."): tensor for name, tensor in network.state_dict().items()
    }
    weights = {name: tensor for name, tensor in weights.items() if not name.startswith(last)}
    return head, weights | {f"{last}{name}": tensor for name, tensor in head.state_dict().items()}


def _training(model: BaseAlgorithm) -> dict[str, Any]:
    return {
        "agent_steps": model.num_timesteps,
        "sb3_cardqn": __version__,
        "stable_baselines3": stable_baselines3.__version__,
        "torch": str(th.__version__),
        "gymnasium": gym.__version__,
        "python": platform.python_version(),
    }


def _env(run: Trained, observation_space: spaces.Space) -> dict[str, Any]:
    """
    :param run: training run
    :param observation_space: space of the policy, with stacked frames
    :return: environment of an exported file
    """
    config = run.config
    refused = {
        "normalize": sees_normalized(config.get("normalize")),
        "vec_env_wrapper": bool(config.get("vec_env_wrapper")),
        "frame_stack": bool(config.get("frame_stack")) and not is_image_space(observation_space),
    }
    for name, is_refused in refused.items():
        if is_refused:
            raise UserError(f"cannot export an agent trained with {name}: {config[name]}")
    wrappers = judged_wrappers(config.get("env_wrapper"))
    if config.get("frame_stack"):  # around all of them, by SB3's VecFrameStack and VecTransposeImage
        wrappers.append(
            {"sb3_cardqn.FrameStack": {"num_frames": config["frame_stack"], "padding_type": "zero"}}
        )
    return {
        "id": run.env_id,
        "kwargs": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in (config.get("env_kwargs") or {}).items()
        },
        "wrappers": [_wrapper(entry) for entry in wrappers],
    }


def _wrapper(entry: str | dict[str, dict[str, Any]]) -> Any:
    """
    :param entry: wrapper in the zoo's form
    :return: entry for an exported file
    """
    ((path, arguments),) = entry.items() if isinstance(entry, dict) else [(entry, {})]
    try:
        cls = find_class(path)
    except ImportError as error:
        raise UserError(f"cannot export wrapper {path}: {error}") from error
    return allowed.write_down(allowed.WRAPPERS, "wrapper", cls, arguments or {})
