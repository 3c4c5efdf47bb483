"""Hardware queries and settings: cores, threads, available memory, memory that glibc keeps, bfloat16."""

import contextlib
import ctypes
import math
import os
import platform
from collections.abc import Iterator, Mapping

import psutil
import torch as th

from sb3_cardqn.cgroups import cores_allowed, memory_left

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h


def n_cores() -> int:
    """
    :return: number of cores this process may use, rounded up if a container allows a fraction
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    allowed = cores_allowed()
    return cores if allowed is None else max(min(cores, math.ceil(allowed)), 1)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """
    Let torch use one thread: with one small picture at a time, threads would only wait for each other.

    :return: context in which it does
    """
    threads = th.get_num_threads()
    th.set_num_threads(1)
    try:
        yield
    finally:
        th.set_num_threads(threads)


def available_memory() -> int:
    """
    :return: bytes that can be allocated without swapping and, in a container, without being killed
    """
    available, left = psutil.virtual_memory().available, memory_left()
    return available if left is None else min(available, left)


def keep_freed_memory() -> bool:
    """
    Let glibc keep up to 256 MiB of freed memory for later allocations in this process.

    An update allocates and frees the same few megabytes again and again. By default glibc returns every such
    block to the system, which must clear a new one page by page.

    :return: True if it worked; False if the C library is not glibc
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # 32 MiB is glibc's maximum for this threshold; larger blocks are always mapped separately
    return bool(mallopt(_M_MMAP_THRESHOLD, 32 * 2**20) and mallopt(_M_TRIM_THRESHOLD, 256 * 2**20))


def has_bfloat16(device: th.device) -> bool:
    """
    Whether a device has instructions for bfloat16; without them bfloat16 is slower than float32.

    :param device: device of the networks
    :return: True for a CPU with AVX-512 BF16 or AMX and for recent GPUs; False if torch cannot tell
    """
    if device.type == "cuda":
        return th.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    # older releases of torch do not have it
    capabilities: Mapping[str, object] = getattr(th.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
