"""Checkers of lesson 01, Task lifecycle."""

import ray

from klaw_course.check import need
from klaw_course.check.needs import need_free_cpus
from klaw_course.observe import timeline
from klaw_course.observe.timeline import Row


def three_at_once(answer) -> str:
    need(
        hasattr(answer, "remote"), f"a remote function is wanted, and this is {answer!r}; start from nap.options(...)."
    )
    need_free_cpus(2)
    for _ in range(10):
        with timeline.record() as run:
            results = ray.get([answer.remote(0.3) for _ in range(6)])
        cpus = {row.cpus for row in run.rows}
        could = min(6, int(2 / max(cpus))) if max(cpus) else 6
        if run.at_once() >= could or could != 3:
            break  # otherwise three could run, and the worker of the third is still starting
    need(results == [0.3] * 6, f"it returned {results!r}, not the six durations; nap itself should stay as it is.")
    need(could != 2, "still two at a time: each call holds so much that only two fit into two CPUs.")
    need(could > 2, "fewer than before run at a time: each call now asks for more than it did.")
    need(could == 3, f"{could} would fit at a time: each call may hold more than it does now.")
    need(run.at_once() == 3, f"{run.at_once()} at a time; three were wanted.")
    return f"three naps at once on two CPUs, because each holds {max(cpus):g}."


def together(answer) -> str:
    need(callable(answer), f"a function is wanted, and this is {answer!r}; write def together(durations): ...")
    need_free_cpus(2)
    answer([0.01, 0.01])
    durations = [0.5, 0.1, 0.3, 0.2]
    with timeline.record() as run:
        results = answer(durations)
    need(results is not None, "it returned None; did you forget the return?")
    is_refs = isinstance(results, list) and any(isinstance(result, ray.ObjectRef) for result in results)
    need(not is_refs, "it returned references; the results are wanted, so one ray.get is missing.")
    need(run.rows, "no task ran; call nap.remote(seconds), not nap itself.")
    need(isinstance(results, list), f"it returned a {type(results).__name__}; a list is wanted.")
    need(sorted(results) == sorted(durations), f"it returned {results!r} for {durations!r}; each result once.")
    need(results == durations, f"it returned {results!r} for {durations!r}: right values, but not in their order.")
    need(run.at_once() != 1, "one nap at a time: something waits for each task before the next is submitted.")
    need(run.at_once() == 2, f"{run.at_once()} at a time; submit all, then wait once.")
    return "two at a time, and the results in the order of the durations."


def longest_wait(answer) -> str:
    need(callable(answer), f"a function is wanted, and this is {answer!r}; write def longest_wait(rows): ...")
    args, place, sent, run, done = timeline.STATES[:5]
    rows = [
        _row("load", {args: 0.0, place: 0.0, sent: 0.5, run: 0.6, done: 9.0}),
        _row("train", {args: 0.0, place: 3.0, sent: 3.5, run: 3.6, done: 4.0}),
        _row("plot", {args: 1.0, place: 1.0, sent: 3.0, run: 7.5, done: 8.0}),
        _row("report", {args: 2.0}),
    ]
    got = answer(rows)
    shape = isinstance(got, tuple) and len(got) == 3
    need(shape, f"it returned {got!r}; a tuple (name, state, seconds) is wanted.")
    need(got[0] != "load", "it named the task that *ran* longest; only the states that begin with PENDING are waits.")
    from_plot = "it looked until RUNNING; a wait ends when the task enters its next state, whichever that is."
    need(got[0] != "plot", from_plot)
    need(got[0] != "report", "it named a task that never left its state: how long that wait was is not known.")
    need(got[0] == "train", f"it named {got[0]!r}, which is no task in these rows; row.name has the names.")
    need(got[1] == args, f"the task is right, the state {got[1]!r} is not: which state did it leave after the wait?")
    need(abs(got[2] - 3.0) < 1e-6, f"the wait was 3 s, not {got[2]!r}: the next state's second minus this one's.")
    sparse = [_row("a", {place: 1.0, run: 3.0}), _row("b", {args: 0.0, done: 1.0})]
    also = answer(sparse)
    need(also == ("a", place, 2.0), f"for rows that lack states it returned {also!r}, not ('a', {place!r}, 2.0).")
    return "train waited 3 s for its arguments, the longest wait of all."


def _row(name: str, times: dict[str, float]) -> Row:
    return Row(name, 0, name, "task", list(times)[-1], "head", 1, times)


CHECKERS = {"01.1": three_at_once, "01.2": together, "01.3": longest_wait}
