"""What a checker needs of the cluster before it can judge an answer; what is missing is said in the hint."""

from __future__ import annotations

import ray

from klaw_course import cluster
from klaw_course.check import NotHere, need
from klaw_course.wait import wait_until

_PRIVATE = "this can be checked on a private cluster only: unset KLAW_RAY_ADDRESS and restart the kernel"


def need_private() -> None:
    """Raise ``NotHere`` on an attached cluster: the answer is compared with what only a private one shows or has."""
    if cluster.current().attached:
        raise NotHere(f"{_PRIVATE}. Your answer may be right.")


def need_free_cpus(total: int | None = None, timeout_s: float = 15) -> None:
    """Wait until no CPU is held, so that the answer's tasks can run; raise ``Wrong`` if one still is.

    Args:
        total: the CPUs on which the exercise counts; raise ``NotHere`` if the cluster has more or fewer.
        timeout_s: seconds to wait; a CPU counts as held for a moment after its task has ended.
    """
    cpus = sum(node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"])
    if total is not None and cpus != total:
        raise NotHere(f"it counts on {total} CPUs, and the cluster has {cpus:g}; {_PRIVATE}.")
    try:
        wait_until(lambda: ray.available_resources().get("CPU", 0) == cpus, "the CPUs to be free", timeout_s)
    except TimeoutError:
        need(False, "something that you made before holds a CPU: delete your actors and placement groups first.")


def first_result(call: ray.ObjectRef, timeout_s: float = 30) -> object:
    """Wait for an actor's first call, and return or raise what it gave; raise ``Wrong`` if the actor does not start.

    Args:
        call: what the call returned.
        timeout_s: seconds to wait.
    """
    done, _ = ray.wait([call], timeout=timeout_s)
    hint = "Does an actor that you made before hold the CPU that it needs?"
    need(done, f"its first call did not end in {timeout_s:g} s. {hint}")
    return ray.get(call)
