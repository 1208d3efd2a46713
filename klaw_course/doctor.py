"""Can this machine run the course? ``python -m klaw_course.doctor`` says so, with a cure for each problem.

Ray is not imported: its version comes from the installed package, so that this works where Ray does not. The functions
that judge take values and return a ``Finding``; only ``examine`` asks the machine. The exit status is 0 if no line
says FAIL.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from klaw_course import container

GIB = 2**30
NEEDED = ("ray", "jupyterlab", "ipywidgets", "matplotlib", "numpy", "psutil", "tabulate", "tqdm")
CPU_TORCH = "pip install uv && uv pip install --torch-backend=cpu torch"
KUBERNETES = "ray://$RAY_HEAD_SERVICE_HOST:$RAY_HEAD_SERVICE_PORT"


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        level: ``"ok"``, ``"warn"`` (a part of the course will suffer) or ``"FAIL"`` (it cannot run).
        name: what was looked at.
        value: what was found.
        cure: what to do, one sentence; at the level ``"ok"`` empty, or a hint.
    """

    level: str
    name: str
    value: str
    cure: str = ""


def python_version(version: tuple[int, int]) -> Finding:
    """Judge the version of Python, given as (major, minor)."""
    cure = "" if version >= (3, 10) else "Install Python 3.10 or newer."
    return Finding("FAIL" if cure else "ok", "Python", f"{version[0]}.{version[1]}", cure)


def ray_version(installed: str | None, tested: str | None) -> Finding:
    """Judge the installed version of Ray against the one the course was tested with; ``None`` means unknown."""
    if installed is None:
        return Finding("FAIL", "Ray", "not installed", "Run in the course's folder: pip install -e .")
    if tested is None:
        cure = "klaw-course itself is not installed, so nothing says which Ray it needs; run: pip install -e ."
        return Finding("warn", "Ray", installed, cure)
    if installed != tested:
        cure = f"The course was tested with {tested}: pip install 'ray[default]=={tested}'"
        return Finding("warn", "Ray", installed, cure)
    return Finding("ok", "Ray", f"{installed}, the tested version")


def packages(missing: list[str]) -> Finding:
    """Judge the list of packages that cannot be found."""
    if not missing:
        return Finding("ok", "packages", "all there")
    return Finding("FAIL", "packages", f"missing: {', '.join(missing)}", "Run in the course's folder: pip install -e .")


def cores(count: int, quotas: list[float]) -> Finding:
    """Judge how many cores this process may use, and the containers' quotas, in CPUs' worth of time."""
    usable = min([count, *quotas])
    value = f"{count}" if usable == count else f"{count}, but a container's quota is {usable:.2g} of them"
    cure = "" if usable >= 2 else "Lessons run, but pictures of parallel work show none; use 2 cores or more."
    return Finding("warn" if cure else "ok", "cores", value, cure)


def memory(total: int, available: int, limits: list[tuple[int, int]]) -> Finding:
    """Judge main memory: the machine's bytes, and for each container's limit its bytes and what is left of them."""
    limit = min([total, *(limit for limit, _ in limits)])
    available = max(0, min([available, *(left for _, left in limits)]))
    value = f"{_gib(available)} available of {_gib(limit)}" + (", a container's limit" if limit < total else "")
    if available < 2 * GIB:
        return Finding("FAIL", "memory", value, "A lesson needs 2 GiB; close programs, or the kernels of notebooks.")
    if available < 4 * GIB:
        return Finding("warn", "memory", value, "Run one lesson at a time, and restart its kernel when you are done.")
    return Finding("ok", "memory", value)


def shared_memory(free: int | None) -> Finding:
    """Judge the free bytes in /dev/shm, where object stores live; ``None`` where there is none (macOS)."""
    if free is None:
        return Finding("ok", "/dev/shm", "not used on this system")
    cure = "" if free >= GIB else "Object stores spill to slow files; in Docker, start with --shm-size=2g."
    return Finding("warn" if cure else "ok", "/dev/shm", f"{_gib(free)} free", cure)


