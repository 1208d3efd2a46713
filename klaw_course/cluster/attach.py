"""Connect to a cluster that is the learner's own."""

from __future__ import annotations

import contextlib
import logging
import os
import socket

import ray

from klaw_course.cluster import environment
from klaw_course.cluster.nodes import Cluster


def address_to_attach(address: str | None = None) -> str | None:
    """Give the address to attach to: the argument, else the environment variable ``KLAW_RAY_ADDRESS``, else none.

    Raises:
        ValueError: it has no form that Ray knows.
    """
    address = address if address is not None else os.environ.get("KLAW_RAY_ADDRESS") or None
    if address not in (None, "auto"):
        host, _, port = str(address).removeprefix("ray://").rpartition(":")
        if not (host and port.isdigit()):
            raise ValueError(f"Cannot attach to {address!r}; write 'host:port', 'ray://host:port' or 'auto'.")
    return address


def connect(address: str) -> Cluster:
    """Connect to the cluster at an address.

    Raises:
        ConnectionError: none answers.
    """
    through_client = address.startswith("ray://")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address != "auto":
        try:  # Ray would wait for minutes where nobody listens
            _knock(host, port)
        except OSError as error:
            raise ConnectionError(
                f"Nobody listens at {address!r} ({error}); is the cluster running, and the port right?"
            ) from None
    try:
        environment.set_variables({})
        if host in ("127.0.0.1", "localhost", "[::1]"):
            environment.keep_to_loopback()  # else Ray would look for the cluster at the machine's outer address
        logging.getLogger("ray.client_builder").setLevel(logging.ERROR)  # which logging_level does not reach
        more = {} if through_client else dict(logging_level=logging.ERROR, log_to_driver=True)
        context = _init(address, more)
        info = {"webui_url": context.dashboard_url} if through_client else context.address_info
        url = info["webui_url"] or ""
        url = f"http://{url}" if url and "://" not in url else url
        address = info.get("gcs_address", address)
        # The second is for the state API, which would open a second connection for ray://, and that is not allowed.
        environment.set_variables({"RAY_ADDRESS": address, "RAY_API_SERVER_ADDRESS": url or None})
    except BaseException as error:
        disconnect()
        if not isinstance(error, Exception):
            raise
        cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        cure = "is it running, and RAY_AUTH_MODE=token with its token set here, if it asks for one?"
        raise ConnectionError(f"No cluster answered at {address!r} ({cause}): {cure}") from error
    if through_client:
        print(_lacks(url))
    return Cluster(address, dashboard_url=url, session_dir=info.get("session_dir", ""))


def disconnect() -> None:
    """Leave the cluster, which runs on."""
    try:
        ray.shutdown()
    finally:
        environment.put_back()


def _init(address: str, more: dict) -> object:
    """Call ``ray.init``, up to twice more if the process that the head starts for each ray:// client died at its birth.

    Ray 2.60 forks it from a process full of gRPC threads, and 3 of 147 died before they had written a line. What the
    head says then depends on the moment: that it ended, that it is a zombie, or that nobody answers at its port.
    """
    for last in (False, False, True):
        try:
            return ray.init(address=address, **more)
        except ConnectionError as error:
            if last or "proxier.py" not in str(error):  # where the head starts it
                raise
            ray.shutdown()


def _lacks(url: str) -> str:
    lacks = ["streaming generators", "compiled graphs", "collective groups", "object locations"]
    lacks += ["the nodes' files and processes"]
    try:
        _knock(*url.partition("://")[2].split(":"))
    except (OSError, ValueError, TypeError):
        lacks.insert(0, "the state API (rows of tasks, actors and objects: its dashboard cannot be reached from here)")
    cure = "attach by host:port, on a machine of the cluster, to have them"
    return f"Through ray:// (Ray Client) you do not have {', '.join(lacks[:-1])} and {lacks[-1]}; {cure}."


def _knock(host: str, port: str) -> None:
    with contextlib.closing(socket.create_connection((host.strip("[]"), int(port)), timeout=10)):
        pass
