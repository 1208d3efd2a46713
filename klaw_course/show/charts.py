"""Bars and curves."""

from __future__ import annotations

from klaw_course.show.base import (
    BLUE,
    CARD,
    GREEN,
    GREY,
    INK,
    PURPLE,
    RULE,
    VERMILLION,
    Picture,
    card,
    lines,
    style,
)

_COLOURS, _DASHES, _MARKERS = (BLUE, VERMILLION, GREEN, PURPLE, GREY), ("-", "--", "-.", ":"), "os^Dvx"


def bars(values: dict, title: str, *, unit: str = "", line: float | None = None, digits: int = 1) -> Picture:
    """Draw one bar for each value, with the value at its end.

    Args:
        values: label to value, 0 or more.
        title: what the values are.
        unit: written after each value.
        line: where to draw a dashed line to compare with.
        digits: decimals of the values.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("There is nothing to draw: 0 values; give a dictionary of label to value.")
    figure = card(0.9 + 0.36 * len(values))
    axes = figure.subplots()
    labels = [str(label) for label in values]
    axes.barh(labels, list(values.values()), height=0.6, color=BLUE)
    ground = dict(facecolor=CARD, edgecolor="none", pad=1.5)  # the dashed line ends at a label, and goes on behind it
    for y, value in enumerate(values.values()):
        end = (value, y), (4, 0)  # of the bar; and how far from it, in points
        label = f"{value:.{digits}f}{unit}"
        axes.annotate(label, *end, textcoords="offset points", va="center", color=INK, fontsize=10, bbox=ground)
    if line is not None:
        axes.axvline(line, color=VERMILLION, linestyle="--", linewidth=1.2)
    axes.invert_yaxis()
    axes.set_xlim(0, max([*values.values(), line or 0]) * 1.15 or 1)
    style(axes, title)
    axes.tick_params(labelsize=10)
    return Picture(figure, f"{title}\n{lines({label: f'{value:.{digits}f}{unit}' for label, value in values.items()})}")


def curves(series: dict, title: str, xlabel: str = "seconds", ylabel: str = "MiB of its own") -> Picture:
    """Draw curves, each with its own colour, dash and marker.

    Args:
        series: name to (xs, ys), two sequences of one length.
        title: a line above the picture.
        xlabel: what the xs are, such as ``"calls"``.
        ylabel: what the ys are.

    Raises:
        ValueError: there are no series, or one has no points or not as many xs as ys.
    """
    from tabulate import tabulate

    if not series:
        raise ValueError("There is nothing to draw: 0 series; a watch has samples once its block was entered.")
    for name, (xs, ys) in series.items():
        if not 0 < len(xs) == len(ys):
            raise ValueError(f"The series {name!r} has {len(xs)} xs and {len(ys)} ys; give as many of both, 1 or more.")
    figure = card(3.6)
    axes = figure.subplots()
    for n, (name, (xs, ys)) in enumerate(series.items()):
        look = dict(color=_COLOURS[n % 5], linestyle=_DASHES[n % 4], marker=_MARKERS[n % 6], markersize=5)
        axes.plot(xs, ys, label=name, markevery=None if len(xs) <= 20 else (0.03 * n, 0.12), **look)
    style(axes, title)
    axes.grid(color=RULE, linewidth=0.6)
    axes.set_ylim(bottom=1.05 * min(0, *(min(ys) for _, ys in series.values())))  # from 0: a little growth looks little
    axes.set_xlabel(xlabel, color=INK, fontsize=9)
    axes.set_ylabel(ylabel, color=INK, fontsize=9)
    figure.legend(loc="outside lower left", ncols=4, fontsize=8.5, frameon=False, labelcolor=INK, handlelength=4)
    body = [[name, xs[0], xs[-1], ys[0], max(ys), ys[-1]] for name, (xs, ys) in series.items()]
    headers = [ylabel, f"from ({xlabel})", "to", "first", "peak", "last"]
    return Picture(figure, f"{title}. {ylabel} over {xlabel}.\n{tabulate(body, headers, floatfmt='.4g')}")


def mark_seconds(picture: Picture, marks: list[tuple[float, str]]) -> Picture:
    """Add a dashed line with a text for each moment to curves over seconds, and the moments to their words.

    Args:
        picture: what ``curves`` gave; its figure is changed.
        marks: (second, text) for each line.

    Returns:
        The picture with the marks.
    """
    axes = picture.figure.axes[0]
    last = axes.dataLim.x1
    if marks:  # their texts get room above the curves, in two rows by turns
        axes.set_ylim(top=axes.get_ylim()[1] * 1.15)
    for n, (second, text) in enumerate(marks):
        axes.axvline(second, color=INK, linestyle="--", linewidth=1)
        side, right = ("right", -4) if second > 0.7 * last else ("left", 4)
        place = dict(xycoords=axes.get_xaxis_transform(), xytext=(right, 0), textcoords="offset points")
        ground = dict(facecolor=CARD, edgecolor="none", pad=1)  # opaque: the line of a later mark may run behind a text
        look = dict(va="top", ha=side, color=INK, fontsize=8.5, bbox=ground)
        axes.annotate(text, (second, 0.98 - n % 2 * 0.08), **place, **look)
    words = "".join(f"\nat {second:.1f} s: {text}" for second, text in marks)
    return Picture(picture.figure, picture.alt + words)
