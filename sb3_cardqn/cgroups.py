"""Memory and CPU limits of Linux control groups (version 2) on this process, as in a container."""

from collections.abc import Iterator
from pathlib import Path

_CGROUPS, _MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _folders() -> Iterator[Path]:
    for line in _read(_MEMBERSHIP).splitlines():
        if line.startswith("0::"):
            group = Path(line[3:].lstrip("/"))
            for part in (group, *group.parents):  # each limits those inside it; some may not exist
                yield _CGROUPS / part


def memory_left() -> int | None:
    """
    :return: bytes until a limit, including caches that the kernel would free; None without a limit
    """
    left = []
    for folder in _folders():
        numbers = [_read(folder / name).strip() for name in ("memory.max", "memory.current")]
        if all(number.isdecimal() for number in numbers):  # neither "max" nor missing
            statistics = dict(line.split() for line in _read(folder / "memory.stat").splitlines())
            left.append(int(numbers[0]) - int(numbers[1]) + int(statistics.get("inactive_file", 0)))
    return max(min(left), 0) if left else None


def cores_allowed() -> float | None:
    """
    :return: CPU seconds per second that a limit allows; None without a limit
    """
    limits = [_read(folder / "cpu.max").split() for folder in _folders()]
    allowed = [int(words[0]) / int(words[1]) for words in limits if words and words[0].isdecimal()]
    return min(allowed, default=None)
