"""Profile one actor while something runs: which of its lines were running, sampled a hundred times a second.

    with profile.record(game) as busy:
        ray.get(game.play.remote(200))
    busy.flame("the game")

py-spy, which is installed with ``ray[default]``, attaches to the actor's process, on the node where that is. Where the
system forbids to attach to a process (macOS without root; Linux with ``kernel.yama.ptrace_scope`` above 0 without the
capability; containers without ``SYS_PTRACE``), a thread inside the actor's process takes the samples instead.
``Profile.how`` says which it was, and why. The course must be installed on the actor's node.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import ray

from klaw_course import cluster
from klaw_course.observe import remote, sampler
from klaw_course.observe.stacks import Frame, Stacks, own, parse, table, total, working
from klaw_course.show.base import Picture, Text

_LONGEST_S = 600  # after which py-spy ends by itself, should nobody end it
_ATTACH_S = 10  # it takes 0.1 s
_ANSWER_S = 30
_WAITED = 0.15  # of the looks; with a core to itself, a process that only calls and waits runs in up to 5 % of them
_attached: dict[int, tuple[subprocess.Popen, Path]] = {}  # of this process: pid that is profiled -> py-spy, its folder


@dataclass
class Profile:
    """What ``record()`` gives; filled when its block has been left.

    Attributes:
        how: who took the samples, of which process, and why not py-spy if it did not.
        node: id of the node where the process is.
        pid: its process id there.
        stacks: each stack that was seen, to the number of samples that had it. Threads that waited are left out.
        asked: how often the profiler looked.
    """

    how: str = ""
    node: str = ""
    pid: int = 0
    stacks: Stacks = field(default_factory=dict)
    asked: int = 0

    @property
    def busy(self) -> float:
        """Give the share of the looks, 0 to 1, at which one of your functions was running."""
        return min(1.0, sum(own(self.stacks).values()) / max(1, self.asked))

    @property
    def hottest(self) -> Frame | None:
        """Give the line that was running itself in the most samples; ``None`` if the process only waited."""
        return next(iter(own(self.stacks)), None)

    def share(self, function: str) -> float:
        """Give the share of the samples, 0 to 1, in which a function ran, itself or through what it had called."""
        return total(self.stacks, function) / max(1, sum(self.stacks.values()))

    def table(self, most: int = 5) -> Text:
        """Write your busiest lines as a text table."""
        return table(self.stacks, most)

    def flame(self, title: str = "") -> Picture:
        """Draw the flame graph.

        Raises:
            ValueError: the process waited: your functions ran in under five samples, or under 15 % of the looks.
        """
        from klaw_course.show.flame import flame

        seen = sum(own(self.stacks).values())
        if seen < 5 or self.busy < _WAITED:
            raise ValueError(
                f"Too little to draw: at {seen} of {self.asked} looks your functions ran in process {self.pid}."
                "\nProfile the process for which it waits, or this one while it works."
            )
        return flame(self.stacks, title)


@contextlib.contextmanager
def record(actor, rate: int = 100, attach: bool = True) -> Iterator[Profile]:
    """Profile an actor while the block runs.

    Args:
        actor: its handle; the actor must have answered a call. Where the samples are taken inside it, it must have
            nothing to do when the block begins.
        rate: samples a second.
        attach: False samples inside the actor even where py-spy could attach.

    Returns:
        A context manager that gives a ``Profile``.

    Raises:
        ValueError: the actor has no process.
        RuntimeError: its node does not answer, or it is busy and nothing can attach to it.
    """
    place = remote.node_and_pid(actor)
    if place is None:
        raise ValueError(f"{actor!r} has no process: it has not begun, or has ended; wait for an answer of it.")
    profile = Profile(node=place[0], pid=place[1])
    with _asking(profile.node) as ask:
        refused = ask(_attach, profile.pid, rate) if attach else "it was not asked to"
        if refused:
            _inside(actor, sampler.start, rate)
        began = time.monotonic()
        try:
            yield profile
        finally:
            seconds = time.monotonic() - began
            profile.stacks = working(_inside(actor, sampler.stop) if refused else parse(ask(_detach, profile.pid)))
        profile.asked = round(rate * seconds)
        where = f"process {profile.pid} on node {cluster.current().name_of(profile.node)}"
        profile.how = f"py-spy record --pid {profile.pid} --rate {rate} --format raw\nattached to {where}"
        if refused:
            profile.how = f"a thread inside {where}, because py-spy did not attach: {refused}"


@contextlib.contextmanager
def _asking(node: str) -> Iterator:
    """Give the function that runs functions on a node: all of them in one process there."""
    if node == remote.this_node():
        yield lambda function, *args: function(*args)
        return
    probe = remote.Probe(node)
    try:
        yield lambda function, *args: probe.ask(function, *args)[1]
    finally:
        probe.end()


def _inside(actor, function, *args):
    """Run a function in an actor's process."""
    try:
        return ray.get(actor.__ray_call__.remote(lambda self: function(*args)), timeout=_ANSWER_S)
    except ray.exceptions.GetTimeoutError:
        raise RuntimeError(
            "Nothing may attach to the actor's process here, and the actor is busy; begin the block before you call it."
        ) from None


def _attach(pid: int, rate: int) -> str:
    """Start py-spy on a process of this machine; return why it does not run, or an empty text."""
    program = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if program is None:
        return "py-spy is not installed"
    folder = Path(tempfile.mkdtemp(prefix="klaw-profile-"))
    command = [program, "record", "--pid", str(pid), "--rate", str(rate), "--format", "raw", "--full-filenames"]
    command += ["--duration", str(_LONGEST_S), "--output", str(folder / "stacks")]
    with open(folder / "said", "w") as said:
        # Ray's workers block SIGINT in the threads that run tasks; py-spy would inherit that, and never end by it.
        mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        try:
            process = subprocess.Popen(
                command, stdout=said, stderr=said, stdin=subprocess.DEVNULL, start_new_session=True
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    _attached[pid] = process, folder
    deadline = time.monotonic() + _ATTACH_S
    while process.poll() is None and time.monotonic() < deadline:
        if "Sampling process" in (folder / "said").read_text():
            return ""
        time.sleep(0.01)
    lines = (folder / "said").read_text().strip().splitlines() or ["it said nothing"]
    _end(pid)
    return lines[0]


def _detach(pid: int) -> str:
    """End py-spy as Ctrl-C would, and return the collapsed stacks that it wrote."""
    process, folder = _attached[pid]
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_ATTACH_S)
    stacks = folder / "stacks"
    text = stacks.read_text() if stacks.exists() else ""
    _end(pid)
    return text


def _end(pid: int) -> None:
    process, folder = _attached.pop(pid)
    if process.poll() is None:
        process.kill()
    process.wait()
    shutil.rmtree(folder, ignore_errors=True)
