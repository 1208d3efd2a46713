"""How the helpers show things in a notebook: a text as it is, a picture with words for those who cannot see it.

Five colours of the Okabe-Ito palette keep a contrast of 3:1 on light and on dark; every picture has a light card of its
own. Colour is never the only sign: there is a label, a hatching or a mark besides.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported where it is used, so that the doctor runs where matplotlib is missing
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREEN, BLUE, VERMILLION, PURPLE, GREY = "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#7F7F7F"
CARD, INK, RULE = "#FBFAF7", "#222222", "#D8D5CC"


class Text(str):
    """A text that a notebook shows as it is, not in quotes and with its line breaks."""

    def __repr__(self) -> str:
        return str(self)


class Picture:
    """A figure and its alternative text; as the last expression of a cell it is shown.

    Attributes:
        figure: the matplotlib figure.
        alt: what the picture tells, in words.
    """

    def __init__(self, figure: Figure, alt: str):
        self.figure = figure
        self.alt = alt

    def _repr_png_(self) -> tuple[bytes, dict]:
        png = io.BytesIO()
        # drawn large and shown small: sharp on dense screens; a margin, so that nothing touches the card's edge
        self.figure.savefig(png, format="png", dpi=160, bbox_inches="tight", pad_inches=0.15)
        return png.getvalue(), {"alt": self.alt, "width": int(self.figure.get_figwidth() * 96)}

    def __repr__(self) -> str:
        return self.alt


def lines(rows: dict | list) -> Text:
    """One line for each row of a list, or for each ``key  value`` of a dictionary."""
    if isinstance(rows, dict):
        width = max((len(str(key)) for key in rows), default=0)
        rows = [f"{key!s:{width}}  {value}" for key, value in rows.items()]
    return Text("\n".join(str(row) for row in rows))


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
    from matplotlib.figure import Figure

    if not values:
        raise ValueError("There is nothing to draw: 0 values.")
    figure = Figure(figsize=(9, 0.9 + 0.36 * len(values)), facecolor=CARD, layout="constrained")
    axes = figure.subplots()
    labels = [str(label) for label in values]
    axes.barh(labels, list(values.values()), height=0.6, color=BLUE)
    for y, value in enumerate(values.values()):
        axes.text(value, y, f" {value:.{digits}f}{unit}", va="center", color=INK, fontsize=9)
    if line is not None:
        axes.axvline(line, color=VERMILLION, linestyle="--", linewidth=1.2)
    axes.invert_yaxis()
    axes.set_xlim(0, max([*values.values(), line or 0]) * 1.15 or 1)
    style(axes, title)
    return Picture(figure, f"{title}\n{lines({label: f'{value:.{digits}f}{unit}' for label, value in values.items()})}")


def grid(panels: dict, slots: int, title: str = "", columns: int = 4) -> Picture:
    """Draw nodes as rows of slots, one small panel for each situation, each used slot with what is in it.

    Args:
        panels: caption to node to what sits in its slots: a list of labels, or a number of unnamed things.
        slots: how many slots a node has, such as its CPUs; more things than slots are drawn beyond the row's end.
        title: a line above the panels.
        columns: panels in a row.

    Raises:
        ValueError: there are no panels.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    if not panels:
        raise ValueError("There is nothing to draw: 0 panels.")
    filled = {caption: {node: _labels(what) for node, what in nodes.items()} for caption, nodes in panels.items()}
    columns = min(columns, len(filled))
    rows = -(-len(filled) // columns)
    tallest = max(len(nodes) for nodes in filled.values())
    figure = Figure(figsize=(9, 0.5 + rows * (0.5 + 0.3 * tallest)), facecolor=CARD, layout="constrained")
    figure.suptitle(title, color=INK, fontsize=10)
    widest = max([slots, *(len(labels) for nodes in filled.values() for labels in nodes.values())])
    all_axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in all_axes:
        axes.set_axis_off()
    for axes, (caption, nodes) in zip(all_axes, filled.items(), strict=False):
        axes.set_title(caption, color=INK, fontsize=9)
        axes.set_xlim(-1.6, widest)
        axes.set_ylim(tallest, 0)
        for y, (node, labels) in enumerate(nodes.items()):
            axes.text(-0.15, y + 0.5, node, ha="right", va="center", color=INK, fontsize=8.5)
            for x in range(max(slots, len(labels))):
                used = x < len(labels)
                look = dict(facecolor=BLUE if used else CARD, edgecolor=INK if x < slots else VERMILLION, linewidth=0.7)
                axes.add_patch(Rectangle((x + 0.06, y + 0.1), 0.88, 0.8, **look))
                if used:
                    axes.text(x + 0.5, y + 0.5, labels[x], ha="center", va="center", color="white", fontsize=7.5)
    return Picture(figure, f"{title}. Used slots by node.\n{grid_table(panels)}")


def grid_table(panels: dict) -> Text:
    """The numbers of ``grid``: a line for each panel, with how much sits on each node."""
    from tabulate import tabulate

    nodes = list(dict.fromkeys(node for panel in panels.values() for node in panel))
    body = [[caption, *(len(_labels(panel.get(node, 0))) for node in nodes)] for caption, panel in panels.items()]
    return Text(tabulate(body, headers=["", *nodes]))


def flow(panels: dict, title: str = "") -> Picture:
    """Draw what went into a buffer and what came out of it: two climbing steps, and between them what it holds.

    Args:
        panels: caption to the buffer's log, a list of (second, step): +n for n items in, -n for n items out. The
            panels share the axis of the items, and each begins with the first second of its log.
        title: a line above the panels.

    Raises:
        ValueError: there are no panels, or a log is empty.
    """
    from matplotlib.figure import Figure

    if not panels or not all(panels.values()):
        raise ValueError("There is nothing to draw: no panel, or one without a log.")
    figure = Figure(figsize=(9, 3.4), facecolor=CARD, layout="constrained")
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (caption, log) in zip(all_axes, panels.items(), strict=True):
        seconds, sent, taken = _progress(log)
        axes.fill_between(seconds, taken, sent, step="post", color=BLUE, alpha=0.25, label="held")
        axes.step(seconds, sent, where="post", color=BLUE, label="in")
        axes.step(seconds, taken, where="post", color=VERMILLION, linestyle="--", label="out")
        style(axes, caption)
        axes.set_xlabel("seconds", color=INK, fontsize=9)
    all_axes[0].yaxis.get_major_locator().set_params(integer=True)
    all_axes[0].set_ylabel("items", color=INK, fontsize=9)
    figure.legend(
        *all_axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=3, fontsize=8.5, frameon=False
    )
    figure.suptitle(title, color=INK, fontsize=10)
    return Picture(figure, f"{title}. Items into and out of buffers over time.\n{flow_table(panels)}")


def flow_table(panels: dict) -> Text:
    """The numbers of ``flow``: a line for each panel."""
    from tabulate import tabulate

    lines = []
    for caption, log in panels.items():
        seconds, sent, taken = _progress(log)
        held = max(into - out for into, out in zip(sent, taken, strict=True))
        last_in = max((second for second, (_, step) in zip(seconds[1:], log, strict=True) if step > 0), default=0.0)
        lines.append([caption, sent[-1], taken[-1], held, f"{last_in:.2f}", f"{seconds[-1]:.2f}"])
    return Text(tabulate(lines, ["", "in", "out", "most held", "last in at s", "ends at s"], disable_numparse=True))


def _progress(log: list) -> tuple[list, list, list]:
    seconds, sent, taken = [0.0], [0], [0]
    for second, step in log:
        seconds.append(second - log[0][0])
        sent.append(sent[-1] + max(step, 0))
        taken.append(taken[-1] + max(-step, 0))
    return seconds, sent, taken


def lanes(spans: dict, title: str = "") -> Picture:
    """Draw who was busy when: a lane for each name, a bar for each span, labelled where there is room.

    Args:
        spans: name to a list of (begin, end) or (begin, end, label), in seconds of one clock.
        title: a line above the picture.

    Raises:
        ValueError: there are no spans.
    """
    from matplotlib.figure import Figure

    if not any(spans.values()):
        raise ValueError("There is nothing to draw: 0 spans.")
    began = min(one[0] for of in spans.values() for one in of)
    legible = 0.02 * (max(one[1] for of in spans.values() for one in of) - began)
    figure = Figure(figsize=(9, 0.9 + 0.45 * len(spans)), facecolor=CARD, layout="constrained")
    axes = figure.subplots()
    for y, of in enumerate(spans.values()):
        for begin, end, *label in of:
            axes.barh(y, end - begin, left=begin - began, height=0.6, color=BLUE, edgecolor=CARD, linewidth=0.8)
            text = str(*label) if end - begin > legible else ""
            axes.text((begin + end) / 2 - began, y, text, ha="center", va="center", color="white", fontsize=8)
    axes.set_yticks(range(len(spans)), list(spans))
    axes.invert_yaxis()
    axes.set_xlabel("seconds", color=INK, fontsize=9)
    style(axes, title)
    return Picture(figure, f"{title}. Who was busy when.\n{lanes_table(spans)}")


def lanes_table(spans: dict) -> Text:
    """The numbers of ``lanes``: for each name its spans, when it began and ended, and how much of that it was busy."""
    from tabulate import tabulate

    lines, zero = [], min(one[0] for of in spans.values() for one in of)
    for name, of in spans.items():
        begin, end, busy = min(one[0] for one in of), max(one[1] for one in of), sum(one[1] - one[0] for one in of)
        lines.append([name, len(of), begin - zero, end - zero, 100 * busy / (end - begin)])
    return Text(tabulate(lines, ["", "spans", "from s", "to s", "busy %"], floatfmt=("", "d", ".2f", ".2f", ".0f")))


def _labels(what: int | list) -> list[str]:
    return ["✓"] * what if isinstance(what, int) else [str(label) for label in what]


def style(axes: Axes, title: str = "") -> None:
    """Give axes the look of the course: a light card, dark ink, a faint grid, no frame."""
    axes.set_facecolor(CARD)
    axes.tick_params(colors=INK, length=0, labelsize=8.5)
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if title:
        axes.set_title(title, loc="left", color=INK, fontsize=10)
