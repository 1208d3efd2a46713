"""Checkers of lesson 12, Profiling actors."""

import time

import numpy as np
import ray

from klaw_course.check import need
from klaw_course.observe import timeline

_STEP_S = 0.15  # that a step of a band takes, so that it shows whether two run side by side
_WAIT_S = 60


@ray.remote(num_cpus=0)
class _Counted:
    """A game that only counts: the steps of each call."""

    def __init__(self):
        self.calls = []

    def play(self, steps):
        if not isinstance(steps, int) or steps < 1:
            raise ValueError(f"play({steps!r}) was called; a call plays 1 step or more")
        self.calls.append(steps)
        return sum(self.calls)

    def log(self):
        return self.calls


def play_in_batches(answer) -> str:
    need(callable(answer), f"a function is wanted, and this is {answer!r}; write def play_in_batches(...): ...")
    for steps, batch in ((10, 4), (8, 4), (3, 50), (400, 50)):
        game = _Counted.remote()
        try:
            value = answer(game, steps, batch)
        except ray.exceptions.RayTaskError as error:
            need(False, f"with {steps} steps in batches of {batch}, {str(error.cause)}.")
        calls = ray.get(game.log.remote(), timeout=_WAIT_S)
        ray.kill(game)
        said = f"{steps} steps in batches of {batch}: it made {len(calls)} calls, {sum(calls)} steps"
        need(sum(calls) >= steps, f"{said}; the last ones are missing.")
        need(sum(calls) == steps, f"{said}; the last call plays too many.")
        need(max(calls) <= batch, f"{said}, and {max(calls)} steps in one of them.")
        need(len(calls) == -(-steps // batch), f"{said}; {-(-steps // batch)} calls are enough.")
        need(not isinstance(value, ray.ObjectRef), "it returns a reference; the last grid is wanted.")
        need(value is not None, "it gives None; did you forget the return?")
        need(value == steps, "it does not return what the last call gave.")
    return "10 steps are 4, 4 and 2: none is missing, and none is too many."


def hottest(answer) -> str:
    need(callable(answer), f"a function is wanted, and this is {answer!r}; write def hottest(stacks): ...")
    game = {("play", "step", "live_neighbors"): 80, ("play", "step"): 15, ("play",): 5}
    scattered = {("play", "draw"): 30, ("play", "step", "count"): 20, ("play", "check", "count"): 25}
    outermost = {("play",): 60, ("play", "step"): 40}
    for stacks, right in ((game, "live_neighbors"), (scattered, "count"), (outermost, "play")):
        value = answer(dict(stacks))
        need(value is not None, "it gives None; did you forget the return?")
        need(not isinstance(value, tuple), f"it gives {value!r}; the name of the function alone is wanted.")
        need(isinstance(value, str), f"a function's name is wanted, and it gave {value!r}.")
        if value == right:
            continue
        need(
            stacks is not game, f"it gave {value!r}, which is on the stack in many samples, but seldom running itself."
        )
        need(stacks is not scattered, f"it gave {value!r}; 'count' ends two stacks, and has 45 samples of its own.")
        need(False, f"it gave {value!r}; here 'play' is running itself in 60 samples of 100.")
    return "own time: each sample counts for the function that was running, and for no other."


class _Tracked(np.ndarray):
    """An array that notes, in the process where it arrives, that it was sent there."""

    def __reduce__(self):
        return _arrived, (np.array(self),)


_whole_bands: list[tuple] = []  # shapes of those that have arrived in this process


def _arrived(rows):
    if rows.ndim == 2 and len(rows) > 2:  # an edge is one row, or a pair of them
        _whole_bands.append(rows.shape)
    return rows.view(_Tracked)


def _step(grid):
    """A step of the Game of Life on a grid that continues at the opposite edges; it takes a while."""
    time.sleep(_STEP_S)
    grid = np.array(grid)
    count = sum(np.roll(grid, (down, right), (0, 1)) for down in (-1, 0, 1) for right in (-1, 0, 1))
    return ((count == 3) | (grid == 1) & (count == 4)).astype(np.uint8).view(_Tracked)


def play(answer) -> str:
    need(callable(answer), f"a function is wanted, and this is {answer!r}; write def play(step, grid, ...): ...")
    grid = np.random.default_rng(12).integers(0, 2, (11, 9), dtype=np.uint8)
    for bands, steps in ((2, 3), (3, 4)):
        _whole_bands.clear()
        with timeline.record() as run:
            got = answer(_step, grid.copy(), steps, bands)
        _judge_grid(got, grid, steps, bands)
        _judge_run(run, steps, bands)
    return "2 and 3 bands, each in an actor that stays, side by side, and the grid is right."


def _judge_grid(got, grid, steps: int, bands: int) -> None:
    need(got is not None, "it gives None; did you forget the return?")
    need(not isinstance(got, (ray.ObjectRef, list)), f"an array is wanted, and this is a {type(got).__name__}.")
    shape = np.shape(got)
    need(shape == grid.shape, f"the grid has the shape {grid.shape}; with {bands} bands it comes back as {shape}.")
    right = grid
    for _ in range(steps):
        right = _step(right)
    wrong = sorted({int(row) for row in np.argwhere(np.asarray(got) != right)[:, 0]})
    need(not wrong, f"with {bands} bands, after {steps} steps, these rows are wrong: {wrong}. Look at the edges.")


def _judge_run(run, steps: int, bands: int) -> None:
    made = sum(row.kind == "actor creation" for row in run.rows)
    need(made, "it creates no actor; each band is an actor.")
    need(made <= bands, f"it created {made} actors for {bands} bands and {steps} steps: they must stay.")
    need(made == bands, f"it created {made} actors for {bands} bands.")
    sent = len(_whole_bands)
    need(sent < steps * bands, f"whole bands came back {sent} times in {steps} steps: only edges are to travel.")
    computing = [row for row in run.rows if row.kind == "actor task" and _length(row) > _STEP_S / 2]
    need(timeline.at_once(computing) > 1, "one band after another: submit the calls of a step to all bands, then wait.")


def _length(row) -> float:
    first, last = row.spans.get("execute", (row.started, row.ended))
    return 0.0 if first is None or last is None else last - first


CHECKERS = {"12.1": play_in_batches, "12.2": hottest, "12.3": play}
