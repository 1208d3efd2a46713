"""Start a private cluster, and end it without a trace."""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import signal
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import ray

from klaw_course.cluster import _ray, environment, host, processes
from klaw_course.cluster.nodes import Cluster, Node


def start(nodes: tuple[Node, ...], log_level: str | None, simulate: bool) -> Cluster:
    """Start a private cluster, in its turn.

    Args:
        nodes: one real node, or the head and other simulated ones.
        log_level: how much Ray's processes log; ``None`` leaves that to Ray.
        simulate: make one node a simulated one, too.

    Raises:
        RuntimeError: Ray did not start.
    """
    with _at_interrupt(_interrupt_once), host.turn_to_start():
        host.delete_folders_of_the_dead()
        for another in host.others():
            print(another)
        for attempt in (1, 2):
            folder = host.new_folder()
            simulation = _ray.simulation() if simulate or len(nodes) > 1 else None
            try:
                return _start(nodes, log_level, folder, simulation)
            except BaseException as error:  # an interrupted start leaves nothing, too
                end(folder, simulation)
                if not isinstance(error, Exception):
                    raise
                if attempt == 2 or isinstance(error, (TypeError, ValueError)):
                    raise RuntimeError(f"Ray did not start ({error}); run python -m klaw_course.doctor.") from error
                print("Ray did not start in time; trying once more.")


def _start(nodes: tuple[Node, ...], log_level: str | None, folder: Path, simulation) -> Cluster:
    token, token_file = secrets.token_hex(32), folder / "token"
    token_file.touch(mode=0o600)
    token_file.write_text(token)
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    has_torch = find_spec("torch") is not None
    environment.set_variables(
        {
            "RAY_TMPDIR": str(folder),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token_file),
            "RAY_AUTH_TOKEN": None,
            "RAY_ADDRESS": None,
            "RAY_API_SERVER_ADDRESS": None,
            "RAY_BACKEND_LOG_LEVEL": log_level,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_task_events_report_interval_ms": "100",
            "RAY_idle_worker_killing_time_threshold_ms": "600000",
            "RAY_preload_python_modules": "klaw_course.cluster.groups" if has_torch else None,
            "GLOO_SOCKET_IFNAME": loopback,
            "TP_SOCKET_IFNAME": loopback,
        }
    )
    environment.keep_to_loopback()
    _ray.show_every_line()
    # Without a port, Ray's dashboard takes the first that it gets, from 8265 on: nobody can take it in between.
    head = dict(include_dashboard=True, dashboard_host="127.0.0.1", dashboard_port=None)
    quietly = environment.without_c_messages()
    with environment.scratch_files_in(folder), quietly, _ray.dashboards_that_ignore_interrupts():
        if simulation is None:
            info = _ray.start_one(nodes[0].name, **nodes[0].arguments(), **head, logging_level=logging.ERROR)
        else:
            for node in nodes:
                node.add_to(simulation, **(head if node is nodes[0] else {}))
            info = ray.init(address=simulation.address, logging_level=logging.ERROR).address_info
    environment.set_variables({"RAY_ADDRESS": info["gcs_address"]})
    url, session = f"http://{info['webui_url']}", info["session_dir"]
    return Cluster(
        info["gcs_address"], dashboard_url=url, session_dir=session, token=token, folder=folder, simulation=simulation
    )


def end(folder: Path, simulation) -> None:
    """End every process of a private cluster, started to the end or not, and delete its files.

    Args:
        folder: the private one.
        simulation: Ray's simulated cluster, or ``None``.
    """
    with _at_interrupt(signal.SIG_IGN), contextlib.ExitStack() as whatever_happens:
        whatever_happens.callback(host.delete_folder, folder)
        whatever_happens.callback(environment.put_back)
        family = processes.started_in(folder)
        processes.end(processes.with_role("autoscaler", family))  # asked by Ray, it takes the second that it is given
        for shut_down in (ray.shutdown, simulation.shutdown) if simulation else (ray.shutdown,):
            with contextlib.suppress(Exception):  # of a Ray that is half there; its processes are ended below
                shut_down()
        processes.end(family)
        with contextlib.suppress(FileNotFoundError):  # somebody has deleted the folder
            _delete_semaphores((folder / "owner").stat().st_mtime_ns)


def warm() -> None:
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


@contextlib.contextmanager
def _at_interrupt(handler):
    """Handle Ctrl-C in another way meanwhile. Whoever interrupts does so again; what tidies up must not be cut off."""
    if threading.current_thread() is not threading.main_thread():
        yield  # where no signal arrives
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt_once(*_) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _delete_semaphores(since_ns: int) -> None:
    """Ray 2.60 leaves two semaphores for each experimental channel, named after its raylet and its time."""
    for left in Path("/dev/shm").glob("sem.*"):
        name = re.fullmatch(r"sem\.(?:hdr|obj)(\d+)-(\d+)", left.name)
        if name and int(name[2]) >= since_ns and not processes.runs(int(name[1])):
            with contextlib.suppress(OSError):  # another user's, or gone
                left.unlink()
