"""Limits of containers, read from folders that look like those of the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from klaw_course.container import cpu_quotas, memory_limits

MIB = 2**20


@pytest.fixture
def system(tmp_path):
    """Write control groups: ``system("0::/a/b", {"a/b/memory.max": "1"})`` gives the arguments for the functions."""

    def write(groups: str, files: dict[str, str]) -> tuple[Path, Path]:
        (tmp_path / "cgroup").write_text(groups + "\n")
        for name, text in files.items():
            (tmp_path / "top" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "top" / name).write_text(text + "\n")
        return tmp_path / "cgroup", tmp_path / "top"

    return write


def version_2(group: str, limit: str, usage: int, cached: int = 0) -> dict[str, str]:
    stat = f"anon 1\ninactive_file {cached}"
    return {f"{group}/memory.max": limit, f"{group}/memory.current": str(usage), f"{group}/memory.stat": stat}


def version_1(group: str, limit: int, usage: int, cached: int = 0) -> dict[str, str]:
    stat = f"inactive_file 7\ntotal_inactive_file {cached}"
    names = (f"memory/{group}/memory.{name}" for name in ("limit_in_bytes", "usage_in_bytes", "stat"))
    return dict(zip(names, (str(limit), str(usage), stat), strict=True))


def test_memory_is_limited_by_every_group_above(system):
    files = version_2("pod", str(900 * MIB), 600 * MIB) | version_2("pod/box", str(800 * MIB), 300 * MIB, 100 * MIB)
    files |= version_2("pod/box/inner", "max", 5 * MIB) | version_2("elsewhere", str(MIB), 0)
    limits = memory_limits(*system("0::/pod/box/inner", files))
    assert limits == [(800 * MIB, 600 * MIB), (900 * MIB, 300 * MIB)]


def test_memory_inside_a_container_is_at_the_mount(system):
    """In a namespace of its own the path is /; without one it is a path of the host that is not to be seen here."""
    for path in ("/", "/docker/0123", "/../init.scope"):
        assert memory_limits(*system(f"0::{path}", version_2(".", str(512 * MIB), 12 * MIB))) == [
            (512 * MIB, 500 * MIB)
        ], path


def test_memory_in_version_1(system):
    files = version_1("pod", 700 * MIB, 100 * MIB) | version_1("pod/box", 2**63 - 4096, MIB, MIB)
    limits = memory_limits(*system("4:cpu,cpuacct:/pod/box\n5:memory:/pod/box\n0::/", files))
    assert limits == [(2**63 - 4096, 2**63 - 4096), (700 * MIB, 600 * MIB)]


def test_cpus_in_version_2(system):
    files = {"pod/cpu.max": "250000 100000", "pod/box/cpu.max": "max 100000", "cpu.max": "400000 100000"}
    assert cpu_quotas(*system("0::/pod/box", files)) == [2.5, 4.0]


def test_cpus_in_version_1(system):
    files = {"cpu/box/cpu.cfs_quota_us": "150000", "cpu/box/cpu.cfs_period_us": "100000"}
    files |= {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}
    assert cpu_quotas(*system("4:cpu,cpuacct:/box\n0::/", files)) == [1.5]


def test_without_control_groups_there_is_no_limit(tmp_path):
    assert memory_limits(tmp_path / "none", tmp_path) == cpu_quotas(tmp_path / "none", tmp_path) == []
