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
