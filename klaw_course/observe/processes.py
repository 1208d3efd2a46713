"""Find processes on the nodes of a cluster, and read their memory, each where it is."""

from __future__ import annotations

import contextlib
import sys
from collections import defaultdict

import psutil


def usage_mb(pids: list[int]) -> dict[int, tuple[float, float]]:
    """Read RSS and own memory of processes of this machine; those that have ended are left out."""
    found = {}
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            memory = process.memory_info()
            own = memory.rss - memory.shared if psutil.LINUX else process.memory_full_info().uss
            found[pid] = memory.rss / 2**20, own / 2**20
    return found


class Reader:
    """Find processes and read them, each on its node; remember from sample to sample where actors are."""

    def __init__(self, keep_probes: bool = True):
        self._keep_probes = keep_probes
        self._actors: dict[object, tuple[str | None, int]] = {}
        self._probes: dict[str, object] = {}

    def read(self, processes: dict[str, object], must_exist: bool = False) -> dict[str, tuple]:
        """Give (RSS, own memory, ids of the probed nodes) for each name, in MiB."""
        places = {name: self._places(process, must_exist) for name, process in processes.items()}
        pids = defaultdict(set)
        for node, pid in (place for found in places.values() for place in found):
            pids[node].add(pid)
        usage = {}
        for node, wanted in pids.items():
            usage |= {(node, pid): mb for pid, mb in self._ask(node, sorted(wanted), must_exist).items()}
        if must_exist:
            for node, pid in (place for found in places.values() for place in found):
                if (node, pid) not in usage:
                    where = f"the node {node}" if node else "this machine"
                    raise ValueError(f"No process on {where} has the pid {pid}; it has ended, or it runs elsewhere.")
        self._actors = {actor: place for actor, place in self._actors.items() if place in usage}  # others: asked again
        return {name: self._sum(found, usage) for name, found in places.items()}

    def end(self) -> None:
        """End the probes, and let go of the actors."""
        self._actors.clear()
        while self._probes:
            self._probes.popitem()[1].end()

    @staticmethod
    def _sum(places: list, usage: dict) -> tuple[float, float, tuple[str, ...]]:
        there = [place for place in places if place in usage]
        probed = tuple(sorted({node for node, _ in there if node}))
        return sum(usage[place][0] for place in there), sum(usage[place][1] for place in there), probed

    def _places(self, process: object, must_exist: bool) -> list[tuple[str | None, int]]:
        """List (node id, or None for this machine; pid) for one of the things that ``watch`` takes."""
        if callable(process):
            process = process()
        if isinstance(process, int):
            return [(None, process)]
        if isinstance(process, tuple) and len(process) == 2 and isinstance(process[0], str):
            node, pid = process
            return [(_node_unless_here(node), pid)]
        if isinstance(process, (list, tuple, set)):
            return [place for part in process for place in self._places(part, must_exist)]
        if not _is_actor(process):
            raise TypeError(
                f"{process!r} is no process; give a pid of this machine, an actor's handle, (node id, pid), a list of "
                "these or a function."
            )
        if process not in self._actors:
            found = _find_actor(process)
            if found is None and must_exist:
                raise ValueError(
                    f"{process!r} has no process: it has not begun, or has ended; wait for an answer of it."
                )
            if found is None:
                return []
            self._actors[process] = found
        return [self._actors[process]]

    def _ask(self, node: str | None, pids: list[int], must_exist: bool) -> dict[int, tuple[float, float]]:
        if node is None:
            return usage_mb(pids)
        from klaw_course.observe import remote

        try:
            if not self._keep_probes:
                return remote.on_node(node, usage_mb, pids)
            if node not in self._probes:
                self._probes[node] = remote.Probe(node)
            ran_on, usage = self._probes[node].ask(usage_mb, pids)
        except RuntimeError:
            if must_exist or remote.is_alive(node):
                raise
            return {}  # all its processes ended with the node
        assert ran_on == node, f"the probe of the node {node} runs on {ran_on}"
        return usage


def _is_actor(value: object) -> bool:
    if "ray" not in sys.modules:
        return False
    from klaw_course.cluster import _ray

    return _ray.is_actor_handle(value)


def _find_actor(actor) -> tuple[str | None, int] | None:
    from klaw_course.observe import remote

    found = remote.node_and_pid(actor)
    return found and (_node_unless_here(found[0]), found[1])


def _node_unless_here(node: str) -> str | None:
    from klaw_course.observe import remote

    return None if node == remote.this_node() else node
