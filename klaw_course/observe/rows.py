"""Rows of recorded tasks, and what can be said of them: functions of the rows alone, without Ray or drawing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tabulate import tabulate

from klaw_course.show.base import Text

STATES = ("PENDING_ARGS_AVAIL", "PENDING_NODE_ASSIGNMENT", "SUBMITTED_TO_WORKER", "RUNNING", "FINISHED", "FAILED")
ENDED = ("FINISHED", "FAILED")


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
        host: the address of the machine whose clock says when it ran, or ``None`` if that is not known.
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
    host: str | None = None

    @property
    def submitted(self) -> float | None:
        """Give the second at which its first state was entered."""
        return min(self.times.values(), default=None)

    @property
    def started(self) -> float | None:
        """Give the second at which it began to run."""
        return self.times.get("RUNNING")

    @property
    def ended(self) -> float | None:
        """Give the second at which it was finished or had failed."""
        return next((self.times[state] for state in ENDED if state in self.times), None)


def _second(created_ms: int, began: float) -> float:
    """Give the second of a state. Ray cuts its moment to whole milliseconds, so it may seem to be before the first."""
    second = created_ms / 1000 - began
    return 0.0 if -0.001 <= second < 0 else second


def rows_from(tasks: Iterable, began: float, name_of=str, host_of=lambda node_id: None) -> list[Row]:
    """Turn the state API's answer into rows, in the order in which they were submitted.

    Args:
        tasks: ``ray.util.state.list_tasks(detail=True)``.
        began: the moment that becomes second 0, as ``time.time()`` gives it.
        name_of: turns a node id (hexadecimal text or None) into a name.
        host_of: turns a node id into the address of its machine.
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
        node_id = task.node_id or node_of.get(task.worker_pid)
        times = {
            event["state"]: _second(event["created_ms"], began)
            for event in task.events or ()
            if event["state"] in STATES
        }
        spans = {
            span_names[span["event_name"]]: (span["start_time"] / 1000 - began, span["end_time"] / 1000 - began)
            for span in (task.profiling_data or {}).get("events", ())
            if span["event_name"] in span_names
        }
        error = (task.error_message or "").strip().splitlines()
        rows.append(
            Row(
                task_id=task.task_id,
                attempt=task.attempt_number,
                name=task.name,
                kind=kinds.get(task.type, task.type),
                state=task.state,
                node=name_of(node_id),
                worker=task.worker_pid or None,
                times=times,
                spans=spans,
                error=error[0] if error else task.error_type,
                parent_id=task.parent_task_id,
                cpus=(task.required_resources or {}).get("CPU", 0.0),
                host=host_of(node_id),
            )
        )
    return sorted(rows, key=lambda row: (row.submitted or 0.0, row.started or 0.0, row.attempt))


def at_once(rows: Iterable[Row]) -> int:
    """Count the largest number of rows whose execution overlaps at one moment."""
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
    """Write the rows as a text table: who ran where, and the milliseconds of waiting and running."""
    lines = []
    for row in rows:
        waited = None if row.started is None or row.submitted is None else (row.started - row.submitted) * 1000
        ran = None if row.started is None or row.ended is None else (row.ended - row.started) * 1000
        name = row.name + (f" (attempt {row.attempt + 1})" if row.attempt else "")
        lines.append([name, row.state, row.node, row.worker, row.started, waited, ran])
    headers = ["task", "state", "node", "worker", "start s", "wait ms", "run ms"]
    return Text(tabulate(lines, headers, floatfmt=("", "", "", "", ".2f", ".0f", ".0f"), missingval="-"))


def stage_table(rows: Iterable[Row]) -> Text:
    """Write the numbers of ``stages`` in milliseconds: a column for each task, a line for each stage."""
    rows = list(rows)
    measured = [stage_ms(row) for row in rows]
    names = list(dict.fromkeys(name for parts in measured for name in parts))
    lines = [[name, *(parts.get(name) for parts in measured)] for name in names]
    lines.append(["all of it", *(sum(parts.values()) for parts in measured)])
    headers = ["stage (ms)", *labels(rows)]
    return Text(tabulate(lines, headers, floatfmt=".1f", missingval="-"))


def labels(rows: list[Row]) -> list[str]:
    """Give tasks their names; with numbers only where a name comes twice, for a part of the rows keeps its labels."""
    names = [row.name for row in rows]
    if len(set(names)) == len(names):
        return names
    return [f"{number}. {name}" for number, name in enumerate(names, 1)]


def stage_ms(row: Row) -> dict[str, float]:
    """Split a task's life into the milliseconds of each stage, in order; the parts add up to its whole life.

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
    known = [(stage, second) for stage, second in marks if second is not None]
    return {stage: max(0.0, end - begin) * 1000 for (stage, begin), (_, end) in zip(known, known[1:], strict=False)}
