"""Read what happens on another node there. A process id means something on one machine only; a clock, too.

``on_node`` runs a function in a task that is pinned to the node, ``Probe`` keeps an actor there for many questions.
Both need a process but no CPU, and ``timeline.record()`` leaves them out. The course must be installed on the node.
"""

from __future__ import annotations

from typing import NamedTuple

import psutil
import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from klaw_course.cluster import _ray

_ANSWER_S = 30  # a node that has to start a process first took 5 s on a busy machine


class Socket(NamedTuple):
    """A socket of a process; ``local`` and ``remote`` are ``ip:port``, or an empty text."""

    pid: int
    status: str
    local: str
    remote: str


def this_node() -> str | None:
    """Give the id of the node that this process is on; ``None`` through ``ray://``, where it is on no node."""
    return None if _through_client() else ray.get_runtime_context().get_node_id()


def is_alive(node_id: str) -> bool:
    """Tell whether the cluster has this node, and it is alive."""
    return any(node["NodeID"] == node_id and node["Alive"] for node in ray.nodes())


def node_and_pid(actor) -> tuple[str, int] | None:
    """Find the process of an actor.

    Args:
        actor: its handle.

    Returns:
        The id of its node and its process id; ``None`` if it has no process now.

    Raises:
        RuntimeError: the state API does not answer.
    """
    from ray.util.state import get_actor
    from ray.util.state.exception import RayStateApiException

    try:
        address = None if _through_client() else ray.get_runtime_context().gcs_address  # else it may ask any cluster
        found = get_actor(_ray.actor_id(actor), address=address, timeout=30)
    except (ConnectionError, RayStateApiException) as error:
        cause = str(error).strip().splitlines()[0]
        raise RuntimeError(f"The state API, which knows where an actor runs, does not answer ({cause}).") from error
    return (found.node_id, found.pid) if found is not None and found.pid and found.state == "ALIVE" else None


def on_node(node_id: str, function, *args):
    """Run a function on a node, and return what it gives.

    Args:
        node_id: the node's id, hexadecimal; ``cluster.nodes`` has it for each name.
        function: what to run there; on this node it is called here, in this process.
        args: its arguments. Times that it returns are on that machine's clock: do not subtract them from times of this.

    Raises:
        RuntimeError: the node does not answer.
    """
    if node_id == this_node():
        return function(*args)
    run = _run.options(name="KlawProbe.run", scheduling_strategy=_pinned(node_id))
    return _answer(node_id, run.remote(function, *args))


class Probe:
    """An actor on a node, which runs functions there until ``end()``."""

    def __init__(self, node_id: str):
        self._node_id = node_id
        self._actor = KlawProbe.options(scheduling_strategy=_pinned(node_id)).remote()

    def ask(self, function, *args) -> tuple:
        """Run a function there; return the id of the node where it ran, and what it gave.

        Raises:
            RuntimeError: the node does not answer.
        """
        return _answer(self._node_id, self._actor.run.remote(function, *args))

    def end(self) -> None:
        """End its process. Safe to repeat, and after the cluster has stopped."""
        if ray.is_initialized():
            ray.kill(self._actor)


def sockets(node_id: str, pids: list[int]) -> list[Socket]:
    """List the network sockets of processes of a node, IPv4 and IPv6; what has ended has none."""
    return on_node(node_id, _sockets, pids)


@ray.remote(num_cpus=0)
def _run(function, *args):
    return function(*args)


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class KlawProbe:
    def run(self, function, *args):
        return ray.get_runtime_context().get_node_id(), function(*args)


def _pinned(node_id: str) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node_id, soft=False)


def _answer(node_id: str, ref):
    try:
        return ray.get(ref, timeout=_ANSWER_S)
    except RayTaskError:
        raise  # of the function itself
    except RayError as error:
        cause = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
        hint = "it must be alive and have the course installed."
        raise RuntimeError(f"Nothing can be measured on the node {node_id} ({cause}); {hint}") from error


def _through_client() -> bool:
    from ray.util.client import ray as client

    return client.is_connected()


def _sockets(pids: list[int]) -> list[Socket]:
    found = []
    for pid in pids:
        try:
            connections = psutil.Process(pid).net_connections()
        except psutil.NoSuchProcess:
            continue
        found += [Socket(pid, each.status, _endpoint(each.laddr), _endpoint(each.raddr)) for each in connections]
    return found


def _endpoint(address) -> str:
    return f"{address.ip}:{address.port}" if address else ""
