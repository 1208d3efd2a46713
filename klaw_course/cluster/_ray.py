"""The only file of the course that touches names which Ray does not document.

Each is looked up at its first use. If a Ray lacks one, the error names it, and the Ray that the course was tested with.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import re
import signal
from types import SimpleNamespace

import ray

TESTED = "2.60.0"  # as in pyproject.toml
# What Ray's own processes say whenever they are told how much to log.
_START_UP_LINES = "Set ray log level from environment"


def _found(value, *names: str):
    """What is left of ``value`` when one attribute after the other is taken.

    Raises:
        RuntimeError: this Ray does not have it.
    """
    path = getattr(value, "__name__", type(value).__name__)
    for name in names:
        path += f".{name}"
        if not hasattr(value, name):
            raise RuntimeError(
                f"Ray {ray.__version__} has no {path}, which the course needs; it was tested with Ray {TESTED}."
            )
        value = getattr(value, name)
    return value


@functools.cache
def _module(path: str, *needed: str):
    """A module of Ray that has every name in ``needed``, which is checked once."""
    try:
        module = importlib.import_module(path)
    except ImportError as error:
        raise RuntimeError(
            f"Ray {ray.__version__} has no {path}, which the course needs; it was tested with Ray {TESTED}."
        ) from error
    for name in needed:
        _found(module, name)
    return module


# --- handles and functions -------------------------------------------------------------------------------------------


def is_worker() -> bool:
    """Tell whether this process runs tasks or an actor. (``get_task_id`` would print a warning in a driver.)"""
    module = _module("ray._private.worker", "global_worker", "WORKER_MODE")
    return _found(module.global_worker, "mode") == module.WORKER_MODE


def is_actor_handle(value: object) -> bool:
    """Tell whether a value is the handle of an actor, also through Ray Client."""
    kinds = (_found(ray, "actor", "ActorHandle"), _module("ray.util.client.common").ClientActorHandle)
    return isinstance(value, kinds)


def actor_id(handle) -> str:
    """Give an actor's id as hexadecimal text, as the state API has it.

    Args:
        handle: the actor's handle, also through Ray Client.
    """
    return _found(handle, "_actor_id").hex()


def is_remote_function(value: object) -> bool:
    """Tell whether a value is what ``@ray.remote`` makes of a function."""
    return isinstance(value, _found(ray, "remote_function", "RemoteFunction"))


def function_in(remote_function):
    """Give the Python function in what ``@ray.remote`` made of it."""
    return _found(remote_function, "_function")


# --- starting --------------------------------------------------------------------------------------------------------


def keep_to_loopback(loopback: bool) -> None:
    """Make the next Ray of this process bind to loopback only, or give Ray its own rule back.

    The environment variable that ``loopback_variable`` names must be set, or put back, before.
    """
    constants = _module("ray._private.ray_constants", "ENABLE_RAY_CLUSTER", "IS_WINDOWS_OR_OSX", "env_bool")
    by_itself = constants.env_bool(loopback_variable(), not constants.IS_WINDOWS_OR_OSX)
    constants.ENABLE_RAY_CLUSTER = False if loopback else by_itself  # read when Ray was imported, perhaps before us


def loopback_variable() -> str:
    """Name the variable that, set to ``0``, keeps Ray's processes to loopback; despite its name on Linux, too."""
    return _module("ray._private.ray_constants", "ENABLE_RAY_CLUSTERS_ENV_VAR").ENABLE_RAY_CLUSTERS_ENV_VAR


def read_environment_again() -> None:
    """Make Ray's C++ part forget its settings and the token, which it keeps from the first time it needed them."""
    raylet = _module("ray._raylet", "Config", "AuthenticationTokenLoader")
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


@contextlib.contextmanager
def dashboards_that_ignore_interrupts():
    """Let a dashboard that starts meanwhile ignore SIGINT, which Jupyter sends to all processes that a kernel started.

    Ray blocks that signal in its processes, but the dashboard's parts are started by Python's multiprocessing, which
    unblocks it; they would end, and with them the state API. Workers keep the signal: ``ray.cancel`` needs it.
    """
    services = _module("ray._private.services", "ConsolePopen")
    started_by_ray = services.ConsolePopen

    def start_process(command, *arguments, preexec_fn=None, **options):
        def before_it_runs():
            if preexec_fn:
                preexec_fn()
            if any(part.endswith("dashboard/dashboard.py") for part in command):
                signal.signal(signal.SIGINT, signal.SIG_IGN)

        return started_by_ray(command, *arguments, preexec_fn=before_it_runs, **options)

    services.ConsolePopen = start_process
    try:
        yield
    finally:
        services.ConsolePopen = started_by_ray


