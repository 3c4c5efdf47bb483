"""
Damaged and forged policy files, by the thousand: ``python -m tests.policy_file.fuzz 10000``.

A process of its own, because it limits its own memory and watches what Python does. Damage keeps its SHA-256 and
so has to be noticed; a forger computes a new one, so that everything behind it is reached.
"""

import copy
import json
import resource
import struct
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch as th

from sb3_cardqn import load_policy
from sb3_cardqn.errors import UserError
from sb3_cardqn.policy_file import read as policy_file

MEGABYTES = 256  # of memory that loading may take on top of what the process has
CAR_RACING: dict[str, Any] = {
    "format_version": 1,
    "algorithm": "cardqn",
    "observation_space": {"shape": [4, 64, 64], "dtype": "uint8"},
    "actions": 12,
    "features_extractor": {"CarRacingCNN": {"features_dim": 32, "width": 4}},
    "net_arch": [],
    "activation": "ReLU",
    "head": "Linear",
    "normalize_images": True,
    "env": {
        "id": "CarRacing-v3",
        "kwargs": {"domain_randomize": True},
        "wrappers": [
            {"sb3_cardqn.DiscretizeActions": {"actions": [[0, 1, 0], [0.5, 0, 0]]}},
            {"sb3_cardqn.FrameSkip": {"skip": 4}},
            "sb3_cardqn.GrayscaleObservation",
            {"sb3_cardqn.ResizeObservation": {"shape": [64, 64], "crop": [0, 0, 0, 0]}},
            {"sb3_cardqn.FrameStack": {"num_frames": 4}},
        ],
    },
    "training": {"agent_steps": 1000, "command": "sb3-cardqn train"},
}
VECTORS = CAR_RACING | {
    "observation_space": {"shape": [4], "dtype": "float32"},
    "actions": 2,
    "features_extractor": "FlattenExtractor",
    "net_arch": [8, 8],
    "activation": "Tanh",
    "head": "DuelingHead",
    "env": None,
}
NASTY: list[Any] = [
    None, True, -1, 0, 2**31, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", "\x1b[2J", "a" * 100_000,
    "../../../etc/passwd", "os.system", "__import__('os').system('touch owned')", "torch.nn.Sequential",
    "os:CarRacing-v3", "timeit.timeit", [], {}, [[]], [2**40, 2**40], [-1, 64, 64], {"__class__": "os.system"},
    {"timeit.timeit": {"setup": "import os; os.system('touch owned')"}}, "Tanh", "Linear", "NatureCNN", False, 4,
]  # fmt: skip


def weights(about: dict[str, Any]) -> dict[str, th.Tensor]:
    """
    :param about: description of a policy
    :return: random weights for it, always the same ones
    """
    generator = th.Generator().manual_seed(0)
    shapes = {name: tensor.shape for name, tensor in policy_file.build(about).state_dict().items()}
    return {name: th.randn(shape, generator=generator) for name, shape in shapes.items()}


def forged(about: dict[str, Any], tensors: dict[str, th.Tensor]) -> bytes:
    """
    :param about: description, good or bad
    :param tensors: weights by name, good or bad
    :return: a file of both, with a SHA-256 that fits
    """
    text = json.dumps(about)
    metadata = {"sb3_cardqn": text, "sha256": policy_file._fingerprint(text, tensors)}
    return policy_file.safetensors.torch.save(tensors, metadata)


def _split(data: bytes) -> tuple[dict[str, Any], bytes]:
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def _join(header: Any, tensors: bytes) -> bytes:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(text)) + text + tensors


def _pick(rng: np.random.Generator, items: Any) -> Any:
    return items[int(rng.integers(len(items)))]


def _spoil(rng: np.random.Generator, node: Any) -> None:
    """Put something nasty somewhere into a tree of JSON."""
    while True:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        if len(keys) == 0:
            return
        key = _pick(rng, keys)
        if isinstance(node[key], (dict, list)) and node[key] and rng.random() < 0.7:
            node = node[key]
            continue
        action = rng.integers(4) if isinstance(node, dict) else 0
        if action == 1:
            del node[key]
        elif action == 2:
            node[_pick(rng, ["__class__", "../../x", "kwargs", "", "a" * 1000])] = _pick(rng, NASTY)
        else:
            node[key] = copy.deepcopy(_pick(rng, NASTY))
        return


def flipped_bits(rng: np.random.Generator, data: bytes, other: bytes) -> bytes:
    header_size = 8 + struct.unpack("<Q", data[:8])[0]
    spoiled = bytearray(data)
    for _ in range(rng.integers(1, 17)):
        position = rng.integers(header_size if rng.random() < 0.5 else len(data))
        spoiled[position] ^= 1 << int(rng.integers(8))
    return bytes(spoiled)


def cut_short(rng: np.random.Generator, data: bytes, other: bytes) -> bytes:
    return data[: rng.integers(len(data))]


def lengthened(rng: np.random.Generator, data: bytes, other: bytes) -> bytes:
    start = _pick(rng, [len(data), int(rng.integers(len(data)))])
    return data[:start] + rng.bytes(int(rng.integers(1, 5000))) + data[start:]


def spliced(rng: np.random.Generator, data: bytes, other: bytes) -> bytes:
    first, second = _pick(rng, [(data, other), (other, data)])
    return _join(_split(first)[0], _split(second)[1])


