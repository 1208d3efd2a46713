"""Checkers of lesson 00, Start here."""

import ray

from klaw_course import cluster
from klaw_course.check import need
from klaw_course.check.needs import need_private
from klaw_course.observe import timeline


def address(answer) -> str:
    need(
        answer not in (None, "", "auto"), f"ray.init(address={answer!r}) looks at RAY_ADDRESS and joins what it names."
    )
    need(isinstance(answer, str), f"the address is a text, not {answer!r}.")
    is_place = ":" in answer
    need(not is_place, f"{answer!r} joins the cluster at that place; the test suite must start one of its own.")
    need(
        answer == "local",
        f"{answer!r} is nothing that ray.init knows; one word asks for a new cluster on this machine.",
    )
    return "'local' starts a new cluster, whatever the environment says."


def worker_pids(answer) -> str:
    need(callable(answer), f"a function is wanted, and this is {answer!r}; write def worker_pids(): ...")
    need_private()
    expected = {p.pid for p in cluster.current().processes() if p.role == "worker"}
    driver = {p.pid for p in cluster.current().processes() if p.role.startswith("driver")}
    got = answer()
    need(got is not None, "it returned None; did you forget the return?")
    need(not isinstance(got, list), "it returned a list; a set of process ids is wanted, set(...) makes one.")
    need(isinstance(got, set), f"it returned a {type(got).__name__}; a set of process ids is wanted.")
    need(got and all(isinstance(pid, int) for pid in got), f"it returned {got!r}; process ids are wanted: row.pid.")
    need(not got & driver, "the driver is among them: look at worker_type.")
    need(not got - expected, f"{sorted(got - expected)} are no living workers: look at is_alive.")
    need(got == expected, f"{sorted(expected - got)} are missing: list_workers() has a row for each.")
    return f"{len(got)} workers, and it would find them on a thousand machines too."


def in_chunks(answer) -> str:
    need(
        callable(answer),
        f"a function is wanted, and this is {answer!r}; write def in_chunks(function, items, size): ...",
    )
    items = list(range(10))
    with timeline.record() as run:
        got = answer(_square, items, 4)
    need(got is not None, "it returned None; did you forget the return?")
    is_refs = isinstance(got, list) and any(isinstance(part, ray.ObjectRef) for part in got)
    need(not is_refs, "it returned references; the results are wanted, so a ray.get is missing.")
    nested = isinstance(got, list) and got and isinstance(got[0], list)
    need(not nested, "it returned a list of lists; one flat list is wanted.")
    need(isinstance(got, list), f"it returned a {type(got).__name__}; a list is wanted.")
    wanted = [item * item for item in items]
    need(len(got) == 10, f"{len(got)} results for 10 items; what happens to the last, shorter chunk?")
    need(sorted(got) == wanted, f"it returned {got!r} for the squares of 0 to 9.")
    need(got == wanted, "all results are there, but not in the order of the items.")
    need(run.rows, "no task ran: the work was done in the notebook itself.")
    need(len(run.rows) != 10, "10 tasks for 10 items: each task should take a whole chunk.")
    need(len(run.rows) == 3, f"{len(run.rows)} tasks; 10 items in chunks of 4 are 3 tasks.")
    need(answer(_square, [], 4) == [], "for no items at all it should return an empty list.")
    return "10 items in 3 tasks, results in order."


def _square(x):
    return x * x


CHECKERS = {"00.1": address, "00.2": worker_pids, "00.3": in_chunks}
