"""What a container (a Linux control group, version 1 or 2) leaves to this process: memory and CPUs.

Every group above this process counts, too: a container's limit may stand in one of them. Where there are no control
groups, as on macOS, there is no limit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/proc/self/cgroup")
TOP = Path("/sys/fs/cgroup")


def memory_limits(groups: Path = GROUPS, top: Path = TOP) -> list[tuple[int, int]]:
    """Read the memory limits that hold for this process.

    Args:
        groups: the file that names this process's control groups.
        top: the folder where control groups are mounted.

    Returns:
        For each limit its bytes, and the bytes that are left below it. Cached files give way, so they count as left.
    """
    found = []
    version_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    for names, folders in (
        (("memory.max", "memory.current", "inactive_file"), _folders("", groups, top)),
        (version_1, _folders("memory", groups, top)),
    ):
        for folder in folders:
            with contextlib.suppress(OSError, ValueError):  # there is no such group, or its limit is "max"
                limit, usage = (int((folder / name).read_text()) for name in names[:2])
                stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                found.append((limit, limit - usage + int(stat.get(names[2], 0))))
    return found


def cpu_quotas(groups: Path = GROUPS, top: Path = TOP) -> list[float]:
    """Read how many CPUs' worth of time this process may use, once for each limit.

    Args:
        groups, top: as for ``memory_limits``.
    """
    found = []
    for folder in _folders("", groups, top):
        with contextlib.suppress(OSError, ValueError):  # "max 100000"
            quota, period = map(int, (folder / "cpu.max").read_text().split())
            found.append(quota / period)
    for folder in _folders("cpu", groups, top):
        with contextlib.suppress(OSError, ValueError):
            quota, period = (int((folder / f"cpu.cfs_{what}_us").read_text()) for what in ("quota", "period"))
            found += [quota / period] if quota > 0 else []
    return found


def _folders(controller: str, groups: Path, top: Path) -> Iterator[Path]:
    """The folders of this process's group and of all groups above it; controller "" means version 2.

    Inside a container the path may be one of the machine around it, of which only the last group is to be seen: at the
    mount itself.
    """
    with contextlib.suppress(OSError):
        for line in groups.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controller in controllers.split(","):
                mount = top / controller
                own = mount / path.lstrip("/")
                yield from [own, *(above for above in own.parents if above == mount or mount in above.parents)]
