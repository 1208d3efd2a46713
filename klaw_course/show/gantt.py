"""Recorded tasks as bars: by worker over time, several recordings above one another, one task cut into stages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from klaw_course.observe.rows import Row, labels, stage_ms, stage_table, table
from klaw_course.show.base import BLUE, CARD, GREEN, GREY, INK, PURPLE, RULE, VERMILLION, Picture, card, legend, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
_WAITING = 0.25  # how much of a colour is left where a task waits
_CLOCKS = "These nodes are on several machines, each with a clock of its own: compare times within a machine."


def gantt(rows: Iterable[Row], title: str = "", until: float | None = None) -> Picture:
    """Draw the rows by worker within node: waiting light, running full, failed in vermillion with a cross.

    Up to 40 rows, each has a line of its own. Beyond that each worker has one line, and light means that at least one
    of the tasks which it ran was waiting. If the rows come from several machines, a note says so.

    Args:
        rows: what to draw, 1 to some hundreds.
        title: a line above the picture.
        until: second at which tasks without an end are cut off; default: the last second known.

    Returns:
        A ``Picture``; as the last expression of a cell it is shown.

    Raises:
        ValueError: there are no rows.
    """
    return _draw({title: list(rows)}, until=until)


def side_by_side(recordings: dict, title: str = "") -> Picture:
    """Draw several recordings above one another on one time axis.

    Args:
        recordings: a caption to a ``Recording``, or to its rows.
        title: a line above the pictures.

    Raises:
        ValueError: there is nothing to draw.
    """
    until = max((getattr(part, "seconds", 0.0) for part in recordings.values()), default=0.0)
    return _draw({str(name): list(getattr(part, "rows", part)) for name, part in recordings.items()}, title, until)


def stages(rows: Iterable[Row], title: str = "") -> Picture:
    """Draw where the time of each task went, one bar a task, cut into its stages. ``stage_table`` gives the numbers.

    Raises:
        ValueError: there are no rows.
    """
    from matplotlib.patches import Patch

    measured = [(row, stage_ms(row)) for row in rows]
    _need_rows({"": measured})
    names = list(dict.fromkeys(name for _, parts in measured for name in parts))
    figure = card(1.6 + 0.45 * len(measured))
    axes = figure.subplots()
    for y, (_, parts) in enumerate(measured):
        left = 0.0
        for name, ms in parts.items():
            axes.barh(y, ms, left=left, height=0.6, edgecolor=CARD, linewidth=0.5, **_STAGE_LOOKS[name])
            left += ms
        axes.text(left, y, f" {left:.1f} ms", va="center", color=INK, fontsize=9)
    axes.set_yticks(range(len(measured)), labels([row for row, _ in measured]))
    axes.invert_yaxis()
    axes.set_xlim(0, max(sum(parts.values()) for _, parts in measured) * 1.15 or 1)
    axes.set_xlabel("milliseconds since it was submitted", color=INK, fontsize=9)
    style(axes, title)
    legend(figure, [Patch(edgecolor=CARD, label=name, **_STAGE_LOOKS[name]) for name in names])
    return Picture(figure, f"{title}. Stages of a task as bars.\n{stage_table([row for row, _ in measured])}")


def _need_rows(parts: dict[str, list]) -> None:
    for caption, rows in parts.items() or [("", [])]:
        if not rows:
            where = f" for {caption!r}" if caption else ""
            raise ValueError(f"There is nothing to draw{where}: 0 rows; submit tasks inside the record() block.")


def _draw(parts: dict[str, list[Row]], title: str = "", until: float | None = None) -> Picture:
    _need_rows(parts)
    rows = [row for part in parts.values() for row in part]
    looks = {name: _LOOKS[n % len(_LOOKS)] for n, name in enumerate(dict.fromkeys(row.name for row in rows))}
    now = max([until or 0.0, 0.01, *(second for row in rows for second in row.times.values())])
    lanes = [_lanes(part) for part in parts.values()]
    heights = [max(0.27 * len(lane), 0.5) + 0.4 for lane in lanes]
    figure = card(sum(heights) + 0.8)
    all_axes = figure.subplots(len(parts), height_ratios=heights, sharex=True, squeeze=False)
    for axes, caption, lane in zip(all_axes[:, 0], parts, lanes, strict=True):
        for y, (_, _, members) in enumerate(lane):
            _draw_lane(axes, y, members, looks, now)
        _label_lanes(axes, lane)
        axes.set_ylim(len(lane) - 0.4, -0.6)
        axes.set_xlim(0, now * 1.03)
        style(axes, caption)
        axes.tick_params(labelsize=10)
    note = _CLOCKS if len({row.host for row in rows if row.host}) > 1 else ""
    all_axes[-1, 0].set_xlabel(f"seconds\n{note}".strip(), color=INK, fontsize=9)
    if title:
        figure.suptitle(title, color=INK, fontsize=11)
    _explain_looks(figure, looks, any(row.state == "FAILED" for row in rows))
    tables = "\n".join(f"{caption}\n{table(part)}" for caption, part in parts.items())
    said = (f"{title}. " if title else "") + f"Tasks as bars over time, by worker. {note}".rstrip()
    return Picture(figure, f"{said}\n{tables}")


def _explain_looks(figure, looks: dict, failures: bool) -> None:
    from matplotlib.legend_handler import HandlerTuple
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=color, hatch=hatch, edgecolor=CARD, label=name)
        for name, (color, hatch) in list(looks.items())[: len(_LOOKS)]
    ]
    if failures:
        handles.append(Patch(facecolor=VERMILLION, hatch="xx", edgecolor=CARD, label="✗ failed"))
    colors = dict.fromkeys(handle.get_facecolor()[:3] for handle in handles)
    waiting = tuple(Patch(facecolor=color, alpha=_WAITING) for color in colors)  # drawn as one patch of all colours
    labels = [*(handle.get_label() for handle in handles), "light: waiting"]
    one_patch = {tuple: HandlerTuple(ndivide=None, pad=0)}
    legend(figure, [*handles, waiting], labels=labels, handler_map=one_patch, fontsize=10)


def _lanes(rows: list[Row]) -> list[tuple[str, int | None, list[Row]]]:
    """Group into (node, worker, rows) from top to bottom: a row each, or a worker each if there are many."""
    far = float("inf")
    groups: dict[tuple, list[Row]] = {}
    for row in sorted(rows, key=lambda r: (r.node == "-", r.node, r.worker or far, r.started or r.submitted or 0.0)):
        groups.setdefault((row.node, row.worker), []).append(row)
    if len(rows) > _ONE_ROW_EACH:
        return [(node, worker, group) for (node, worker), group in groups.items()]
    return [(node, worker, [row]) for (node, worker), group in groups.items() for row in group]


def _draw_lane(axes: Axes, y: int, rows: list[Row], looks: dict, now: float) -> None:
    begin = min((row.submitted for row in rows if row.submitted is not None), default=0.0)
    end = max(_first(row.started, row.ended, now) for row in rows)
    tint = looks[rows[0].name][0] if rows[0].state != "FAILED" or len(rows) > 1 else VERMILLION
    axes.barh(y, end - begin, left=begin, height=0.5, color=tint, alpha=_WAITING, linewidth=0)
    for row in rows:
        color, hatch = (VERMILLION, "xx") if row.state == "FAILED" else looks[row.name]
        if row.started is not None:
            width = max(_first(row.ended, now) - row.started, now / 400)
            edge = 0.6 if len(rows) < 20 else 0.25
            bar = dict(color=color, hatch=hatch, edgecolor=CARD, linewidth=edge)
            axes.barh(y, width, left=row.started, height=0.78, **bar)
        if row.state == "FAILED":
            end = _first(row.ended, now)
            axes.text(end, y, " ✗", va="center", ha="left", color=VERMILLION, fontsize=10, fontweight="bold")


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)


def _label_lanes(axes: Axes, lanes: list) -> None:
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