def disk(folder: str, total: int, free: int) -> Finding:
    """Judge the disk below the folder for temporary files, in bytes."""
    full = 1 - free / total if total else 1.0
    cure = "" if free >= 2 * GIB and full < 0.95 else "Ray spills objects here, but not at 95 % full; free some space."
    return Finding("warn" if cure else "ok", "disk", f"{_gib(free)} free in {folder}, {full:.0%} full", cure)


def other_rays(pids: list[int], lessons: list[str]) -> list[Finding]:
    """Name the Ray clusters that run already.

    Args:
        pids: of their processes called ``gcs_server``.
        lessons: the notebooks of this course, with their kernels, that started some of them.
    """
    shown = ", ".join(map(str, pids[:4])) + (", ..." if len(pids) > 4 else "")
    value = f"{len(pids)} (gcs_server {shown}); the course leaves them alone" if pids else "none"
    found = [Finding("ok", "running Rays", value)]
    return found + [Finding("ok", "a lesson runs", lesson) for lesson in lessons]


def environment(variables: dict[str, str]) -> list[Finding]:
    """Say what the course makes of the variables that direct Ray."""
    says = {
        "KLAW_RAY_ADDRESS": "lessons attach to it",
        "RAY_ADDRESS": "ignored: lessons start a private cluster",
        "RAY_AUTH_MODE": "for attaching; private ones have their own",
        "RAY_HEAD_SERVICE_HOST": "ignored: lessons start a private cluster",
    }
    if variables.get("KLAW_RAY_ADDRESS"):
        says["RAY_ADDRESS"] = "ignored: KLAW_RAY_ADDRESS goes first"
        del says["RAY_HEAD_SERVICE_HOST"]
    hints = {"RAY_HEAD_SERVICE_HOST": f"To attach to it: export KLAW_RAY_ADDRESS={KUBERNETES}"}
    return [
        Finding("ok", name, f"{variables[name]} ({say})", hints.get(name, ""))
        for name, say in says.items()
        if variables.get(name)
    ]


def torch_version(installed: str | None, error: str = "") -> Finding:
    """Judge PyTorch: its version, or why it cannot be imported."""
    if error:
        return Finding("warn", "PyTorch", f"broken: {error}", f"Only lesson 10 needs it: {CPU_TORCH}")
    if not installed:
        return Finding("warn", "PyTorch", "not installed", f"Only lesson 10 needs it: {CPU_TORCH}")
    return Finding("ok", "PyTorch", installed)


def transports(has_torch: bool, has_gloo: bool, has_nccl: bool, gpus: int, has_nixl: bool) -> list[Finding]:
    """Say, for each transport of lesson 10, whether two actors on this machine can use it, and otherwise what it needs.

    Args:
        has_torch: whether PyTorch can be imported.
        has_gloo, has_nccl: whether that PyTorch was built with them.
        gpus: how many GPUs that PyTorch can use.
        has_nixl: whether the package ``nixl`` is installed.
    """
    built_with_nccl = "" if has_nccl else "a PyTorch built with it"
    needs = {
        "gloo": "" if has_gloo else "a PyTorch built with it",
        "nixl": "" if has_nixl else "the package nixl (Linux): pip install nixl",
        "nccl": f"2 GPUs that PyTorch can use; there are {gpus}" if gpus < 2 else built_with_nccl,
        "cuda_ipc": "" if gpus else "a GPU that PyTorch can use",
    }
    found = {name: need if has_torch else "PyTorch" for name, need in needs.items()}
    return [Finding("ok", f"RDT {name}", f"no, needs {need}" if need else "yes") for name, need in found.items()]


def has_transport(name: str) -> bool:
    """Whether two actors on this machine can pass tensors by a transport. Takes seconds: PyTorch is imported.

    Args:
        name: a transport that comes with Ray: ``"gloo"``, ``"nixl"``, ``"nccl"`` or ``"cuda_ipc"``, in any case.

    Raises:
        ValueError: there is no such transport.
    """
    usable = {finding.name.removeprefix("RDT "): finding.value == "yes" for finding in _torch()[1:]}
    if name.lower() not in usable:
        raise ValueError(f"Ray has no transport {name!r}; it has {', '.join(usable)}.")
    return usable[name.lower()]


