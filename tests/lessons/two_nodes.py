"""Two real nodes, started with ``ray start`` as a user would, in a network of their own where the system allows that.

A cluster that ``ray start`` makes listens on every address of the machine. Here it has a network namespace with nothing
but loopback, if the system lets us make one (Linux, as root or with user namespaces); and a token in any case.

As a script this holds the cluster and runs commands beside it: see ``TwoNodes``.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from klaw_course.cluster import host

NEW_NETWORK, NEW_USERS = 0x40000000, 0x10000000  # CLONE_NEWNET, CLONE_NEWUSER of <sched.h>
SET_FLAGS, UP = 0x8914, 0x1  # SIOCSIFFLAGS and IFF_UP, of <linux/sockios.h> and <net/if.h>
PORT, CLIENT_PORT, DASHBOARD_PORT = 26379, 26380, 26381
STORE_BYTES = 400 * 2**20


class TwoNodes:
    """A cluster of two nodes with two CPUs each, and the way to run something beside it.

    Attributes:
        address: its GCS, ``host:port``.
        client_address: the same through Ray Client, ``ray://host:port``.
    """

    address, client_address = f"127.0.0.1:{PORT}", f"ray://127.0.0.1:{CLIENT_PORT}"

    def __enter__(self) -> TwoNodes:
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._holder = subprocess.Popen([sys.executable, __file__], start_new_session=True, **pipes)
        if self._holder.stdout.readline().strip() != "ready":
            self.__exit__()
            raise RuntimeError("The two nodes did not start; run python tests/lessons/two_nodes.py to see why.")
        return self

    def run(self, *command: str, timeout_s: float = 300, **environment: str) -> tuple[int, str]:
        """Run a command in the cluster's network, with its token.

        Args:
            command: a program and its arguments.
            timeout_s: seconds after which it is killed.
            environment: variables that it gets besides.

        Returns:
            Its exit status (124 if it was killed), and what it printed, errors included.
        """
        asked = dict(command=command, timeout_s=timeout_s, environment=environment)
        self._holder.stdin.write(json.dumps(asked) + "\n")
        self._holder.stdin.flush()
        answer = json.loads(self._holder.stdout.readline())
        return answer["status"], answer["printed"]

    def __exit__(self, *_) -> None:
        self._holder.stdin.close()  # the holder ends the nodes
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._holder.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._holder.pid, signal.SIGKILL)
        self._holder.wait()
        self._holder.stdout.close()


def hold() -> None:
    """Start the nodes, then run what is asked for, a line each, until there are no more lines."""
    folder = Path(tempfile.mkdtemp(prefix=f"klaw-{os.getpid()}-two-", dir="/tmp"))
    (folder / "token").touch(mode=0o600)
    (folder / "token").write_text(secrets.token_hex(32))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "KLAW_RAY"))}
    access = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token")}
    started = {"RAY_TMPDIR": str(folder), "TMPDIR": str(folder), "RAY_USAGE_STATS_ENABLED": "0"}
    isolate()
    nodes = []
    try:
        with contextlib.redirect_stdout(sys.stderr), host.turn_to_start():
            start_nodes(nodes, folder, clean | access | started)
        print("ready", flush=True)
        for line in sys.stdin:
            asked = json.loads(line)
            print(json.dumps(answer(asked, clean | access)), flush=True)
    finally:
        for node in reversed(nodes):
            node.terminate()
        for node in nodes:
            node.wait()
        shutil.rmtree(folder, ignore_errors=True)


def start_nodes(nodes: list[subprocess.Popen], folder: Path, environment: dict) -> None:
    """Start the head, then a second node; put the process of each into ``nodes`` as soon as it is there."""
    for arguments in (
        ["--head", f"--port={PORT}", "--node-ip-address=127.0.0.1", f"--ray-client-server-port={CLIENT_PORT}"]
        + ["--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={DASHBOARD_PORT}"],
        [f"--address=127.0.0.1:{PORT}", "--node-ip-address=127.0.0.2"],
    ):
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=2"]
        command += [f"--object-store-memory={STORE_BYTES}", *arguments]
        log = open(folder / f"node-{len(nodes)}.log", "w")  # noqa: SIM115
        nodes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        wait_for_line(folder / f"node-{len(nodes) - 1}.log", "Ray runtime started", nodes[-1])


def answer(asked: dict, environment: dict) -> dict:
    """Run one command and give its status and output."""
    options = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=asked["timeout_s"])
    try:
        done = subprocess.run(asked["command"], env=environment | asked["environment"], **options)
    except subprocess.TimeoutExpired as late:
        printed = late.stdout or b""
        return {"status": 124, "printed": printed.decode() if isinstance(printed, bytes) else printed}
    return {"status": done.returncode, "printed": done.stdout}


def wait_for_line(log: Path, line: str, process: subprocess.Popen, timeout_s: float = 90) -> None:
    """Wait until a log has a line.

    Raises:
        RuntimeError: the process ended before, or the line did not come in time.
    """
    deadline = time.monotonic() + timeout_s
    while line not in log.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"A node did not start; it said:\n{log.read_text()}")
        time.sleep(0.1)


def isolate() -> bool:
    """Give this process a network of its own with loopback only; False where the system does not allow it."""
    if not sys.platform.startswith("linux"):
        return False
    libc, outside = ctypes.CDLL(None, use_errno=True), (os.getuid(), os.getgid())
    if libc.unshare(NEW_NETWORK) != 0:
        if libc.unshare(NEW_USERS | NEW_NETWORK) != 0:
            return False
        for file, line in {"setgroups": "deny", "uid_map": "{0} {0} 1", "gid_map": "{1} {1} 1"}.items():
            Path(f"/proc/self/{file}").write_text(line.format(*outside))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh14x", b"lo", UP))
    return True


if __name__ == "__main__":
    hold()