def wrong_size_of_header(rng: np.random.Generator, data: bytes, other: bytes) -> bytes:
    size = struct.unpack("<Q", data[:8])[0]
    return (
        struct.pack("<Q", _pick(rng, [0, 1, 2, size - 1, size + 1, len(data), 2**31, 2**64 - 1])) + data[8:]
    )


def deep_json(rng: np.random.Generator, data: bytes, other: bytes) -> bytes:
    depth = int(rng.integers(500, 100_000))
    return _join(_pick(rng, ["[" * depth, '{"a":' * depth, "[" * depth + "]" * depth]), _split(data)[1])


def name_given_twice(rng: np.random.Generator, data: bytes, other: bytes) -> bytes:
    header, tensors = _split(data)
    return _join(json.dumps(header)[:-1] + "," + json.dumps(header)[1:], tensors)


def wrong_entry(rng: np.random.Generator, data: bytes, other: bytes) -> bytes:
    header, tensors = _split(data)
    name = _pick(rng, [name for name in header if name != "__metadata__"])
    field, values = _pick(rng, list({
        "dtype": ["F64", "F16", "I32", "F4", "pickle", 7, None],
        "shape": [[2**62, 4], [-1], [], "all", [1.5], [10**30], [0], None],
        "data_offsets": [[0, 2**63], [8, 0], [-4, 4], [0, 4], None],
    }.items()))  # fmt: skip
    header[name][field] = _pick(rng, values)
    return _join(header, tensors)


def wrong_name(rng: np.random.Generator, data: bytes, other: bytes) -> bytes:
    header, tensors = _split(data)
    entry = header.pop(_pick(rng, list(header)))
    name = _pick(rng, ["../../../etc/passwd", "q_net.0.__class__", "", "\x00", "a" * 10_000, None])
    return _join(header if name is None else header | {name: entry}, tensors)


# what a bad disk, a torn download or a mixed-up archive may make of a good file
DAMAGES = (
    flipped_bits, cut_short, lengthened, spliced, wrong_size_of_header, deep_json, name_given_twice, wrong_entry,
    wrong_name,
)  # fmt: skip


def forge(rng: np.random.Generator, about: dict[str, Any], tensors: dict[str, th.Tensor]) -> bytes:
    """
    :param rng: random numbers
    :param about: of a good file
    :param tensors: of the same
    :return: a file with a SHA-256 that fits, whose content a stranger has thought up
    """
    about, tensors = copy.deepcopy(about), dict(tensors)
    kind = rng.integers(4)
    if kind == 0:
        name = _pick(rng, list(tensors))
        tensors[name] = tensors[name].clone()
        tensors[name].view(-1)[int(rng.integers(tensors[name].numel()))] = _pick(
            rng, [np.nan, np.inf, -np.inf]
        )
    elif kind == 1:
        name = _pick(rng, list(tensors))
        changed = _pick(
            rng, [tensors[name].double(), tensors[name].half(), tensors[name][None], tensors[name][:0]]
        )
        tensors[name] = changed.contiguous()
    else:
        for _ in range(rng.integers(1, 3)):
            _spoil(rng, about)
    return forged(about, tensors)


def main(mutants: int, seed: int) -> None:
    """
    Load them all. Fails if one crashes the process, takes memory, reaches for code, or drives differently.

    :param mutants: how many
    :param seed: of the random numbers
    """
    th.set_num_threads(1)
    rng = np.random.default_rng(seed)
    path = Path(tempfile.mkdtemp()) / "policy.safetensors"
    good = []
    for about in (CAR_RACING, VECTORS):
        policy_file.write(path, about, weights(about))
        policy = load_policy(path)
        dtype, shape = policy.observation_space.dtype, policy.observation_space.shape
        obs = th.as_tensor(rng.integers(0, 256, (4, *(shape or ()))).astype(dtype))
        good.append((about, policy_file.read(path).tensors, path.read_bytes(), obs, policy(obs)))
    events: Counter[str] = Counter()
    watching = False

    def watch(event: str, args: tuple[Any, ...]) -> None:
        harmless = event in ("object.__getattr__", "sys._getframe", "builtins.id", "object.__setattr__")
        # the file, then its descriptor
        opens_it = event == "open" and (str(args[0]) == str(path) or isinstance(args[0], int))
        if watching and not harmless and not opens_it:
            events[f"{event} {args[:1]}"] += 1

    sys.addaudithook(watch)
    watching = True
    eval("1")
    watching = False
    assert events, "the watch sleeps"
    events.clear()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEGABYTES * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes: Counter[str] = Counter()
    start = time.time()
    for i in range(mutants):
        about, tensors, data, obs, q_values = good[i % 2]
        forged = rng.random() < 0.4
        mutant = forge(rng, about, tensors) if forged else _pick(rng, DAMAGES)(rng, data, good[1 - i % 2][2])
        path.write_bytes(mutant)
        watching = True
        text = ""
        try:
            policy = load_policy(path)
        except UserError as error:
            text = str(error)
        watching = False
        if text:
            outcomes["refused"] += 1
            assert text.startswith(f"'{path}' is not"), text
            assert len(text) < 1000, text
        elif forged:  # something else that may be had: another activation, another fact of the training
            outcomes["another policy"] += 1
        else:
            outcomes["the same policy"] += 1
            assert th.equal(policy(obs), q_values)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
    print(json.dumps({
        "mutants": mutants, **outcomes, "reached for": events, "peak_memory_grown_mb": round(grown, 1),
        "seconds": round(time.time() - start, 1),
    }))  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