def examine() -> list[Finding]:
    """Look at this machine; takes a few seconds where PyTorch is installed, for it is imported."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    found = [python_version(sys.version_info[:2]), ray_version(_installed("ray"), _tested_ray()), packages(missing)]
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found.append(cores(allowed, container.cpu_quotas()))
    if "psutil" not in missing:
        import psutil

        now = psutil.virtual_memory()
        found.append(memory(now.total, now.available, container.memory_limits()))
    shm = Path("/dev/shm")
    found.append(shared_memory(shutil.disk_usage(shm).free if shm.is_dir() else None))
    temp = "/tmp" if Path("/tmp").is_dir() else tempfile.gettempdir()
    usage = shutil.disk_usage(temp)
    found.append(disk(temp, usage.total, usage.free))
    if "psutil" not in missing:
        running = [p for p in psutil.process_iter(["name"]) if (p.info["name"] or "").startswith("gcs_server")]
        found += other_rays([process.pid for process in running], _lessons_that_run(running))
    return [*found, *environment(dict(os.environ)), *_torch()]


def report(findings: list[Finding]) -> str:
    """The findings as text, at most 80 columns wide, each problem with its cure below it."""
    lines = []
    for finding in findings:
        value = textwrap.shorten(finding.value, 52, placeholder=" ...") if " " in finding.value else finding.value[:52]
        lines.append(f"{finding.level:<5} {finding.name:<21} {value}")
        if finding.cure:
            lines += textwrap.wrap("-> " + finding.cure, 80, initial_indent=" " * 6, subsequent_indent=" " * 9)
    bad = sum(finding.level == "FAIL" for finding in findings)
    lines.append(f"The course cannot run yet: {bad} FAIL above." if bad else "The course can run.")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Print the report; 0 if the course can run, 1 if not, 2 for an argument."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments:
        print(f"doctor takes no argument, but got {arguments[0]!r}; run: python -m klaw_course.doctor", file=sys.stderr)
        return 2
    findings = examine()
    print(report(findings))
    return int(any(finding.level == "FAIL" for finding in findings))


# --- asking the machine ----------------------------------------------------------------------------------------------


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"


def _installed(package: str) -> str | None:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return None


def _tested_ray() -> str | None:
    with contextlib.suppress(metadata.PackageNotFoundError):
        for requirement in metadata.requires("klaw-course") or ():
            if match := re.match(r"ray\[[^]]*\]==([0-9.]+)", requirement):
                return match[1]
    return None


def _lessons_that_run(processes: list) -> list[str]:
    """The notebooks whose kernels run a cluster: its folder is called klaw-<pid of the kernel>-..."""
    import psutil

    found = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if kernel := re.search(r"/klaw-(\d+)-", " ".join(process.cmdline())):
                notebook = psutil.Process(int(kernel[1])).environ().get("JPY_SESSION_NAME", "a program")
                found.append(f"{Path(notebook).name} (process {kernel[1]})")
    return found


def gpus() -> int:
    """How many GPUs PyTorch can use; 0 without PyTorch."""
    try:
        import torch
    except Exception:  # none, or a half-installed one, which fails in many ways
        return 0
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _torch() -> list[Finding]:
    """PyTorch, GPUs and transports. What is not installed is not imported."""
    torch, error = None, ""
    if find_spec("torch") is not None:
        try:
            import torch
        except Exception as problem:  # a half-installed PyTorch fails in many ways
            error = (str(problem).strip() or type(problem).__name__).splitlines()[0]
    usable = 0 if torch is None else gpus()
    group = torch is not None and torch.distributed.is_available() and torch.distributed
    return [
        torch_version(torch.__version__ if torch else None, error),
        *transports(
            torch is not None,
            bool(group and group.is_gloo_available()),
            bool(group and group.is_nccl_available()),
            usable,
            find_spec("nixl") is not None,
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())
