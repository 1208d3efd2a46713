"""Checkers of lesson 00, Start here."""

import inspect
import os

import ray
from ray.util.state import list_workers

from klaw_course.check import need
from klaw_course.cluster import _ray
from klaw_course.observe import timeline


def runs_in(answer) -> str:
    need(not isinstance(answer, ray.ObjectRef), "that is the reference to one call; give the function, not its call.")
    need(
        _ray.is_remote_function(answer),
        f"a remote function is wanted, and this is {answer!r}; write @ray.remote above the def.",
    )
    got = ray.get(answer.remote(), timeout=30)
    need(got is not None, "it returned None; did you forget the return?")
    need(got != os.getpid(), "it is still the id of this notebook: here os.getpid() is evaluated before any task runs.")
    need(isinstance(got, int), f"it returned {got!r}; the process id is wanted, a whole number.")
    workers = {row.pid for row in list_workers(detail=True, limit=10_000) if row.worker_type == "WORKER"}
    need(got in workers, f"{got} is no worker of this cluster; let the task ask os.getpid().")
    return f"the task ran in the worker {got}, and says so."


def options(answer) -> str:
    need(isinstance(answer, dict), f"a dictionary is wanted, and this is {answer!r}.")
    unknown = set(answer) - set(inspect.signature(ray.init).parameters)
    need(not unknown, f"ray.init has no argument called {', '.join(map(repr, unknown))}.")
    address = answer.get("address")
    need(
        address not in (None, "", "auto"),
        f"the address {address!r} looks at RAY_ADDRESS and joins what it names.",
    )
    need(isinstance(address, str), f"the address is a text, not {address!r}.")
    need(":" not in address, f"{address!r} joins the cluster at that place; the tests must start one of their own.")
    need(
        address == "local",
        f"{address!r} is nothing that ray.init knows; one word asks for a new cluster on this machine.",
    )
    cpus = answer.get("num_cpus")
    need(cpus is not None, "without num_cpus Ray counts on every CPU of the machine.")
    need(type(cpus) is int, f"num_cpus is a whole number, not {cpus!r}.")
    need(cpus == 1, f"that cluster has {cpus} CPUs; exactly one is wanted.")
    return "a cluster of its own with one CPU, whatever the environment says."


def total(answer) -> str:
    need(
        callable(answer) and not _ray.is_remote_function(answer),
        f"an ordinary function is wanted, and this is {answer!r}; write def total(n, parts): ...",
    )
    for n, tasks in ((1004, 3), (1_000_003, 4)):  # a task for every number stops at the first, the smaller one
        rows = _tasks_of_total(answer, n, tasks)
    one_by_one = all(later.submitted >= earlier.ended for earlier, later in zip(rows, rows[1:], strict=False))
    need(not one_by_one, "one task after the other: each was submitted when the one before had ended; see ray.get.")
    return "4 tasks, all submitted before the first result was fetched, and the sum is right."


def _tasks_of_total(answer, n: int, tasks: int) -> list:
    with timeline.record() as run:
        got = answer(n, tasks)
    call = f"total({n}, {tasks})"
    need(got is not None, "it returned None; did you forget the return?")
    parts = got if isinstance(got, list) else [got]
    need(not any(isinstance(part, ray.ObjectRef) for part in parts), "it returned references; a ray.get is missing.")
    need(isinstance(got, int), f"it returned a {type(got).__name__}; one whole number is wanted.")
    need(run.rows, "no task ran: the sum was computed in the notebook itself.")
    need(len(run.rows) == tasks, f"{call} ran {len(run.rows)} tasks; {tasks} are wanted.")
    need(got != _squares(n // tasks * tasks), f"{call} leaves the last {n % tasks} numbers out: {n} is no multiple.")
    need(got == _squares(n), f"{call} returned {got}; the sum is {_squares(n)}.")
    return run.rows


def _squares(n: int) -> int:
    return (n - 1) * n * (2 * n - 1) // 6


CHECKERS = {"00.1": runs_in, "00.2": options, "00.3": total}
