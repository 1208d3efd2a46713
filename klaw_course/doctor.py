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
import socket
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

GIB = 2**30
NEEDED = ("ray", "jupyterlab", "ipywidgets", "matplotlib", "numpy", "psutil", "tabulate", "tqdm")
CPU_TORCH = "pip install uv && uv pip install --torch-backend=cpu torch"


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        level: ``"ok"``, ``"warn"`` (a part of the course will suffer) or ``"FAIL"`` (it cannot run).
        name: what was looked at.
        value: what was found.
        cure: what to do, one sentence; empty if the level is ``"ok"``.
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


def cores(count: int) -> Finding:
    """Judge the number of cores that this process may use."""
    cure = "" if count >= 2 else "Lessons run, but pictures of parallel work show none; use 2 cores or more."
    return Finding("warn" if cure else "ok", "cores", str(count), cure)


def memory(total: int, available: int) -> Finding:
    """Judge main memory, in bytes."""
    value = f"{_gib(available)} available of {_gib(total)}"
    if available < 2 * GIB:
        return Finding("FAIL", "memory", value, "A lesson needs 2 GiB; close programs, or the kernels of notebooks.")
    if available < 4 * GIB:
        return Finding("warn", "memory", value, "Run one lesson at a time, and restart its kernel when you are done.")
    return Finding("ok", "memory", value)


def shared_memory(free: int | None) -> Finding:
    """Judge the free bytes in /dev/shm, where object stores live; ``None`` where there is none (macOS, Windows)."""
    if free is None:
        return Finding("ok", "/dev/shm", "not used on this system")
    cure = "" if free >= GIB else "Object stores spill to slow files; in Docker, start with --shm-size=2g."
    return Finding("warn" if cure else "ok", "/dev/shm", f"{_gib(free)} free", cure)


def disk(folder: str, total: int, free: int) -> Finding:
    """Judge the disk below the folder for temporary files, in bytes."""
    full = 1 - free / total if total else 1.0
    cure = "" if free >= 2 * GIB and full < 0.95 else "Ray spills objects here, but not at 95 % full; free some space."
    return Finding("warn" if cure else "ok", "disk", f"{_gib(free)} free in {folder}, {full:.0%} full", cure)


def other_rays(pids: list[int]) -> Finding:
    """Name the Ray clusters that run already, by the process ids of their ``gcs_server``."""
    shown = ", ".join(map(str, pids[:4])) + (", ..." if len(pids) > 4 else "")
    value = f"{len(pids)} (gcs_server {shown}); the course leaves them alone" if pids else "none"
    return Finding("ok", "other Rays", value)


def environment(variables: dict[str, str]) -> list[Finding]:
    """Say what the course makes of the variables that direct Ray."""
    says = {
        "KLAW_RAY_ADDRESS": "lessons attach to it",
        "RAY_ADDRESS": "ignored: lessons start a private cluster",
        "RAY_AUTH_MODE": "used when attaching; a private cluster has its own token",
    }
    if variables.get("KLAW_RAY_ADDRESS"):
        says["RAY_ADDRESS"] = "ignored: KLAW_RAY_ADDRESS goes first"
    elif variables.get("RAY_HEAD_SERVICE_HOST") and variables.get("RAY_HEAD_SERVICE_PORT"):
        says["RAY_HEAD_SERVICE_HOST"] = "lessons attach to it by ray://"
    return [Finding("ok", name, f"{variables[name]} ({say})") for name, say in says.items() if variables.get(name)]


def simulated_nodes(platform: str) -> Finding:
    """Judge whether several nodes can be simulated, by ``sys.platform``."""
    if platform != "win32":
        return Finding("ok", "simulated nodes", "yes")
    return Finding("warn", "simulated nodes", "not on Windows", "Use WSL 2; otherwise lessons skip parts and say so.")


def dashboard(port: int, free: bool) -> Finding:
    """Say where the dashboard will be."""
    return Finding("ok", "dashboard port", f"{port} is free" if free else f"{port} is taken; the next free one is used")


