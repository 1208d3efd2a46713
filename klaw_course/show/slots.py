"""Nodes as rows of slots: what sits where."""

from __future__ import annotations

from klaw_course.show.base import BLUE, CARD, INK, VERMILLION, Picture, Text, card


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
    if not panels:
        raise ValueError("There is nothing to draw: 0 panels; give a dictionary of caption to nodes.")
    filled = {caption: {node: _labels(load) for node, load in nodes.items()} for caption, nodes in panels.items()}
    columns = min(columns, len(filled))
    rows = -(-len(filled) // columns)
    tallest = max(len(nodes) for nodes in filled.values())
    figure = card(0.5 + rows * (0.5 + 0.3 * tallest))
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
            _draw_slots(axes, y, labels, slots)
    return Picture(figure, f"{title}. Used slots by node.\n{grid_table(panels)}")


def grid_table(panels: dict) -> Text:
    """Write the numbers of ``grid``: a line for each panel, with how much sits on each node."""
    from tabulate import tabulate

    nodes = list(dict.fromkeys(node for panel in panels.values() for node in panel))
    body = [[caption, *(len(_labels(panel.get(node, 0))) for node in nodes)] for caption, panel in panels.items()]
    return Text(tabulate(body, headers=["", *nodes]))


def _draw_slots(axes, y: int, labels: list[str], slots: int) -> None:
    from matplotlib.patches import Rectangle

    for x in range(max(slots, len(labels))):
        used = x < len(labels)
        look = dict(facecolor=BLUE if used else CARD, edgecolor=INK if x < slots else VERMILLION, linewidth=0.7)
        axes.add_patch(Rectangle((x + 0.06, y + 0.1), 0.88, 0.8, **look))
        if used:
            axes.text(x + 0.5, y + 0.5, labels[x], ha="center", va="center", color="white", fontsize=7.5)


def _labels(load: int | list) -> list[str]:
    return ["✓"] * load if isinstance(load, int) else [str(label) for label in load]
