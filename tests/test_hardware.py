import contextlib
import platform
import resource
from pathlib import Path

import numpy as np
import pytest
import torch as th

from sb3_cardqn import FrameReplayBuffer, cgroups
from sb3_cardqn.hardware import available_memory, has_bfloat16, keep_freed_memory, n_cores, one_thread
from tests.small_training import stacked_dots


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives memory back so eagerly")
def test_freed_memory_is_kept() -> None:
    assert keep_freed_memory()
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            np.ones(16 * 2**20, np.uint8)
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert faults < 1000  # 4,096 pages each time, if they had been given back


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"avx2": True, "avx512_bf16": False}, False),
        ({}, False),
    ],
)
def test_bfloat16_needs_instructions(
    capabilities: dict[str, bool], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(th.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert has_bfloat16(th.device("cpu")) == expected
    assert not has_bfloat16(th.device("meta"))


def test_bfloat16_is_left_alone_where_torch_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(th.cpu, "get_capabilities", raising=False)
    assert not has_bfloat16(th.device("cpu"))


# what Linux shows: of a container that sees its own group only, of one that sees the machine's, of systemd's
# groups inside each other, and of a machine without limits
VERSION_2 = {
    "memory.max": "64000000\n",
    "memory.current": "50000000\n",
    "memory.stat": "anon 30000000\ninactive_file 20000000\n",
    "cpu.max": "50000 100000\n",
}
CONTAINERS = {
    "version 2": ("0::/", {f"/{name}": text for name, text in VERSION_2.items()}),
    "inside of groups": (
        "0::/user.slice/run.scope",
        {f"/user.slice/{name}": text for name, text in VERSION_2.items()}
        | {"/user.slice/run.scope/memory.max": "max\n", "/user.slice/run.scope/cpu.max": "max 100000\n"},
    ),
}
UNLIMITED = {
    "no groups": ("", {}),
    "version 2": (
        "0::/",
        {"/memory.max": "max\n", "/memory.current": "50000000\n", "/cpu.max": "max 100000\n"},
    ),
}


def in_groups(groups: tuple[str, dict[str, str]], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    membership, files = groups
    for name, text in files.items():
        path = folder / "cgroup" / name[1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "membership").write_text(membership)
    monkeypatch.setattr(cgroups, "_CGROUPS", folder / "cgroup")
    monkeypatch.setattr(cgroups, "_MEMBERSHIP", folder / "membership")


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_containers_limits_are_kept(
    container: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_groups(CONTAINERS[container], tmp_path, monkeypatch)
    assert available_memory() == 34_000_000  # a file that was read can be dropped
    assert n_cores() == 1
    env = stacked_dots()
    with pytest.warns(UserWarning, match=r"buffer_size=1000000 .* 0\.03 GB"):
        FrameReplayBuffer(1_000_000, env.observation_space, env.action_space)


@pytest.mark.parametrize("machine", UNLIMITED)
def test_without_a_limit_the_machines_own_counts(
    machine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_groups(("", {}), tmp_path, monkeypatch)
    cores = n_cores()
    in_groups(UNLIMITED[machine], tmp_path, monkeypatch)
    assert n_cores() == cores
    assert available_memory() > 100_000_000


def test_torch_has_its_threads_back_after_ctrl_c() -> None:
    before = th.get_num_threads()
    th.set_num_threads(2)
    with contextlib.suppress(KeyboardInterrupt), one_thread():
        inside = th.get_num_threads()
        raise KeyboardInterrupt
    after = th.get_num_threads()
    th.set_num_threads(before)
    assert (inside, after) == (1, 2)


def test_available_memory_is_known() -> None:
    assert available_memory() > 1_000_000
