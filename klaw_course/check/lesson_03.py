"""Checkers of lesson 03, Scheduling policies."""

import ray
from ray.util import placement_group_table, remove_placement_group
from ray.util.placement_group import PlacementGroup

from klaw_course import cluster
from klaw_course.check import need
from klaw_course.check.needs import need_free_cpus, need_private
from klaw_course.observe import timeline


def two_each(answer) -> str:
    run = _run(answer, 6)
    asked = {row.cpus for row in run.rows}
    need(asked == {0.5}, f"the tasks asked for {asked} CPUs; they are to ask for half a CPU each.")
    placed = run.count_by("node")
    need(placed.get("head") != 6, "all six on head: is that a wish for one node?")
    need(placed.get("head") != 4, "four on head: that is the default, which fills a node to half first.")
    need(sorted(placed.values()) == [2, 2, 2], f"they ran as {placed}; two on each of three nodes were wanted.")
    return "two on each node, since SPREAD takes the nodes in turn."


def spared(answer) -> str:
    placed = _run(answer, 8).count_by("node")
    need("a" not in placed, f"they ran as {placed}: still on a.")
    need(len(placed) == 2, f"they ran as {placed}: a is spared, but so is a node that was not to be.")
    return f"eight tasks as {placed}, none on a."


def gang(answer) -> str:
    need(callable(answer), f"a function is wanted, and this is {answer!r}; write def gang(): ...")
    need_private()
    got = answer()
    need(isinstance(got, tuple) and len(got) == 2, f"it returned {got!r}; a tuple (group, refs) is wanted.")
    group, refs = got
    need(isinstance(group, PlacementGroup), f"the first of the two is {group!r}; the placement group is wanted.")
    try:
        return _judge_gang(group, refs)
    finally:
        remove_placement_group(group)


def _judge_gang(group, refs) -> str:
    table = placement_group_table(group)
    need(table["state"] == "CREATED", f"the group is {table['state']}: wait for group.ready() before you return.")
    nodes = list(table["bundles_to_node_id"].values())
    need(
        table["strategy"] == "STRICT_SPREAD",
        f"{table['strategy']} may put two on one node when it is tight; be strict.",
    )
    need(len(nodes) == 3, f"the group has {len(nodes)} bundles; one for each of the three nodes is wanted.")
    cpus = sorted(bundle.get("CPU", 0) for bundle in table["bundles"].values())
    need(cpus == [2, 2, 2], f"the bundles have {cpus} CPUs; each is to hold a worker's CPU and one in reserve.")
    is_refs = isinstance(refs, list) and len(refs) == 3 and all(isinstance(ref, ray.ObjectRef) for ref in refs)
    need(is_refs, f"the second of the two is {refs!r}; a list of three references is wanted.")
    ran_on = ray.get(refs, timeout=30)
    need(sorted(ran_on) == sorted(nodes), "the naps did not run one in each bundle: give each its bundle index.")
    return "one worker on each node, a CPU in reserve beside it, all or none."


def _run(answer, count: int) -> timeline.Recording:
    need_private()
    need(
        hasattr(answer, "remote"), f"a remote function is wanted, and this is {answer!r}; start from nap.options(...)."
    )
    need_free_cpus()
    with timeline.record() as run:
        refs = [answer.remote(0.4) for _ in range(count)]
        done, waiting = ray.wait(refs, num_returns=count, timeout=15)
        for ref in waiting:
            ray.cancel(ref)
    need(not waiting, f"{len(waiting)} of {count} tasks did not run within 15 s: is there a node that fits?")
    names = set(cluster.current().nodes)
    need(
        {row.node for row in run.rows} <= names,
        f"the tasks ran on {run.count_by('node')}, not on the nodes of this lesson.",
    )
    return run


CHECKERS = {"03.1": two_each, "03.2": spared, "03.3": gang}
