"""What a container lets this process use: limits of Linux's control groups, of both versions."""

from collections.abc import Iterator
from pathlib import Path

_CGROUPS, _MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _folders(controller: str) -> Iterator[Path]:
    """
    :param controller: such as "memory"
    :return: iterator over the folders of the groups this process is in, of which each limits those inside it
    """
    for line in _read(_MEMBERSHIP).splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mounted = _CGROUPS / controller if controllers else _CGROUPS  # version 1 or 2
        inside = Path(group.lstrip("/"))
        for part in (inside, *inside.parents):  # inside a container only the last may be there
            yield mounted / part


def memory_left() -> int | None:
    """
    :return: bytes until a limit, with what the kernel would give back; None where there is no limit
    """
    left = []
    for folder in _folders("memory"):
        for limit, used, cache in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            numbers = [_read(folder / name).strip() for name in (limit, used)]
            if not all(number.isdecimal() for number in numbers):  # "max", or no such file
                continue
            statistics = dict(line.split() for line in _read(folder / "memory.stat").splitlines())
            left.append(int(numbers[0]) - int(numbers[1]) + int(statistics.get(cache, 0)))
    return max(min(left), 0) if left else None


def cores_allowed() -> float | None:
    """
    :return: CPU seconds a second that a limit leaves; None where there is no limit
    """
    allowed = []
    for folder in _folders("cpu"):
        version1 = _read(folder / "cpu.cfs_quota_us").split() + _read(folder / "cpu.cfs_period_us").split()
        for words in (_read(folder / "cpu.max").split(), version1):
            if len(words) == 2 and words[0].isdecimal():  # neither "max" nor -1
                allowed.append(int(words[0]) / int(words[1]))
    return min(allowed) if allowed else None
