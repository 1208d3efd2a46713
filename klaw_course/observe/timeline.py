"""Record what every task did, and when; then count it, print it, draw it.

    with timeline.record() as run:
        ray.get([nap.remote(0.5) for _ in range(6)])
    run.table()
    run.gantt()

The rows come from Ray's state API, which learns of a task's states a little later than they happen: leaving the block
waits until nothing changes any more. Everything after that (``table``, ``gantt``, ``stages``) is a pure function of
the rows. Times are in seconds since the block was entered, on the clocks of the processes that report them.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import ray
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from tabulate import tabulate

from klaw_course import cluster
from klaw_course.show import BLUE, CARD, GREEN, GREY, INK, PURPLE, RULE, VERMILLION, Picture, Text, style

STATES = ("PENDING_ARGS_AVAIL", "PENDING_NODE_ASSIGNMENT", "SUBMITTED_TO_WORKER", "RUNNING", "FINISHED", "FAILED")
_ENDED = ("FINISHED", "FAILED")
_LOOKS = [(GREEN, ""), (BLUE, "//"), (PURPLE, ".."), (GREY, "xx"), (GREEN, "\\\\"), (BLUE, "++")]
_STAGE_LOOKS = {
    "waiting for arguments": dict(facecolor=GREY, hatch="xx"),
    "waiting for a worker": dict(facecolor=PURPLE, hatch=""),
    "on the way to the worker": dict(facecolor=BLUE, hatch=""),
    "fetching function and arguments": dict(facecolor=VERMILLION, hatch="//"),
    "running your code": dict(facecolor=GREEN, hatch=""),
    "storing the result": dict(facecolor=GREEN, hatch="\\\\"),
    "telling the owner": dict(facecolor=BLUE, hatch="++"),
}
_ONE_ROW_EACH = 40  # up to here every task has a row of its own, beyond it every worker has one


@dataclass(frozen=True)
class Row:
    """One attempt of one task.

    Attributes:
        task_id: hexadecimal.
        attempt: 0 for the first.
        name: the task's name; for an actor task ``Class.method``.
        kind: ``"task"``, ``"actor task"`` or ``"actor creation"``.
        state: the last state reported, one of ``STATES``.
        node: the name of the node it ran on, ``"-"`` if it was never placed.
        worker: process id of the worker, or ``None``.
        times: state to the second at which it was entered.
        spans: ``"deserialize"``, ``"execute"`` and ``"store"`` to (first, last) second, as far as reported.
        error: the first line of the error, if it failed.
        parent_id: id of the task that submitted it, hexadecimal.
        cpus: logical CPUs that it asked for.
    """

    task_id: str
    attempt: int
    name: str
    kind: str
    state: str
    node: str
    worker: int | None
    times: dict[str, float] = field(default_factory=dict)
    spans: dict[str, tuple[float, float]] = field(default_factory=dict)
    error: str | None = None
    parent_id: str | None = None
    cpus: float = 1.0

    @property
    def submitted(self) -> float | None:
        return min(self.times.values(), default=None)

    @property
    def started(self) -> float | None:
        return self.times.get("RUNNING")

    @property
    def ended(self) -> float | None:
        return next((self.times[state] for state in _ENDED if state in self.times), None)


class Recording:
    """What ``record()`` gives. When its block has been left, ``rows`` and its length in ``seconds`` are filled."""

    def __init__(self):
        self.rows: list[Row] = []
        self.seconds = 0.0
        self._began = time.time()
        self._local: list[Row] = []

    @contextlib.contextmanager
    def local(self, name: str) -> Iterator[None]:
        """Add something that this notebook does itself, without Ray, as a row called ``name``."""
        began = time.time() - self._began
        yield
        ended = time.time() - self._began
        times = {"RUNNING": began, "FINISHED": ended}
        self._local.append(Row("", 0, name, "local", "FINISHED", "this notebook", None, times))

    def count_by(self, attribute: str) -> dict:
        """How many rows have each value of ``"node"``, ``"worker"``, ``"state"``, ``"name"`` or ``"kind"``."""
        return dict(Counter(getattr(row, attribute) for row in self.rows))

    def at_once(self) -> int:
        """The largest number of tasks that were executing at one moment."""
        return at_once(self.rows)

    def table(self) -> Text:
        return table(self.rows)

    def gantt(self, title: str = "") -> Picture:
        return gantt(self.rows, title, until=self.seconds)

    def __repr__(self) -> str:
        return f"<recording of {len(self.rows)} task attempts>"


@contextlib.contextmanager
def record(timeout_s: float = 10.0) -> Iterator[Recording]:
    """Record the tasks of this job that are submitted inside the block.

    Args:
        timeout_s: seconds to wait at the end for the events to settle; what has arrived by then is what you get. Tasks
            that are still waiting or running are rows without an end.

    Returns:
        A context manager that gives a ``Recording``.

    Raises:
        RuntimeError: no cluster was started, or it has no dashboard (the state API is part of that).
    """
    where = cluster.current()
    recording = Recording()
    began = recording._began
    yield recording
    recording.seconds = time.time() - began
    tasks = _settled(where, began * 1000, timeout_s)
    recording.rows = recording._local + rows_from(tasks, began, where.name_of)


def rows_from(tasks: Iterable, began: float, name_of=str) -> list[Row]:
    """Turn the state API's answer into rows, in the order in which they were submitted.

    Args:
        tasks: ``ray.util.state.list_tasks(detail=True)``.
        began: the moment that becomes second 0, as ``time.time()`` gives it.
        name_of: turns a node id (hexadecimal text or None) into a name.
    """
    kinds = {"NORMAL_TASK": "task", "ACTOR_TASK": "actor task", "ACTOR_CREATION_TASK": "actor creation"}
    span_names = {
        "task:deserialize_arguments": "deserialize",
        "task:execute": "execute",
        "task:store_outputs": "store",
    }
    tasks = list(tasks)
    # of the creation of an actor, Ray reports the worker but not its node
    node_of = {task.worker_pid: task.node_id for task in tasks if task.worker_pid and task.node_id}
    rows = []
    for task in tasks:
        times = {e["state"]: e["created_ms"] / 1000 - began for e in task.events or () if e["state"] in STATES}
        spans = {
            span_names[e["event_name"]]: (e["start_time"] / 1000 - began, e["end_time"] / 1000 - began)
            for e in (task.profiling_data or {}).get("events", ())
            if e["event_name"] in span_names
        }
        error = (task.error_message or "").strip().splitlines()
        rows.append(
            Row(
                task_id=task.task_id,
                attempt=task.attempt_number,
                name=task.name,
                kind=kinds.get(task.type, task.type),
                state=task.state,
                node=name_of(task.node_id or node_of.get(task.worker_pid)),
                worker=task.worker_pid or None,
                times=times,
                spans=spans,
                error=error[0] if error else task.error_type,
                parent_id=task.parent_task_id,
                cpus=(task.required_resources or {}).get("CPU", 0.0),
            )
        )
    return sorted(rows, key=lambda row: (row.submitted or 0.0, row.started or 0.0, row.attempt))


def at_once(rows: Iterable[Row]) -> int:
    """The largest number of rows whose execution overlaps at one moment."""
    events = []
    for row in rows:
        first, last = row.spans.get("execute", (row.started, row.ended))
        if first is not None and last is not None:
            events += [(first, 1), (last, -1)]
    running = peak = 0
    for _, step in sorted(events):
        running += step
        peak = max(peak, running)
    return peak


def table(rows: Iterable[Row]) -> Text:
    """The rows as a text table: who ran where, and the milliseconds of waiting and running."""
    lines = []
    for row in rows:
        waited = None if row.started is None or row.submitted is None else (row.started - row.submitted) * 1000
        ran = None if row.started is None or row.ended is None else (row.ended - row.started) * 1000
        name = row.name + (f" (attempt {row.attempt + 1})" if row.attempt else "")
        lines.append([name, row.state, row.node, row.worker, row.started, waited, ran])
    headers = ["task", "state", "node", "worker", "start s", "wait ms", "run ms"]
    return Text(tabulate(lines, headers, floatfmt=("", "", "", "", ".2f", ".0f", ".0f"), missingval="-"))


def gantt(rows: Iterable[Row], title: str = "", until: float | None = None) -> Picture:
    """Draw the rows by worker within node: waiting light, running full, failed in vermillion with a cross.

    Up to 40 rows, each has a line of its own. Beyond that each worker has one line, and light means that at least one
    of the tasks which it ran was waiting.

    Args:
        rows: what to draw, 1 to some hundreds.
        title: a line above the picture.
        until: second at which tasks without an end are cut off; default: the last second known.

    Returns:
        A ``Picture``; as the last expression of a cell it is shown.

    Raises:
        ValueError: there are no rows.
    """
    return _gantts({title: list(rows)}, until=until)


def side_by_side(recordings: dict[str, Recording | list[Row]], title: str = "") -> Picture:
    """Draw several recordings above one another on one time axis.

    Args:
        recordings: a caption to a recording, or to its rows.
        title: a line above the pictures.

    Raises:
        ValueError: there is nothing to draw.
    """
    until = max((getattr(part, "seconds", 0.0) for part in recordings.values()), default=0.0)
    return _gantts({str(name): list(getattr(part, "rows", part)) for name, part in recordings.items()}, title, until)


def stages(rows: Iterable[Row], title: str = "") -> Picture:
    """Draw where the time of each task went, one bar a task, cut into its stages. ``stage_table`` gives the numbers.

    Raises:
        ValueError: there are no rows.
    """
    measured = [(row, stage_ms(row)) for row in rows]
    _need_rows({"": measured})
    names = list(dict.fromkeys(name for _, parts in measured for name in parts))
    figure = Figure(figsize=(9, 1.6 + 0.45 * len(measured)), facecolor=CARD, layout="constrained")
    axes = figure.subplots()
    for y, (_, parts) in enumerate(measured):
        left = 0.0
        for name, ms in parts.items():
            axes.barh(y, ms, left=left, height=0.6, edgecolor=CARD, linewidth=0.5, **_STAGE_LOOKS[name])
            left += ms
        axes.text(left, y, f" {left:.1f} ms", va="center", color=INK, fontsize=9)
    labels = [f"{number}. {row.name}" for number, (row, _) in enumerate(measured, 1)]
    axes.set_yticks(range(len(measured)), labels)
    axes.invert_yaxis()
    axes.set_xlim(0, max(sum(parts.values()) for _, parts in measured) * 1.15 or 1)
    axes.set_xlabel("milliseconds since it was submitted", color=INK, fontsize=9)
    style(axes, title)
    _legend(figure, [Patch(edgecolor=CARD, label=name, **_STAGE_LOOKS[name]) for name in names])
    return Picture(figure, f"{title}. Stages of a task as bars.\n{stage_table([row for row, _ in measured])}")


def stage_table(rows: Iterable[Row]) -> Text:
    """The numbers of ``stages`` in milliseconds: a column for each task, a line for each stage."""
    rows = list(rows)
    measured = [stage_ms(row) for row in rows]
    names = list(dict.fromkeys(name for parts in measured for name in parts))
    lines = [[name, *(parts.get(name) for parts in measured)] for name in names]
    lines.append(["all of it", *(sum(parts.values()) for parts in measured)])
    headers = ["stage (ms)", *(f"{number}. {row.name}" for number, row in enumerate(rows, 1))]
    return Text(tabulate(lines, headers, floatfmt=".1f", missingval="-"))


def stage_ms(row: Row) -> dict[str, float]:
    """The milliseconds that a task spent in each stage, in order; the parts add up to its whole life.

    A stage lasts until the next one that was reported begins. The owner and the worker report the states, the worker
    the spans; both come from ``ray.util.state`` (``events`` and ``profiling_data`` of a task).
    """
    execute, store = (row.spans.get(name, (None, None)) for name in ("execute", "store"))
    marks = [
        ("waiting for arguments", row.times.get("PENDING_ARGS_AVAIL")),
        ("waiting for a worker", row.times.get("PENDING_NODE_ASSIGNMENT")),
        ("on the way to the worker", row.times.get("SUBMITTED_TO_WORKER")),
        ("fetching function and arguments", row.started if execute[0] is not None else None),
        ("running your code", row.started if execute[0] is None else execute[0]),
        ("storing the result", store[0]),
        ("telling the owner", store[1]),
        ("", row.ended),
    ]
    known = [(stage, at) for stage, at in marks if at is not None]
    return {stage: max(0.0, end - begin) * 1000 for (stage, begin), (_, end) in zip(known, known[1:], strict=False)}


# --- asking Ray ------------------------------------------------------------------------------------------------------


def _settled(where: cluster.Cluster, since_ms: float, timeout_s: float) -> list:
    """Ask until the answer stops changing. Ray reports every 0.1 s on our clusters, every second on others."""
    quiet_s = 3.0 if where.attached else 0.6
    deadline = time.monotonic() + timeout_s
    seen, changed = None, time.monotonic()
    while True:
        tasks = _tasks_since(where, since_ms)
        state = {(t.task_id, t.attempt_number, t.state, bool(t.end_time_ms), _spans(t)) for t in tasks}
        if state != seen:
            seen, changed = state, time.monotonic()
        complete = all(t.state in _ENDED and t.end_time_ms and (_spans(t) or t.state == "FAILED") for t in tasks)
        quiet = time.monotonic() - changed
        if (quiet > quiet_s and complete) or quiet > 3 * quiet_s or time.monotonic() > deadline:
            return tasks
        time.sleep(0.05)


def _tasks_since(where: cluster.Cluster, since_ms: float) -> list:
    from ray.util.state import list_tasks
    from ray.util.state.exception import RayStateApiException

    job = ray.get_runtime_context().get_job_id()
    try:
        tasks = list_tasks(address=where.address, filters=[("job_id", "=", job)], detail=True, limit=10_000)
    except (ConnectionError, RayStateApiException) as error:
        cause = str(error).strip().splitlines()[0]
        raise RuntimeError(f"The state API does not answer ({cause}); start the cluster with its dashboard.") from error
    return [t for t in tasks if (t.creation_time_ms or 0) >= int(since_ms)]


def _spans(task) -> int:
    return len((task.profiling_data or {}).get("events", ()))


# --- drawing ---------------------------------------------------------------------------------------------------------


def _need_rows(parts: dict[str, list]) -> None:
    for caption, rows in parts.items() or [("", [])]:
        if not rows:
            where = f" for {caption!r}" if caption else ""
            raise ValueError(f"There is nothing to draw{where}: 0 rows; submit tasks inside the record() block.")


def _gantts(parts: dict[str, list[Row]], title: str = "", until: float | None = None) -> Picture:
    _need_rows(parts)
    rows = [row for part in parts.values() for row in part]
    looks = {name: _LOOKS[n % len(_LOOKS)] for n, name in enumerate(dict.fromkeys(row.name for row in rows))}
    now = max([until or 0.0, 0.01, *(at for row in rows for at in row.times.values())])
    lanes = [_lanes(part) for part in parts.values()]
    heights = [max(0.27 * len(lane), 0.5) + 0.4 for lane in lanes]
    figure = Figure(figsize=(9, sum(heights) + 0.8), facecolor=CARD, layout="constrained")
    all_axes = figure.subplots(len(parts), height_ratios=heights, sharex=True, squeeze=False)
    for axes, caption, lane in zip(all_axes[:, 0], parts, lanes, strict=True):
        for y, (_, _, members) in enumerate(lane):
            _draw_lane(axes, y, members, looks, now)
        _label_lanes(axes, lane)
        axes.set_ylim(len(lane) - 0.4, -0.6)
        axes.set_xlim(0, now * 1.03)
        style(axes, caption)
    all_axes[-1, 0].set_xlabel("seconds", color=INK, fontsize=9)
    if title:
        figure.suptitle(title, color=INK, fontsize=11)
    handles = [
        Patch(facecolor=color, hatch=hatch, edgecolor=CARD, label=name)
        for name, (color, hatch) in list(looks.items())[: len(_LOOKS)]
    ]
    handles.append(Patch(facecolor=GREY, alpha=0.25, label="light: waiting"))
    if any(row.state == "FAILED" for row in rows):
        handles.append(Patch(facecolor=VERMILLION, hatch="xx", edgecolor=CARD, label="✗ failed"))
    _legend(figure, handles)
    tables = "\n".join(f"{caption}\n{table(part)}" for caption, part in parts.items())
    return Picture(figure, f"{title}. Tasks as bars over time, by worker.\n{tables}")


def _lanes(rows: list[Row]) -> list[tuple[str, int | None, list[Row]]]:
    """(node, worker, rows) from top to bottom: a row each, or a worker each if there are many."""
    far = float("inf")
    groups: dict[tuple, list[Row]] = {}
    for row in sorted(rows, key=lambda r: (r.node == "-", r.node, r.worker or far, r.started or r.submitted or 0.0)):
        groups.setdefault((row.node, row.worker), []).append(row)
    if len(rows) > _ONE_ROW_EACH:
        return [(node, worker, group) for (node, worker), group in groups.items()]
    return [(node, worker, [row]) for (node, worker), group in groups.items() for row in group]


def _draw_lane(axes, y: int, rows: list[Row], looks: dict, now: float) -> None:
    begin = min((row.submitted for row in rows if row.submitted is not None), default=0.0)
    end = max(_first(row.started, row.ended, now) for row in rows)
    tint = looks[rows[0].name][0] if rows[0].state != "FAILED" or len(rows) > 1 else VERMILLION
    axes.barh(y, end - begin, left=begin, height=0.5, color=tint, alpha=0.25, linewidth=0)
    for row in rows:
        color, hatch = (VERMILLION, "xx") if row.state == "FAILED" else looks[row.name]
        if row.started is not None:
            width = max(_first(row.ended, now) - row.started, now / 400)
            edge = 0.6 if len(rows) < 20 else 0.25
            bar = dict(color=color, hatch=hatch, edgecolor=CARD, linewidth=edge)
            axes.barh(y, width, left=row.started, height=0.78, **bar)
        if row.state == "FAILED":
            at = _first(row.ended, now)
            axes.text(at, y, " ✗", va="center", ha="left", color=VERMILLION, fontsize=10, fontweight="bold")


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)


def _label_lanes(axes, lanes) -> None:
    ticks, labels, first = [], [], 0
    while first < len(lanes):
        node, worker, _ = lanes[first]
        last = first
        while last + 1 < len(lanes) and lanes[last + 1][:2] == (node, worker):
            last += 1
        ticks.append((first + last) / 2)
        place = "not placed" if node == "-" else node
        labels.append(place if worker is None else f"{place} · worker {worker}")
        if last + 1 < len(lanes):
            axes.axhline(last + 0.5, color=INK if lanes[last + 1][0] != node else RULE, linewidth=0.8)
        first = last + 1
    axes.set_yticks(ticks, labels)


def _legend(figure: Figure, handles: list[Patch]) -> None:
    columns = min(4, len(handles))
    figure.legend(handles=handles, loc="outside lower left", ncols=columns, fontsize=8.5, frameon=False, labelcolor=INK)