def py_spy(path: str | None, ptrace_scope: str | None, root: bool) -> Finding:
    """Judge whether py-spy may read other processes (lesson 09).

    Args:
        path: where the program is, or ``None``.
        ptrace_scope: the text of the kernel's ``yama/ptrace_scope``, or ``None`` without that file.
        root: whether this process is root's.
    """
    if path is None:
        return Finding("warn", "py-spy", "not found", "Lesson 09 uses cProfile; otherwise: pip install py-spy")
    if not root and (ptrace_scope or "0").strip() not in ("", "0"):
        value = f"refused by the kernel (ptrace_scope {ptrace_scope.strip()})"
        cure = "Lesson 09 uses cProfile; otherwise: sudo sysctl kernel.yama.ptrace_scope=0"
        return Finding("warn", "py-spy", value, cure)
    return Finding("ok", "py-spy", "usable")


def torch_version(installed: str | None, error: str = "") -> Finding:
    """Judge PyTorch: its version, or why it cannot be imported."""
    if error:
        return Finding("warn", "PyTorch", f"broken: {error}", f"Only lesson 10 needs it: {CPU_TORCH}")
    if not installed:
        return Finding("warn", "PyTorch", "not installed", f"Only lesson 10 needs it: {CPU_TORCH}")
    return Finding("ok", "PyTorch", installed)


def gpu(names: list[str]) -> Finding:
    """Name the GPUs; none is fine."""
    return Finding("ok", "GPU", ", ".join(names) or "none; nothing needs one")


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
    usable = {finding.name.removeprefix("RDT "): finding.value == "yes" for finding in _torch()[2:]}
    if name.lower() not in usable:
        raise ValueError(f"Ray has no transport {name!r}; it has {', '.join(usable)}.")
    return usable[name.lower()]


def examine() -> list[Finding]:
    """Look at this machine; takes a few seconds where PyTorch is installed, for it is imported."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    found = [python_version(sys.version_info[:2]), ray_version(_installed("ray"), _tested_ray()), packages(missing)]
    found.append(cores(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))
    if "psutil" not in missing:
        import psutil

        now = psutil.virtual_memory()
        limit = _container_limit() or now.total
        found.append(memory(min(now.total, limit), min(now.available, limit)))
    shm = Path("/dev/shm")
    found.append(shared_memory(shutil.disk_usage(shm).free if shm.is_dir() else None))
    temp = "/tmp" if Path("/tmp").is_dir() else tempfile.gettempdir()
    usage = shutil.disk_usage(temp)
    found.append(disk(temp, usage.total, usage.free))
    if "psutil" not in missing:
        running = psutil.process_iter(["name"])
        found.append(other_rays([p.pid for p in running if (p.info["name"] or "").startswith("gcs_server")]))
    found += [*environment(dict(os.environ)), simulated_nodes(sys.platform), dashboard(8265, _is_free(8265))]
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    beside = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    found.append(py_spy(beside, scope.read_text() if scope.exists() else None, root))
    return found + _torch()


def report(findings: list[Finding]) -> str:
    """The findings as text, at most 80 columns wide, each problem with its cure below it."""
    lines = []
    for finding in findings:
        value = textwrap.shorten(finding.value, 56, placeholder=" ...") if " " in finding.value else finding.value[:56]
        lines.append(f"{finding.level:<5} {finding.name:<17} {value}")
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


def _container_limit() -> int | None:
    """The bytes that a container may use; psutil shows those of the machine around it."""
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # no such file; or it says "max"
            return int(Path(file).read_text())
    return None


def _is_free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


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
    names = [torch.cuda.get_device_name(number) for number in range(usable)]
    if not names and shutil.which("nvidia-smi"):
        names = ["an NVIDIA one, which this PyTorch cannot use"]
    group = torch is not None and torch.distributed.is_available() and torch.distributed
    return [
        torch_version(torch.__version__ if torch else None, error),
        gpu(names),
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
