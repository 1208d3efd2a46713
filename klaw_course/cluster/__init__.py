"""Start and stop the cluster a lesson runs on.

``start()`` makes a *private* Ray cluster: it never joins one that happens to run, it listens on loopback only, and a
token in a file that only you can read keeps other accounts of the machine out. ``start(address=...)``, or the
environment variable ``KLAW_RAY_ADDRESS``, connects to a cluster of your own instead; ``stop()`` then only disconnects.

Every line that a worker prints is shown, not one per pattern as Ray does by default, while Ray's own start-up messages
are not. What else is changed, in the environment (all of it is put back by ``stop()``):

    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0   despite its name: on Linux too, Ray then binds to 127.0.0.1 and nothing else
    RAY_AUTH_MODE, RAY_AUTH_TOKEN_PATH    a token for both kinds of cluster, in a file with mode 600
    RAY_TMPDIR                            a session folder of our own: no other ``ray.init()`` finds us by chance
    RAY_ADDRESS                           the state API and the ``ray`` command follow it even past ``address=``
    RAY_task_events_report_interval_ms    task states reach the state API after 0.1 s instead of 1 s
    RAY_idle_worker_killing_time...       an idle worker is kept for 10 minutes, not 1 second, so that pictures agree
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import re
import secrets
import shutil
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import ray
from ray._private import ray_constants, ray_logging

from klaw_course.wait import wait_until

STORE_MB = 256  # of each node's object store; fits the smallest /dev/shm that the course supports
_TMP = Path("/tmp")  # short on purpose: the path of a Unix socket may have 107 characters (103 on macOS)
_START_UP_LINES = "Set ray log level from environment"
_UNSET = object()
_current: Cluster | None = None


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


@dataclass(frozen=True)
class Process:
    """One process of a cluster: what it is, its id, and its share of the machine's memory in MiB."""

    role: str
    pid: int
    memory_mb: float