def start_one(name: str, **arguments) -> dict:
    """Start one real node and connect to it.

    Args:
        name: of the node.
        arguments: of ``ray.init``.

    Returns:
        What Ray says about its addresses.
    """
    return ray.init(address="local", _node_name=name, **arguments).address_info


def simulation():
    """Make a cluster without a node, to which simulated ones can be added."""
    return _module("ray.cluster_utils", "Cluster").Cluster(shutdown_at_exit=True)


def added_nodes(simulation) -> dict:
    """The nodes that were added after the head of a simulated cluster: name to Ray's node object, sorted by name."""
    return dict(sorted((_found(node, "_ray_params", "node_name"), node) for node in simulation.worker_nodes))


def refuse_to_connect_unasked(message: str) -> None:
    """Make Ray raise an error where it would start or join a cluster by itself, such as at ``.remote()``.

    Args:
        message: what the ``RuntimeError`` says.
    """

    def refuse():
        raise RuntimeError(message)

    hook = _module("ray._private.auto_init_hook", "ray", "enable_auto_connect", "auto_init_ray")
    hook.ray = SimpleNamespace(is_initialized=ray.is_initialized, init=refuse)
    hook.enable_auto_connect = True  # else Ray's own message, which advises ray.init()


# --- object stores ---------------------------------------------------------------------------------------------------


def store_stats(address: str):
    """Ask a raylet what the object stores of all nodes hold together.

    Args:
        address: ``host:port`` of the GCS.

    Returns:
        Ray's message with the statistics, such as ``object_store_bytes_used``.
    """
    api = _module("ray._private.internal_api", "get_memory_info_reply", "get_state_from_address")
    return _found(api.get_memory_info_reply(_state_of(address)), "store_stats")


@functools.lru_cache(maxsize=1)
def _state_of(address: str):
    return _module("ray._private.internal_api", "get_state_from_address").get_state_from_address(address)


# --- what is shown in the notebook -----------------------------------------------------------------------------------


def show_every_line(but_not: str | None = None) -> None:
    """Show every line that a worker prints, not one per pattern, and leave out some of Ray's own reports.

    A line is left out only if it comes from a raylet, the GCS or the autoscaler, or from a worker's *standard error*,
    where Ray's loggers write. What a task or an actor prints is always shown.

    Args:
        but_not: a regular expression; reports that contain it are left out.
    """
    hidden = re.compile(f"{_START_UP_LINES}|{but_not}" if but_not else _START_UP_LINES)
    print_lines, mergers = _print_lines(), _mergers()

    def print_some(batch, *where, **options):
        is_report = batch.get("is_err") or not str(batch.get("pid")).isdigit()  # "raylet", "gcs_server", "autoscaler"
        lines = [line for line in batch.get("lines", []) if not (is_report and hidden.search(line))]
        print_lines({**batch, "lines": lines}, *where, **options)

    _module("ray._private.worker").print_worker_logs = print_some
    for merger in mergers:
        merger.allow_re = re.compile("")


def show_lines_as_ray_does() -> None:
    """Give Ray its own rules about lines back."""
    _module("ray._private.worker").print_worker_logs = _print_lines()
    pattern = _module("ray._private.ray_constants", "RAY_DEDUP_LOGS_ALLOW_REGEX").RAY_DEDUP_LOGS_ALLOW_REGEX
    for merger in _mergers():
        merger.allow_re = re.compile(pattern) if pattern else None


@functools.cache
def _print_lines():
    return _module("ray._private.worker", "print_worker_logs").print_worker_logs  # Ray's own, before it is replaced


def _mergers() -> list:
    logging = _module("ray._private.ray_logging", "stdout_deduplicator", "stderr_deduplicator")
    return [logging.stdout_deduplicator, logging.stderr_deduplicator]
