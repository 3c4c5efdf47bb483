"""
File format of an exported policy: safetensors with a JSON description of network and environment.

``write`` makes a file; ``read`` and ``load_policy`` read one and trust nothing in it.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import safetensors.torch
import torch as th
from gymnasium import spaces
from safetensors import SafetensorError

from sb3_cardqn.cardqn.q_network import QNetwork
from sb3_cardqn.durable import opened, write_file, write_text
from sb3_cardqn.env.car_racing import CarRacingWrapper
from sb3_cardqn.env.fast_render import FastRender
from sb3_cardqn.errors import UserError
from sb3_cardqn.policy_file import allowed

VERSION = 1  # of the format
MAX_BYTES = 64 * 2**20  # of a file; CarRacingCNN on 4×64×64 takes 0.6 to 1.7 MB, NatureCNN on 4×84×84 6.7
_MAX_HEADER = 2**20  # bytes
_SHIPPED = Path(__file__).parent.parent / "pretrained"

_ABOUT: dict[str, allowed.Need] = {
    "format_version": allowed.one_of(VERSION),
    "algorithm": allowed.one_of("cardqn", "dqn", "qrdqn"),
    "observation_space": allowed.Need("an object", lambda value: isinstance(value, dict)),
    "actions": allowed.whole(1, 10_000),
    "features_extractor": allowed.Need("a name, with or without arguments", lambda value: True),
    "net_arch": allowed.list_of(allowed.whole(1, 8192), 0, 16),
    "activation": allowed.Need("a name", lambda value: True),
    "head": allowed.Need("a name", lambda value: True),
    "normalize_images": allowed.YES_OR_NO,
    "env": allowed.Need("an object or null", lambda value: value is None or isinstance(value, dict)),
    "training": allowed.FACTS,
}
_BOX = {"shape": allowed.SHAPE, "dtype": allowed.one_of("bool", "uint8", "float32", "float64")}
_DISCRETE = {"n": allowed.whole(1, 2**16)}
_ENV = {
    "id": allowed.ENV_ID,
    "kwargs": allowed.Need("an object", lambda value: isinstance(value, dict)),
    "wrappers": allowed.Need(
        "a list of at most 20 items", lambda value: isinstance(value, list) and len(value) <= 20
    ),
}


@dataclass(frozen=True)
class PolicyFile:
    """
    Content of a file, after all checks.

    :param about: description, see ``docs/untrusted.md``
    :param tensors: float32 weights by name
    """

    about: dict[str, Any]
    tensors: dict[str, th.Tensor]


class ExportedPolicy(QNetwork):
    """
    Q-network of an exported file; ``predict`` chooses the greedy action.

    >>> policy = load_pretrained()  # doctest: +SKIP
    >>> env = policy.make_env(render_mode="human")  # doctest: +SKIP
    """

    about: dict[str, Any]  # the file's description

    def make_env(self, stock: bool = True, **env_kwargs: Any) -> gym.Env:
        """
        Make the environment that the policy was trained on, without training-only wrappers.

        A file names the environment, and loads no package for it: ``import ale_py`` first for Atari's.

        :param stock: True for the stock picture, False for ``FastRender``'s if it was used in training
        :param env_kwargs: arguments of ``gym.make``, such as ``render_mode="human"``
        :return: environment with the wrappers that the policy needs
        :raises UserError: if the file does not name an environment
        """
        about = self.about["env"]
        if about is None:
            raise UserError("the policy's file does not say which environment it is for: export a run folder")
        env = gym.make(about["id"], **(about["kwargs"] | env_kwargs))
        for entry in about["wrappers"]:
            wrapper, arguments = allowed.look_up(allowed.WRAPPERS, "wrapper", entry)
            if stock and wrapper is FastRender:
                continue
            if stock and wrapper is CarRacingWrapper:
                arguments = arguments | {"fast_render": False}
            env = wrapper(env, **arguments)
        return env


def _fields(what: str, value: dict[str, Any], needs: dict[str, allowed.Need]) -> None:
    allowed.check_arguments(what, value, needs)
    missing = [name for name in needs if name not in value]
    if missing:
        raise UserError(f"{what} has no {missing[0]!r}")


def check_about(about: Any) -> None:
    """
    :param about: description of any JSON type
    :raises UserError: if anything in it is unknown, missing or out of range
    """
    if not isinstance(about, dict):
        raise UserError(f"the description must be an object, got {allowed.short(about)}")
    _fields("the description", about, _ABOUT)
    space = about["observation_space"]
    _fields("observation_space", space, _DISCRETE if "n" in space else _BOX)
    allowed.look_up(allowed.FEATURES_EXTRACTORS, "features_extractor", about["features_extractor"])
    allowed.look_up(allowed.ACTIVATIONS, "activation", about["activation"])
    allowed.look_up(allowed.HEADS, "head", about["head"])
    if about["env"] is not None:
        _fields("env", about["env"], _ENV)
        allowed.check_env_kwargs(about["env"]["id"], about["env"]["kwargs"])
        for wrapper in about["env"]["wrappers"]:
            allowed.look_up(allowed.WRAPPERS, "wrapper", wrapper)


def _observation_space(about: dict[str, Any]) -> spaces.Space:
    if "n" in about:
        return spaces.Discrete(about["n"])
    low, high = {"bool": (0.0, 1.0), "uint8": (0.0, 255.0)}.get(about["dtype"], (-np.inf, np.inf))
    return spaces.Box(low, high, tuple(about["shape"]), np.dtype(about["dtype"]))


def build(about: dict[str, Any]) -> ExportedPolicy:
    """
    :param about: description that has passed ``check_about``
    :return: Q-network on the meta device, without memory for its weights
    :raises UserError: if its parts do not fit together
    """
    observation_space = _observation_space(about["observation_space"])
    extractor_class, extractor_kwargs = allowed.look_up(
        allowed.FEATURES_EXTRACTORS, "features_extractor", about["features_extractor"]
    )
    head_class, head_kwargs = allowed.look_up(allowed.HEADS, "head", about["head"])
    try:
        with th.device("meta"):
            features_extractor = extractor_class(observation_space, **extractor_kwargs)
            network = ExportedPolicy(
                observation_space,
                spaces.Discrete(about["actions"]),
                features_extractor,
                features_extractor.features_dim,
                net_arch=about["net_arch"],
                activation_fn=allowed.look_up(allowed.ACTIVATIONS, "activation", about["activation"])[0],
                normalize_images=about["normalize_images"],
                head_class=partial(head_class, **head_kwargs),
            )
            network.about = about
            return network
    except (AssertionError, RuntimeError, ValueError) as error:  # SB3's, torch's, ours; images too small
        raise UserError(f"its parts do not fit together: {str(error).splitlines()[0]}") from error


def _fingerprint(about: str, tensors: dict[str, th.Tensor]) -> str:
    digest = hashlib.sha256(about.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {list(tensors[name].shape)}".encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()


def write(path: Path, about: dict[str, Any], tensors: dict[str, th.Tensor]) -> None:
    """
    Write a policy, and a copy of its description as ``.json`` for people and other programs.

    :param path: ``.safetensors`` file to write; the ``.json`` file is beside it
    :param about: description of network and environment
    :param tensors: float32 weights by name
    :raises UserError: if ``read`` would refuse the file
    """
    check_about(about)
    text = "{\n" + ",\n".join(f"  {json.dumps(name)}: {json.dumps(about[name])}" for name in about) + "\n}"
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    _check_tensors(build(about), tensors)
    data = safetensors.torch.save(tensors, {"sb3_cardqn": text, "sha256": _fingerprint(text, tensors)})
    if len(data) > MAX_BYTES:
        raise UserError(f"an exported policy must be at most {MAX_BYTES} bytes long, got {len(data)}")
    write_file(path, lambda file: file.write(data))
    write_text(path.with_suffix(".json"), text + "\n")


def read(path: Path) -> PolicyFile:
    """
    Read an exported policy without running anything in it, in no more memory than the size of the file.

    :param path: ``.safetensors`` file
    :return: its content
    :raises UserError: if it cannot be read, is not an exported policy, or is damaged; the text says where
    """
    try:
        with opened(path) as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}") from error
    try:
        return _parse(data)
    except RecursionError as error:
        raise UserError(f"'{path}' is not an exported policy: its JSON is nested too deeply") from error
    except (ValueError, SafetensorError) as error:
        raise UserError(f"'{path}' is not an exported policy: {error}") from error


def _parse(data: bytes) -> PolicyFile:
    if len(data) > MAX_BYTES:
        raise ValueError(f"it must be at most {MAX_BYTES} bytes long")
    if data.startswith(b"PK"):
        raise ValueError("it is a zip; to export an agent that you trust: sb3-cardqn export")
    header_size = int.from_bytes(data[:8], "little")
    if not 2 <= header_size <= min(len(data) - 8, _MAX_HEADER):
        raise ValueError(f"its header claims {header_size} bytes in a file of {len(data)}")
    header = _json(data[8 : 8 + header_size].decode())
    if not isinstance(header, dict) or not isinstance(header.get("__metadata__"), dict):
        raise ValueError("its header has no metadata")
    metadata = header.pop("__metadata__")
    if set(metadata) != {"sb3_cardqn", "sha256"} or not isinstance(metadata["sb3_cardqn"], str):
        raise ValueError("its metadata must contain 'sb3_cardqn' and 'sha256', and nothing else")
    for name, entry in header.items():
        if not isinstance(entry, dict) or entry.get("dtype") != "F32":
            raise ValueError(f"{allowed.short(name)} needs dtype F32")
    about = _json(metadata["sb3_cardqn"])
    check_about(about)
    tensors = safetensors.torch.load(data)
    _check_tensors(build(about), tensors)
    if metadata["sha256"] != _fingerprint(metadata["sb3_cardqn"], tensors):
        raise ValueError("it is altered or damaged: its SHA-256 does not match")
    return PolicyFile(about, tensors)


def _json(text: str) -> Any:
    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            raise ValueError("its JSON contains a name twice")
        return result

    return json.loads(text, object_pairs_hook=no_duplicates)


def _check_tensors(network: QNetwork, tensors: dict[str, th.Tensor]) -> None:
    expected = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    for name in sorted({*expected, *tensors}):
        if name not in tensors or name not in expected:
            raise UserError(
                f"weights {allowed.short(name)} are {'missing' if name in expected else 'not in the network'}"
            )
        if list(tensors[name].shape) != expected[name]:
            raise UserError(f"{name} needs shape {expected[name]}, got {list(tensors[name].shape)}")
        if tensors[name].dtype != th.float32:
            raise UserError(f"{name} needs float32, got {tensors[name].dtype}")
        if not th.isfinite(tensors[name]).all():
            raise UserError(f"{name} contains weights that are NaN or infinite")


def shipped_agents() -> dict[str, Path]:
    """
    :return: files of the agents shipped with the package, by name
    """
    return {path.stem: path for path in sorted(_SHIPPED.glob("*.safetensors"))}


def locate(agent: str | Path) -> Path:
    """
    Find the file or folder of an agent, independent of the current folder's content.

    >>> locate("cardqn").name, str(locate("./cardqn"))
    ('cardqn.safetensors', 'cardqn')

    :param agent: name of a shipped agent, as text; anything else is a path
    :return: path of a file or a run folder
    """
    shipped = shipped_agents().get(agent) if isinstance(agent, str) else None
    return shipped or Path(agent)


def load_policy(path: str | Path) -> ExportedPolicy:
    """
    Load an exported policy. Nothing in the file is run, so it is safe with files from anyone.

    >>> policy = load_policy("policy.safetensors")  # doctest: +SKIP
    >>> env = policy.make_env()  # doctest: +SKIP
    >>> obs, info = env.reset(seed=200_000)  # doctest: +SKIP
    >>> action, _ = policy.predict(obs)  # doctest: +SKIP

    :param path: ``.safetensors`` file written by ``sb3-cardqn export``
    :return: Q-network whose ``predict`` chooses the greedy action, like an SB3 algorithm's; called with a
        batch of observations, it returns Q-values
    :raises UserError: if the file is not an exported policy, or is damaged
    """
    file = read(Path(path))
    network = build(file.about)
    network.load_state_dict(file.tensors, assign=True)
    network.set_training_mode(False)
    return network
