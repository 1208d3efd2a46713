"""A node that a lesson asks for, and the cluster that runs."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import ray

from klaw_course.cluster import _ray, environment, host
from klaw_course.cluster.processes import Process, list_processes
from klaw_course.wait import wait_until

STORE_MB = 256  # of each node's object store; fits the smallest /dev/shm that the course supports


@dataclass(frozen=True)
class Node:
    """One node of a private cluster.

    Args:
        name: how the lesson calls it; shown in tables and pictures.
        cpus: logical CPUs; may be more than the machine has cores, or 0.
        gpus: GPUs that actors may ask for; not more than the machine has, for Ray gives each a device.
        labels: Ray node labels, for ``label_selector``.
        resources: custom resources, name to amount.
        store_mb: size of the node's object store in MiB, at least 80.
        settings: Ray settings of this node's raylet alone, name to value; for simulated nodes.
    """

    name: str
    cpus: int = 2
    gpus: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    resources: dict[str, float] = field(default_factory=dict)
    store_mb: int = STORE_MB
    settings: dict[str, object] = field(default_factory=dict)

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"A node's name is a non-empty text, not {self.name!r}; write Node('head').")
        for what, count in (("cpus", self.cpus), ("gpus", self.gpus)):
            if not isinstance(count, int) or count < 0:
                raise ValueError(f"Node {self.name!r} has {what}={count!r}; give a whole number, 0 or more.")
        if self.store_mb < 80:
            raise ValueError(f"Node {self.name!r} has store_mb={self.store_mb!r}; Ray needs 80 MiB or more.")

    def arguments(self) -> dict:
        """Give what Ray is asked for, as arguments of ``ray.init``."""
        return {
            "num_cpus": self.cpus,
            "num_gpus": self.gpus,
            "labels": self.labels or None,
            "resources": self.resources or None,
            "object_store_memory": self.store_mb * 2**20,
        }

    def add_to(self, simulation, **more):
        """Start this node in a simulated cluster, and wait until it is alive.

        Args:
            simulation: Ray's simulated cluster.
            more: further arguments for Ray.

        Returns:
            Ray's node object.
        """
        settings = {f"RAY_{name}": str(value) for name, value in self.settings.items()}
        return simulation.add_node(**self.arguments(), node_name=self.name, env_vars=settings, **more)


class Cluster:
    """A running cluster, private or attached. ``start()`` returns it.

    Attributes:
        address: ``host:port`` of the GCS (for an attached ``ray://`` cluster, that address).
        attached: True if the cluster is yours and ``stop()`` only disconnects.
        client: True if it is attached through Ray Client (``ray://``), which cannot do all that Ray can.
        dashboard_url: ``http://host:port``, or an empty text without a dashboard.
        session_dir: Ray's session folder with the logs, as a ``Path``.
        nodes: node name to node id, for the nodes that are alive.
        token: the token that the dashboard and the GCS ask for; an empty text if none is known.
    """

    def __init__(
        self,
        address: str,
        *,
        dashboard_url: str,
        session_dir: str,
        token: str = "",
        folder: Path | None = None,
        simulation=None,
    ):
        self.address = address
        self.attached = folder is None
        self.client = address.startswith("ray://")
        self.dashboard_url = dashboard_url
        self.session_dir = Path(session_dir)
        self.token = token
        self.folder = folder  # the private one, in /tmp
        self.simulation = simulation
        self.asked: tuple = ()  # what start() was asked for
        self.ended = False
        self._names: dict[str, str] = {}  # node id -> name; the dead keep theirs, so that old rows can be named
        # Name -> Ray's node object, for the nodes that can be killed.
        self._handles = _ray.added_nodes(simulation) if simulation else {}

    @property
    def simulated(self) -> bool:
        """True if nodes can be added and killed."""
        return self.simulation is not None

    @property
    def nodes(self) -> dict[str, str]:
        return {self.name_of(node["NodeID"]): node["NodeID"] for node in ray.nodes() if node["Alive"]}

    def name_of(self, node_id: str | None) -> str:
        """Give the name of a node, dead ones included.

        Args:
            node_id: a node's id as hexadecimal text; ``None`` gives ``"-"`` (a task that was never placed).

        Raises:
            KeyError: no node of this cluster has had this id.
        """
        if node_id is None:
            return "-"
        if node_id not in self._names:
            self._names.update({node["NodeID"]: node["NodeName"] for node in ray.nodes()})
        if node_id not in self._names:
            raise KeyError(f"No node has the id {node_id!r}; the nodes are {', '.join(self.nodes)}.")
        return self._names[node_id]

    def processes(self) -> list[Process]:
        """List the processes of a private cluster and this one, the driver, largest first.

        Memory is the proportional set size where the system tells it (Linux): shared pages are divided among those who
        share them, so that the parts add up. Elsewhere it is what the process has for itself.

        Raises:
            RuntimeError: the cluster is attached, so its processes need not be on this machine.
        """
        if self.attached:
            raise RuntimeError(
                "processes() shows what runs on this machine, and an attached cluster's processes may be elsewhere; "
                "ask for them in a task on their node, or start a private cluster."
            )
        return list_processes(self.folder)

    def environment(self) -> dict[str, str]:
        """Give the environment variables for a program that runs beside this one; a change to them stays in it.

        They are those of this process; and the scratch files of a program that knows a private cluster go with it.
        """
        return {**os.environ, **({} if self.attached else {"TMPDIR": str(self.folder)})}

    def add_node(self, node: Node) -> str:
        """Add a simulated node, wait until it is alive, and return its id (hexadecimal).

        Raises:
            RuntimeError: this cluster was not started with simulated nodes.
            ValueError: the name is taken.
        """
        self._need_simulation(f"add the node {node.name!r}")
        if node.name in self.nodes:
            raise ValueError(f"A node called {node.name!r} is alive already; choose another name.")
        with environment.scratch_files_in(self.folder):
            handle = node.add_to(self.simulation)
        self._names[handle.node_id] = node.name
        self._handles[node.name] = handle
        return handle.node_id

    def kill_node(self, name: str, graceful: bool = True) -> None:
        """End every process of a simulated node, and wait until the GCS calls it dead.

        Args:
            name: the node's name; not the first one, to which this notebook is connected.
            graceful: send SIGTERM, which the raylet reports to the GCS at once. Without, SIGKILL: the GCS finds out
                by missing health checks, which took 15 s when this was written, and Ray prints a long report.

        Raises:
            RuntimeError: this cluster was not started with simulated nodes.
            ValueError: no such node, or the first one.
        """
        self._need_simulation(f"kill the node {name!r}")
        if name not in self._handles:
            choices = ", ".join(self._handles) or "none left"
            raise ValueError(f"No node called {name!r} can be killed; choose one of: {choices}.")
        handle = self._handles.pop(name)
        self.simulation.remove_node(handle, allow_graceful=graceful)
        wait_until(lambda: name not in self.nodes, f"the node {name!r} to be reported dead")

    def _need_simulation(self, what: str) -> None:
        if not self.simulated:
            kind = "is attached to yours" if self.attached else "has one real node"
            raise RuntimeError(f"Cannot {what}: this cluster {kind}; start one with simulate=True.")

    def __repr__(self) -> str:
        if self.ended or not ray.is_initialized():
            return "<a cluster that was stopped>"
        alive = [node for node in ray.nodes() if node["Alive"]]
        names = ", ".join(f"{node['NodeName']} ({_cpus(node)})" for node in alive)
        store = sum(node["Resources"].get("object_store_memory", 0) for node in alive) / 2**20
        kind = "attached to" if self.attached else "private,"
        where = self.address if self.attached else "loopback only, token needed"
        board = host.address_for_browser(self.dashboard_url) or "no dashboard"
        return f"Ray {ray.__version__}: {kind} {where}; {names}; object store {store:.0f} MiB; dashboard {board}"


def _cpus(node: dict) -> str:
    count = node["Resources"].get("CPU", 0)
    return f"{count:g} CPU" if count == 1 else f"{count:g} CPUs"
