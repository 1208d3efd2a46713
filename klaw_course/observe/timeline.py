"""Record what every task did, and when; then count it, print it, draw it.

    with timeline.record() as run:
        ray.get([nap.remote(0.5) for _ in range(6)])
    run.table()
    run.gantt()

The rows come from Ray's state API, which learns of a task's states a little later than they happen: leaving the block
waits for the reports. Everything after that (``table``, ``gantt``, ``stages``) is a pure function of the rows.

Times are in seconds since the block was entered, on the clocks of the processes that report them: of one row, the
owner's clock says when it was submitted and ended, the worker's when it ran. On a cluster of several machines these are
several clocks, whose difference is in every time that is taken from one to the other; ``gantt`` then says so.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import ray

from klaw_course import cluster
from klaw_course.observe.rows import ENDED, STATES, Row, at_once, rows_from, stage_ms, stage_table, table
from klaw_course.show.base import Picture, Text

__all__ = [
    "STATES", "Recording", "Row", "at_once", "gantt", "record", "rows_from", "side_by_side", "stage_ms", "stage_table",
    "stages", "table",
]  # fmt: skip
HIDDEN = "KlawProbe."  # what measures is not recorded; see klaw_course.observe.remote
_LIST_LIMIT = 10_000  # of Ray's state API: it never looks at more tasks than this


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
        """Count how many rows have each value of ``"node"``, ``"worker"``, ``"state"``, ``"name"`` or ``"kind"``."""
        return dict(Counter(getattr(row, attribute) for row in self.rows))

    def at_once(self) -> int:
        """Count the largest number of tasks that were executing at one moment."""
        return at_once(self.rows)

    def table(self) -> Text:
        """Write the rows as a text table."""
        return table(self.rows)

    def gantt(self, title: str = "") -> Picture:
        """Draw the rows by worker over time."""
        return gantt(self.rows, title, until=self.seconds)

    def __repr__(self) -> str:
        return f"<recording of {len(self.rows)} task attempts>"


@contextlib.contextmanager
def record(timeout_s: float = 10.0) -> Iterator[Recording]:
    """Record the tasks of this job that are submitted inside the block.

    Leaving it takes two of Ray's report intervals (0.1 s each on our clusters, 1 s on others) and one question, if by
    then every attempt has been reported to its end; twenty without news, if tasks are still waiting or running. A
    question takes 0.4 s for each 1,000 tasks that the job has had.

    Args:
        timeout_s: the most seconds to wait at the end; what has arrived by then is what you get. Tasks that are still
            waiting or running are rows without an end.

    Returns:
        A context manager that gives a ``Recording``.

    Raises:
        RuntimeError: no cluster was started; or it has no dashboard (the state API is part of that); or more tasks
            ended in the block than the state API lists.
    """
    where = cluster.current()
    recording = Recording()
    began = recording._began
    yield recording
    recording.seconds = time.time() - began
    tasks = [task for task in _reported(where, began * 1000, timeout_s) if not task.name.startswith(HIDDEN)]
    hosts = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes()}
    recording.rows = recording._local + rows_from(tasks, began, where.name_of, hosts.get)


def gantt(rows: Iterable[Row], title: str = "", until: float | None = None) -> Picture:
    """Draw the rows by worker within node; see ``klaw_course.show.gantt.gantt``."""
    from klaw_course.show import gantt as drawing

    return drawing.gantt(rows, title, until)


def side_by_side(recordings: dict[str, Recording | list[Row]], title: str = "") -> Picture:
    """Draw several recordings above one another on one time axis; see ``klaw_course.show.gantt.side_by_side``."""
    from klaw_course.show import gantt as drawing

    return drawing.side_by_side(recordings, title)


def stages(rows: Iterable[Row], title: str = "") -> Picture:
    """Draw where the time of each task went; see ``klaw_course.show.gantt.stages``."""
    from klaw_course.show import gantt as drawing

    return drawing.stages(rows, title)


# --- asking Ray ------------------------------------------------------------------------------------------------------


def _reported(where: cluster.Cluster, since_ms: float, timeout_s: float) -> list:
    """Ask when every process has reported what it knew as the block ended, and again while something is missing."""
    interval_s = 1.0 if where.attached else 0.1
    left = changed = time.monotonic()
    news, unchanged = None, 0
    time.sleep(min(2 * interval_s, timeout_s))
    while True:
        tasks = _tasks_since(where, since_ms, interval_s)
        before, now = news, time.monotonic()
        news = {(task.task_id, task.attempt_number, task.state, task.end_time_ms, _spans(task)) for task in tasks}
        unchanged += 1
        if before is not None and news != before:
            changed, unchanged = now, 0
        # An answer may take seconds itself: what counts is that several were the same.
        is_quiet = now - changed > 20 * interval_s and unchanged > 2
        if _complete(tasks) or is_quiet or now - left > timeout_s:
            return tasks
        time.sleep(interval_s / 2)


def _complete(tasks: list) -> bool:
    """Tell whether every attempt has its end and its spans, and no attempt before it is missing.

    Where there is no task at all, the reports may be late.
    """
    attempts = defaultdict(set)
    for task in tasks:
        attempts[task.task_id].add(task.attempt_number)
    ended = all(task.state in ENDED and task.end_time_ms for task in tasks)
    told = all("task:execute" in _spans(task) or task.state == "FAILED" for task in tasks)
    return bool(tasks) and ended and told and all(len(numbers) == max(numbers) + 1 for numbers in attempts.values())


def _spans(task) -> tuple[str, ...]:
    """Give the names of the spans that its worker has reported, which may come one report after another."""
    return tuple(span["event_name"] for span in (task.profiling_data or {}).get("events", ()))


def _tasks_since(where: cluster.Cluster, since_ms: float, interval_s: float) -> list:
    """List this job's tasks that were created since, beyond the 10,000 tasks that one question of Ray's looks at.

    Asked for a job, Ray looks at any 10,000 of its tasks. Asked for no job, it takes the newest: those that end last
    of those that have ended.
    """
    job = ray.get_runtime_context().get_job_id()
    mine, finished = ("job_id", "=", job), ("state", "=", "FINISHED")
    going = _ask(where, [mine, ("state", "!=", "FINISHED")])
    ended = _ask(where, [mine, finished] if where.attached else [finished])  # your cluster may have other jobs
    if where.attached and len(ended) >= _LIST_LIMIT:
        ended = _ask(where, [finished])
    all_there = len(ended) < _LIST_LIMIT or any(
        task.end_time_ms < since_ms - interval_s * 1000 for task in ended if task.end_time_ms
    )
    if len(going) >= _LIST_LIMIT or not all_there:
        raise RuntimeError(
            f"Rows of this block would be missing: it has more tasks than the {_LIST_LIMIT:,} that Ray's state API "
            "lists; record fewer tasks, in several blocks."
        )
    attempts = {(task.task_id, task.attempt_number): task for task in going + ended}  # one may end in between
    return [task for task in attempts.values() if task.job_id == job and (task.creation_time_ms or 0) >= int(since_ms)]


def _ask(where: cluster.Cluster, filters: list) -> list:
    from ray.util.state import list_tasks
    from ray.util.state.exception import RayStateApiException

    whole = dict(detail=True, limit=_LIST_LIMIT, raise_on_missing_output=False)  # what is missing, our caller finds
    try:
        return list_tasks(address=where.address, filters=filters, **whole)
    except (ConnectionError, RayStateApiException) as error:
        cause = str(error).strip().splitlines()[0]
        raise RuntimeError(f"The state API does not answer ({cause}); start the cluster with its dashboard.") from error
