"""load_weights: starts an agent from an exported policy, or from the zip of a DQN."""

import io
import zipfile
from pathlib import Path
from typing import Any

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_cardqn.cardqn.cardqn import CarDQN
from sb3_cardqn.durable import is_zip
from sb3_cardqn.errors import UserError
from sb3_cardqn.policy_file.read import build, locate, read

_POLICY = "policy.pth"  # weights of the networks in SB3's zips
_SPARE_BYTES = 2**26  # so that another network is told by its shapes


def load_weights(model: BaseAlgorithm, path: str | Path) -> None:
    """
    Start an agent from trained weights. Nothing in the file is run.

    >>> model = CarDQN("MlpPolicy", "CartPole-v1", exploration_initial_eps=0.05)  # doctest: +SKIP
    >>> load_weights(model, "policy.safetensors")  # doctest: +SKIP
    >>> model.learn(10_000)  # doctest: +SKIP

    The online, the target and the averaged network receive the weights of the network that drives in the
    file. Optimizer, schedules and counters stay the agent's own. Before ``learning_starts`` a CarDQN fills
    its replay buffer with its own epsilon-greedy actions, not with random ones.

    :param model: agent of CarDQN or SB3's DQN, with the same network as in the file
    :param path: ``.safetensors`` file of ``sb3-cardqn export``, name of a shipped agent, or zip of CarDQN or
        SB3's DQN, of which only the weights are read
    :raises UserError: if the file cannot be read, or does not fit; the text names the part that differs (of a
        zip, only the shapes of the weights are compared)
    """
    policy: Any = model.policy
    if not hasattr(policy, "q_net") or not hasattr(policy, "q_net_target"):
        raise UserError(f"load_weights needs an agent of CarDQN or SB3's DQN, got {type(model).__name__}")
    file = locate(path)
    if is_zip(file):
        own = sum(tensor.nbytes for tensor in policy.state_dict().values())
        weights = _weights_of_zip(file, most_bytes=8 * own + _SPARE_BYTES)
    else:
        exported = read(file)
        theirs, ours = _parts(build(exported.about)), _parts(policy.q_net)
        _check_same(file, theirs, ours)
        weights = exported.tensors
    shapes = {name: list(tensor.shape) for name, tensor in policy.q_net.state_dict().items()}
    _check_same(file, {name: list(tensor.shape) for name, tensor in weights.items()}, shapes)
    average = getattr(policy, "q_net_average", None)
    networks = [policy.q_net, policy.q_net_target]
    if average is not None:
        networks.append(average.module)
        average.n_averaged.zero_()
    for network in networks:
        network.load_state_dict(weights)
    if isinstance(model, CarDQN):
        model.starts_trained = True


def _weights_of_zip(path: Path, most_bytes: int) -> dict[str, th.Tensor]:
    """
    :param path: zip file of any agent
    :param most_bytes: size of its networks' weights at which another file is refused unread
    :return: weights of the network that drives, by name
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = archive.getinfo(_POLICY).file_size
            if size > most_bytes:
                raise ValueError(f"{_POLICY} has {size} bytes, more than {most_bytes}")
            contents = archive.read(_POLICY)
        policy: Any = th.load(io.BytesIO(contents), map_location="cpu", weights_only=True)
    except Exception as error:  # torch's and zipfile's errors are of many types
        raise UserError(f"cannot read '{path}': {type(error).__name__}: {error}") from error
    for prefix in ("q_net_average.module.", "q_net."):
        weights = {name.removeprefix(prefix): policy[name] for name in policy if name.startswith(prefix)}
        if weights:
            return weights
    raise UserError(
        f"'{path}' needs a network of CarDQN or SB3's DQN, got {', '.join(sorted(policy)[:3])}, ..."
    )


def _parts(network: Any) -> dict[str, Any]:
    """
    :param network: Q-network of this package or of SB3
    :return: its parts, to compare with those of another network
    """
    space, head = network.observation_space, getattr(network, "q_net", [None])[-1]
    return {
        "observation_space": f"{space.shape} {space.dtype}",
        "actions": int(network.action_space.n),
        "features_extractor": type(network.features_extractor).__name__,
        "net_arch": list(network.net_arch),
        "activation": getattr(network.activation_fn, "__name__", repr(network.activation_fn)),
        "head": f"{type(head).__name__} {getattr(head, 'arguments', '')}".rstrip(),
        "normalize_images": network.normalize_images,
    }


def _check_same(path: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """
    :param path: file, for the error
    :param theirs: parts, or shapes of weights, in the file
    :param ours: those of the agent
    :raises UserError: if one differs; the text names the first
    """
    for name in [*ours, *theirs]:
        if theirs.get(name) != ours.get(name):
            raise UserError(
                f"'{path}' does not fit the agent: {name} is {theirs.get(name, 'missing')} in the file, "
                f"{ours.get(name, 'missing')} in the agent"
            )
