"""Submit many calls, a bounded number of them at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator


def in_flight(submit: Callable, items: Iterable, window: int = 1000, batch: int = 100) -> Iterator:
    """Submit a call for each item, ``window`` at a time at most, and yield the results as they complete.

    Args:
        submit: gives the object ref for an item, such as ``f.remote``.
        items: what to submit; may be endless, for an item is taken when there is room for it.
        window: calls in flight at most, 1 or more.
        batch: completed calls to wait for before more are submitted, 1 to ``window``. Each wait goes through the whole
            window, so that a small batch costs CPU; a large one lets workers run out of calls.

    Returns:
        A generator. Of the completed calls it takes a batch, the oldest first. A call's error is raised as by ray.get.

    Raises:
        ValueError: window or batch is out of range; nothing was submitted.
    """
    if window < 1:
        raise ValueError(f"window={window!r} lets no call be in flight; give 1 or more.")
    if not 1 <= batch <= window:
        raise ValueError(f"Cannot wait for batch={batch!r} of {window} calls in flight; give 1 to {window}.")
    return _results(submit, items, window, batch)


def _results(submit: Callable, items: Iterable, window: int, batch: int) -> Iterator:
    """The generator, apart from the checks, which run before the first result is asked for."""
    import ray

    pending = []
    for item in items:
        pending.append(submit(item))
        if len(pending) == window:
            done, pending = ray.wait(pending, num_returns=batch)
            yield from ray.get(done)
    while pending:
        done, pending = ray.wait(pending, num_returns=min(batch, len(pending)))
        yield from ray.get(done)