class Cluster:
    """A running cluster, private or attached. ``start()`` returns it.

    Attributes:
        address: ``host:port`` of the GCS (for an attached ``ray://`` cluster, that address).
        attached: True if the cluster is yours and ``stop()`` only disconnects.
        dashboard_url: ``http://host:port``, or an empty text without a dashboard.
        session_dir: Ray's session folder with the logs, as a ``Path``.
        nodes: node name to node id, for the nodes that are alive.
        token: the token that the dashboard and the GCS ask for; an empty text if none is known.
    """

    def __init__(self, address: str, *, attached: bool, dashboard_url: str, session_dir: str, token: str = ""):
        self.address = address
        self.attached = attached
        self.dashboard_url = dashboard_url
        self.session_dir = Path(session_dir)
        self.token = token
        self._names: dict[str, str] = {}  # node id -> name; the dead keep theirs, so that old rows can be named
        self._handles: dict[str, object] = {}  # name -> ray's node object, for the nodes that can be killed
        self._simulation = None
        self._spec: tuple = ()

    @property
    def simulated(self) -> bool:
        """True if nodes can be added and killed."""
        return self._simulation is not None

    @property
    def nodes(self) -> dict[str, str]:
        return {self.name_of(node["NodeID"]): node["NodeID"] for node in ray.nodes() if node["Alive"]}

    def name_of(self, node_id: str | None) -> str:
        """The name of a node, dead ones included.

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
        """The processes of a private cluster and this one, the driver, largest first.

        Memory is the proportional set size where the system tells it (Linux): shared pages are divided among those who
        share them, so that the parts add up. Elsewhere it is what the process has for itself.
        """
        found = [Process("driver (this notebook)", os.getpid(), _memory_mb(psutil.Process()))]
        for process in [] if self.attached else _processes_in(self.session_dir.parents[1]):
            with contextlib.suppress(psutil.Error):
                found.append(Process(_role(process), process.pid, _memory_mb(process)))
        return sorted(found, key=lambda process: -process.memory_mb)

    @contextlib.contextmanager
    def freeze(self, role: str):
        """Stop a process of a private cluster while a block runs, without ending it (the signal SIGSTOP).

        Twenty seconds are the most: then it goes on, whatever the block does, so that nothing hangs for ever.

        Args:
            role: as ``processes()`` calls it, such as ``"GCS"`` or ``"raylet"``; ``"nobody"`` freezes nothing.

        Raises:
            ValueError: no process has this role.
        """
        chosen = [psutil.Process(process.pid) for process in self.processes() if process.role == role]
        if not chosen and role != "nobody":
            roles = ", ".join(sorted({process.role for process in self.processes()}))
            raise ValueError(f"No process of this cluster is called {role!r}; choose one of: {roles}.")
        thaw = threading.Timer(20, lambda: [process.resume() for process in chosen])
        thaw.start()
        try:
            for process in chosen:
                process.suspend()
            yield
        finally:
            thaw.cancel()
            for process in chosen:
                process.resume()

    def add_node(self, node: Node) -> str:
        """Add a simulated node, wait until it is alive, and return its id (hexadecimal).

        Raises:
            RuntimeError: this cluster was not started with simulated nodes.
            ValueError: the name is taken.
        """
        self._need_simulation(f"add the node {node.name!r}")
        if node.name in self.nodes:
            raise ValueError(f"A node called {node.name!r} is alive already; choose another name.")
        with _scratch_in(Path(os.environ["RAY_TMPDIR"])):
            handle = self._simulation.add_node(**_simulated_arguments(node))
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
        self._simulation.remove_node(handle, allow_graceful=graceful)
        wait_until(lambda: name not in self.nodes, f"the node {name!r} to be reported dead")

    def _need_simulation(self, what: str) -> None:
        if not self.simulated:
            kind = "is attached to yours" if self.attached else "has one real node"
            raise RuntimeError(f"Cannot {what}: this cluster {kind}; start one with simulate=True.")

    def __repr__(self) -> str:
        if _current is not self:
            return "<a cluster that was stopped>"
        nodes = ", ".join(f"{n['NodeName']} ({n['Resources'].get('CPU', 0):g} CPU)" for n in ray.nodes() if n["Alive"])
        store = sum(n["Resources"].get("object_store_memory", 0) for n in ray.nodes() if n["Alive"]) / 2**20
        kind = "attached to" if self.attached else "private,"
        where = self.address if self.attached else "loopback only, token needed"
        board = self.dashboard_url or "no dashboard"
        return f"Ray {ray.__version__}: {kind} {where}; {nodes}; object store {store:.0f} MiB; dashboard {board}"


def start(
    *nodes: Node,
    address: str | None = None,
    warm: bool | None = None,
    log_level: str | None = None,
    hide: str | None = None,
    config: dict | None = None,
    simulate: bool = False,
) -> Cluster:
    """Start a private cluster, or attach to one, and print one line about it.

    Calling it again with the same arguments returns the cluster that runs; with others, that one is stopped first.

    Args:
        nodes: nothing for one node with 2 CPUs; one ``Node`` for one real node; several for simulated nodes on this
            machine, the first being the head to which the notebook is connected.
        address: attach instead of starting: ``host:port``, ``auto`` or ``ray://host:port``. The default is the
            environment variable ``KLAW_RAY_ADDRESS``, then ``RAY_HEAD_SERVICE_HOST`` and ``RAY_HEAD_SERVICE_PORT``.
        warm: run one short task on every CPU, so that no later picture shows a worker starting. Default: only for
            simulated nodes.
        log_level: how much Ray's processes write to their log files, such as ``"debug"``.
        hide: a regular expression; lines of workers and raylets that contain it are not shown in the notebook. For
            lessons in which processes die on purpose, which Ray reports at length.
        config: Ray system settings of a private cluster, such as ``{"scheduler_spread_threshold": 1.0}``.
        simulate: make the only node a simulated one too, so that others can be added later.

    Returns:
        The running ``Cluster``.

    Raises:
        RuntimeError: this process uses Ray already, through something else than this function; or it did not start.
        ConnectionError: no cluster answers at the address.
        ValueError: the address has no form that Ray knows, or two nodes have one name.
    """
    global _current
    address = _address_to_attach() if address is None else _check_address(address)
    spec = (nodes, address, log_level, hide, tuple(sorted((config or {}).items())), simulate)
    if _current is not None and ray.is_initialized() and _current._spec == spec:
        print(f"Already running. {_current}")
        return _current
    if len({node.name for node in nodes}) < len(nodes):
        raise ValueError(f"Two nodes have one name: {', '.join(node.name for node in nodes)}; names must differ.")
    if _current is not None:
        stop()
    if ray.is_initialized():
        raise RuntimeError("This process is connected to Ray, but not by cluster.start(); call ray.shutdown() first.")
    if address is not None:
        _current = _attach(address)
        if nodes or config:
            print("Attached, so nodes and settings are as you started them, not as the lesson asks.")
    else:
        _current = _start_private(nodes or (Node("head"),), log_level, config or {}, simulate)
    _current._spec = spec
    if hide and not _current.attached:
        _show_lines(but_not=f"{_START_UP_LINES}|{hide}")
    if warm if warm is not None else _current.simulated:
        _warm(_current)
    print(_current)
    return _current


def stop() -> None:
    """Stop a private cluster and delete its session folder, or disconnect from an attached one. Safe to repeat."""
    global _current
    cluster, _current = _current, None
    if cluster is None:
        return
    if cluster.attached:
        ray.shutdown()
        _restore_environment()
        print("Disconnected; your cluster runs on.")
        return
    _tear_down(cluster._simulation)
    print("Stopped: no process and no file is left.")


def current() -> Cluster:
    """The cluster that ``start()`` started.

    Raises:
        RuntimeError: there is none.
    """
    if _current is None or not ray.is_initialized():
        raise RuntimeError("No cluster is running; run the lesson's setup cell, which calls cluster.start().")
    return _current


def skip_rest_unless(condition: bool, what: str) -> None:
    """In a notebook whose lesson needs what this cluster lacks: say so, and skip its cells up to the one that stops.

    So a lesson about several nodes still runs to its end on an attached cluster or on Windows.

    Args:
        condition: whether the cluster has it.
        what: completes the sentence "This lesson needs ...".
    """
    from IPython import get_ipython

    transformers = get_ipython().input_transformers_cleanup
    if _skip in transformers:  # from an earlier run of this cell
        transformers.remove(_skip)
    if not condition:
        print(f"This lesson needs {what}: the other cells are skipped.")
        transformers.append(_skip)


def _skip(cell: list[str]) -> list[str]:
    return cell if "skip_rest_unless(" in "".join(cell) or "cluster.stop()" in "".join(cell) else []


# --- attaching -------------------------------------------------------------------------------------------------------


def _address_to_attach() -> str | None:
    if address := os.environ.get("KLAW_RAY_ADDRESS"):
        return _check_address(address)
    host, port = os.environ.get("RAY_HEAD_SERVICE_HOST"), os.environ.get("RAY_HEAD_SERVICE_PORT")
    return _check_address(f"ray://{host}:{port}") if host and port else None


def _check_address(address: str) -> str:
    host, colon, port = str(address).removeprefix("ray://").rpartition(":")
    if address != "auto" and not (host and colon and port.isdigit()):
        raise ValueError(f"Cannot attach to {address!r}; write 'host:port', 'ray://host:port' or 'auto'.")
    return address


def _attach(address: str) -> Cluster:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address != "auto":
        _knock(address, host.strip("[]"), int(port))
    if host in ("127.0.0.1", "localhost", "[::1]"):
        _set_environment({}, loopback=True)  # else Ray would look for the cluster at the machine's outer address
    try:
        context = ray.init(address=address, logging_level=logging.ERROR, log_to_driver=True)
    except Exception as error:
        ray.shutdown()
        _restore_environment()
        cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        cure = "is it running, and RAY_AUTH_MODE=token with its token set here, if it asks for one?"
        raise ConnectionError(f"No cluster answered at {address!r} ({cause}): {cure}") from error
    if address.startswith("ray://"):
        url, session = context.dashboard_url or "", ""
    else:
        url, session = context.address_info["webui_url"] or "", context.address_info["session_dir"]
        address = context.address_info["gcs_address"]
    url = f"http://{url}" if url and "://" not in url else url
    # The second is for the state API, which would open a second connection for ray://, and that is not allowed.
    _set_environment({"RAY_ADDRESS": address, "RAY_API_SERVER_ADDRESS": url or None})
    return Cluster(address, attached=True, dashboard_url=url, session_dir=session)


def _knock(address: str, host: str, port: int) -> None:
    """Ray would wait for minutes where nobody listens."""
    try:
        socket.create_connection((host, port), timeout=10).close()
    except OSError as error:
        raise ConnectionError(
            f"Nobody listens at {address!r} ({error}); is the cluster running, and the port right?"
        ) from None


# --- a private cluster -----------------------------------------------------------------------------------------------


def _start_private(nodes: tuple[Node, ...], log_level: str | None, config: dict, simulate: bool) -> Cluster:
    simulate |= len(nodes) > 1
    if simulate and sys.platform == "win32":
        print("Simulated nodes do not work on Windows: one node is started, and the lesson says what it skips.")
        nodes, simulate = nodes[:1], False
    _remove_stale_folders()
    for attempt in (1, 2):
        folder = _private_folder()
        token = secrets.token_hex(32)
        (folder / "token").touch(mode=0o600)
        (folder / "token").write_text(token)
        _set_environment(
            {
                "RAY_TMPDIR": str(folder),
                "RAY_AUTH_MODE": "token",
                "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
                "RAY_AUTH_TOKEN": None,
                "RAY_ADDRESS": None,
                "RAY_API_SERVER_ADDRESS": None,
                "RAY_BACKEND_LOG_LEVEL": log_level,
                "RAY_USAGE_STATS_ENABLED": "0",
                "RAY_task_events_report_interval_ms": "100",
                "RAY_idle_worker_killing_time_threshold_ms": "600000",
            },
            loopback=True,
        )
        simulation = None
        try:
            with _scratch_in(folder), _without_c_messages():
                if not simulate:
                    info = _start_one(nodes[0], config)
                else:
                    from ray.cluster_utils import Cluster as Simulation

                    simulation = Simulation(shutdown_at_exit=True)
                    info = _start_several(simulation, nodes, config)
        except Exception as error:
            _tear_down(simulation)
            if attempt == 2 or isinstance(error, (TypeError, ValueError)):
                raise RuntimeError(f"Ray did not start ({error}); run python -m klaw_course.doctor.") from error
            print("Ray did not start in time; trying once more.")
        else:
            break
    _set_environment({"RAY_ADDRESS": info["gcs_address"]})
    atexit.register(_stop_quietly)
    url = f"http://{info['webui_url']}"
    cluster = Cluster(
        info["gcs_address"], attached=False, dashboard_url=url, session_dir=info["session_dir"], token=token
    )
    if simulation is not None:
        cluster._simulation = simulation
        workers = sorted(simulation.worker_nodes, key=lambda handle: handle._ray_params.node_name)
        cluster._handles = {handle._ray_params.node_name: handle for handle in workers}
    return cluster


def _node_arguments(node: Node) -> dict:
    return {
        "num_cpus": node.cpus,
        "num_gpus": node.gpus,
        "labels": node.labels or None,
        "resources": node.resources or None,
        "object_store_memory": node.store_mb * 2**20,
    }


def _start_one(node: Node, config: dict) -> dict:
    context = ray.init(
        address="local",
        **_node_arguments(node),
        _node_name=node.name,
        include_dashboard=True,
        dashboard_host="127.0.0.1",
        dashboard_port=_free_port(8265),
        logging_level=logging.ERROR,
        _system_config=config,
    )
    return context.address_info


def _start_several(simulation, nodes: tuple[Node, ...], config: dict) -> dict:
    head = dict(include_dashboard=True, dashboard_host="127.0.0.1", dashboard_port=_free_port(8265))
    for node in nodes:
        extra = {**head, "_system_config": config} if node is nodes[0] else {}
        simulation.add_node(**_simulated_arguments(node), **extra)
    return ray.init(address=simulation.address, logging_level=logging.ERROR).address_info


def _simulated_arguments(node: Node) -> dict:
    settings = {f"RAY_{name}": str(value) for name, value in node.settings.items()}
    return {**_node_arguments(node), "node_name": node.name, "env_vars": settings}


def _free_port(first: int) -> int:
    for port in range(first, first + 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError(f"No port between {first} and {first + 99} is free for the dashboard; close what holds them.")


def _warm(cluster: Cluster) -> None:
    """Run one task on every CPU of every node at once: afterwards each has a worker that has run something."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
    from tqdm.auto import tqdm

    @ray.remote(num_cpus=1)
    def warm_up(seconds):
        time.sleep(seconds)

    refs = []
    for node in ray.nodes():
        for _ in range(int(node["Resources"].get("CPU", 0)) if node["Alive"] else 0):
            here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            refs.append(warm_up.options(scheduling_strategy=here).remote(1.0))
    with tqdm(total=len(refs), desc="warming workers", leave=False) as bar:
        while refs:
            done, refs = ray.wait(refs)
            bar.update(len(done))


