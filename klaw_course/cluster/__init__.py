"""Start and stop the cluster a lesson runs on.

``start()`` makes a *private* Ray cluster: it never joins one that happens to run, it listens on loopback only, and a
token in a file that only you can read keeps other accounts of the machine out. ``start(address=...)``, or the
environment variable ``KLAW_RAY_ADDRESS``, connects to a cluster of your own instead; ``stop()`` then only disconnects.
Without a cluster ``.remote()`` is an error, while Ray alone would start or join one, open to the network.

Every line that a worker prints is shown, not one per pattern as Ray does by default, while Ray's own start-up messages
are not. What else is changed, in the environment (all of it is put back by ``stop()``):

    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0   despite its name: on Linux too, Ray then binds to 127.0.0.1 and nothing else
    GLOO_SOCKET_IFNAME, TP_SOCKET_IFNAME  the loopback interface, for PyTorch's groups
    RAY_preload_python_modules            ``groups``, which keeps the meeting place of such a group there, too
    RAY_AUTH_MODE, RAY_AUTH_TOKEN_PATH    a token for both kinds of cluster, in a file with mode 600
    RAY_TMPDIR                            a session folder of our own: no other ``ray.init()`` finds us by chance
    RAY_ADDRESS                           the state API and the ``ray`` command follow it even past ``address=``
    RAY_task_events_report_interval_ms    task states reach the state API after 0.1 s instead of 1 s
    RAY_idle_worker_killing_time...       an idle worker is kept for 10 minutes, not 1 second, so that pictures agree
"""

from __future__ import annotations

import atexit
import contextlib
import re
import textwrap

import ray

from klaw_course import notebook
from klaw_course.cluster import _ray, attach, private
from klaw_course.cluster.nodes import Cluster, Node
from klaw_course.cluster.processes import Process

__all__ = ["Cluster", "Node", "Process", "current", "start", "stop"]
_NONE_RUNS = "No cluster is running; run the lesson's setup cell, which calls cluster.start()."
_current: Cluster | None = None
_ray.refuse_to_connect_unasked(_NONE_RUNS)


def start(
    *nodes: Node,
    address: str | None = None,
    warm: bool | None = None,
    log_level: str | None = None,
    hide: str | None = None,
    simulate: bool = False,
) -> Cluster:
    """Start a private cluster, or attach to one, and print one line about it.

    Calling it again with the same arguments returns the cluster that runs; with others, that one is stopped first.
    Where other clusters start on this machine at the same moment, it waits for its turn.

    Args:
        nodes: nothing for one node with 2 CPUs; one ``Node`` for one real node; several for simulated nodes on this
            machine, the first being the head to which the notebook is connected.
        address: attach instead of starting: ``host:port``, ``auto`` or ``ray://host:port``. The default is the
            environment variable ``KLAW_RAY_ADDRESS``.
        warm: run one short task on every CPU, so that no later picture shows a worker starting. Default: only for
            simulated nodes.
        log_level: how much Ray's processes write to their log files, such as ``"debug"``.
        hide: a regular expression; Ray's own reports that contain it are not shown in the notebook: lines of raylets,
            the GCS and the autoscaler, and what workers write to standard error. For lessons in which processes die on
            purpose, which Ray reports at length. What tasks and actors print is always shown.
        simulate: make the only node a simulated one too, so that others can be added later.

    Returns:
        The running ``Cluster``.

    Raises:
        RuntimeError: this process uses Ray already, through something else than this function; or it did not start.
        ConnectionError: no cluster answers at the address.
        ValueError: the address has no form that Ray knows, two nodes have one name, or ``hide`` is no expression.
    """
    global _current
    address = attach.address_to_attach(address)
    asked = (nodes, address, log_level, hide, simulate)
    if _current is not None and ray.is_initialized() and _current.asked == asked:
        notebook.begin(_current)
        print(f"Already running. {_current}")
        return _current
    if len({node.name for node in nodes}) < len(nodes):
        raise ValueError(f"Two nodes have one name: {', '.join(node.name for node in nodes)}; names must differ.")
    try:
        re.compile(hide or "")
    except re.error as error:
        raise ValueError(f"hide={hide!r} is no regular expression ({error}); see Python's module re.") from None
    if _current is not None:
        stop()
    if ray.is_initialized():
        raise RuntimeError("This process is connected to Ray, but not by cluster.start(); call ray.shutdown() first.")
    atexit.unregister(_stop_quietly)
    try:
        if address is not None:
            _current = attach.connect(address)
            if nodes:
                print("Attached, so the nodes are as you started them, not as the lesson asks.")
        else:
            _current = private.start(nodes or (Node("head"),), log_level, simulate)
        atexit.register(_stop_quietly)  # after Ray's own, so that it runs before them
        _current.asked = asked
        _ray.show_every_line(but_not=hide)
        if warm if warm is not None else _current.simulated:
            private.warm()
        notebook.begin(_current)
    except BaseException:  # an interruption, too
        _end()
        raise
    print(textwrap.fill(str(_current), 75, break_long_words=False, break_on_hyphens=False))  # as wide as a page
    return _current


def stop() -> None:
    """Stop a private cluster and delete its session folder, or disconnect from an attached one. Safe to repeat."""
    cluster = _end()
    if cluster is not None and cluster.attached:
        print("Disconnected; your cluster runs on.")
    elif cluster is not None:
        print("Stopped: no process and no file is left.")


def current() -> Cluster:
    """Give the cluster that ``start()`` started.

    Raises:
        RuntimeError: there is none.
    """
    if _current is None or not ray.is_initialized():
        raise RuntimeError(_NONE_RUNS)
    return _current


def _end() -> Cluster | None:
    global _current
    cluster, _current = _current, None
    try:
        if cluster is not None:
            cluster.ended = True
            if cluster.attached:
                attach.disconnect()
            else:
                private.end(cluster.folder, cluster.simulation)
    finally:
        notebook.end()
    return cluster


def _stop_quietly() -> None:
    """What happens at the end of the kernel, where a print would go nowhere."""
    with contextlib.suppress(Exception), contextlib.redirect_stdout(None):
        stop()