def _stop_quietly() -> None:
    """What happens at the end of the kernel, where a print would go nowhere."""
    with contextlib.suppress(Exception), contextlib.redirect_stdout(None):
        stop()


@contextlib.contextmanager
def _scratch_in(folder: Path):
    """Ray's processes keep their scratch files where ours go away; this kernel's TMPDIR is only borrowed."""
    before = os.environ.get("TMPDIR", _UNSET)
    os.environ["TMPDIR"] = str(folder)
    try:
        yield
    finally:
        _put("TMPDIR", before)


@contextlib.contextmanager
def _without_c_messages():
    """Ray's C++ part says on standard error which log level it uses; errors come as exceptions, which still get out."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _tear_down(simulation) -> None:
    folder = Path(os.environ["RAY_TMPDIR"])
    mine = _processes_in(folder)
    ray.shutdown()
    if simulation is not None:
        simulation.shutdown()
    _, alive = psutil.wait_procs(mine, timeout=10)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=5)
    _restore_environment()
    shutil.rmtree(folder, ignore_errors=True)
    for process in mine:  # Ray 2.60 leaves two semaphores for each experimental channel
        for left in Path("/dev/shm").glob(f"sem.*{process.pid}-*"):
            if left.name.startswith((f"sem.hdr{process.pid}-", f"sem.obj{process.pid}-")):
                left.unlink(missing_ok=True)
    _remove_stale_folders()


def _processes_in(folder: Path) -> list[psutil.Process]:
    """The processes that were started with our private folder on their command line, and all that they started."""
    found = []
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if str(folder) in " ".join(process.cmdline()):
                found += [process, *process.children(recursive=True)]
    return found


_ROLES = {  # part of the command line -> role; the first that fits
    "gcs_server": "GCS",
    "raylet/raylet": "raylet",
    "ray::DashboardAgent": "agent (dashboard)",
    "dashboard/agent.py": "agent (dashboard)",
    "ray::RuntimeEnvAgent": "agent (runtime environments)",
    "runtime_env/agent": "agent (runtime environments)",
    "ray::": "worker",
    "default_worker.py": "worker",
    "dashboard/dashboard.py": "dashboard",
    "ray-dashboard": "dashboard (a part of it)",
    "multiprocessing": "dashboard (a part of it)",
    "log_monitor.py": "log monitor",
    "monitor.py": "autoscaler",
}


def _role(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    return next((role for part, role in _ROLES.items() if part in command), process.name())


def _memory_mb(process: psutil.Process) -> float:
    memory = process.memory_full_info()
    return getattr(memory, "pss", memory.uss) / 2**20


def _private_folder() -> Path:
    folder = _TMP / f"klaw-{os.getpid()}-{secrets.token_hex(2)}"
    folder.mkdir(mode=0o700)
    return folder


def _remove_stale_folders() -> None:
    """Folders of kernels that were killed before they could tidy up."""
    for folder in _TMP.glob("klaw-*-*"):
        pid = folder.name.split("-")[1]
        if pid.isdigit() and not psutil.pid_exists(int(pid)) and folder.stat().st_uid == os.getuid():
            shutil.rmtree(folder, ignore_errors=True)


# --- the environment, and putting it back ----------------------------------------------------------------------------

_before: dict[str, object] = {}


def _set_environment(values: dict[str, str | None], *, loopback: bool = False) -> None:
    if loopback:
        values = {**values, ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0"}
        ray_constants.ENABLE_RAY_CLUSTER = False  # Ray read the variable when it was imported, perhaps before us
        _show_lines(but_not=_START_UP_LINES)
    for name, value in values.items():
        _before.setdefault(name, os.environ.get(name, _UNSET))
        _put(name, _UNSET if value is None else value)
    _reread_environment()


def _restore_environment() -> None:
    for name, value in _before.items():
        _put(name, value)
    _before.clear()
    ray_constants.ENABLE_RAY_CLUSTER = ray_constants.env_bool(
        ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, not ray_constants.IS_WINDOWS_OR_OSX
    )
    _show_lines(but_not=None)
    _reread_environment()


def _show_lines(but_not: str | None) -> None:
    """Let every line of a worker through to the notebook, except one kind; ``None`` gives Ray's own rule back."""
    for lines in (ray_logging.stdout_deduplicator, ray_logging.stderr_deduplicator):
        allow, skip = ray_constants.RAY_DEDUP_LOGS_ALLOW_REGEX, ray_constants.RAY_DEDUP_LOGS_SKIP_REGEX
        if but_not:
            allow, skip = f"^(?!.*(?:{but_not}))", but_not
        lines.allow_re = re.compile(allow) if allow else None
        lines.skip_re = re.compile(skip) if skip else None


def _put(name: str, value) -> None:
    if value is _UNSET:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _reread_environment() -> None:
    """Ray's C++ part keeps its settings and the token from the first time it needed them."""
    from ray._raylet import AuthenticationTokenLoader, Config

    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()
