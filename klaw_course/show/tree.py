"""Calls as a tree: which result is made of which, and which calls are marked."""

from __future__ import annotations

from klaw_course.show.base import BLUE, CARD, INK, VERMILLION, Picture, Text, card


def tree(arguments: dict, labels: dict, marked=(), title: str = "") -> Picture:
    """Draw calls as boxes, arguments on the left, with an arrow from each argument to the call that takes it.

    Args:
        arguments: the name of each call to the names of the calls whose results it takes.
        labels: name to a second line in the box, such as ``"ran once"``.
        marked: names of the calls to mark; their boxes are hatched and of another colour.
        title: a line above the picture.

    Raises:
        ValueError: there are no calls, one takes a result of a call that is not there, or of its own.
    """
    from matplotlib.patches import Rectangle

    columns = _columns(arguments)
    tallest = max(len(names) for names in columns)
    figure = card(0.7 + 0.75 * tallest)
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_title(title, loc="left", color=INK, fontsize=10)
    axes.set_xlim(-0.1, len(columns) * 1.6 - 0.5)
    axes.set_ylim(tallest, 0)
    middle = {}
    for x, names in enumerate(columns):
        for y, name in enumerate(names):
            top = y + (tallest - len(names)) / 2 + 0.15
            look = dict(facecolor=VERMILLION, hatch="///") if name in marked else dict(facecolor=BLUE)
            axes.add_patch(Rectangle((1.6 * x, top), 1, 0.7, edgecolor=CARD, **look))
            ground = dict(facecolor=look["facecolor"], edgecolor="none", pad=1.5)  # a hatching does not cross the text
            text = f"{name}\n{labels.get(name, '')}".strip()
            place = dict(ha="center", va="center", color="white", fontsize=9, bbox=ground)
            axes.text(1.6 * x + 0.5, top + 0.35, text, **place)
            middle[name] = (1.6 * x, top + 0.35)
    for name, taken in arguments.items():
        for argument in taken:
            begin, end = middle[argument], middle[name]
            arrow = dict(arrowstyle="->", color=INK, linewidth=1.2)
            axes.annotate("", end, xytext=(begin[0] + 1, begin[1]), arrowprops=arrow)
    words = f"{title}. Calls and the results that they take.\n{tree_table(arguments, labels, marked)}"
    return Picture(figure, words)


def tree_table(arguments: dict, labels: dict, marked=()) -> Text:
    """Write what ``tree`` draws: a line for each call."""
    from tabulate import tabulate

    columns = _columns(arguments)
    body = [
        [name, labels.get(name, ""), ", ".join(arguments[name]) or "-", "yes" if name in marked else ""]
        for names in columns
        for name in names
    ]
    return Text(tabulate(body, ["call", "", "takes", "marked"], disable_numparse=True))


def _columns(arguments: dict) -> list[list]:
    """Put each call into the column after those of its arguments."""
    if not arguments:
        raise ValueError("There is nothing to draw: 0 calls; give a dictionary of call to the calls that it takes.")
    columns, placed = [], set()
    while len(placed) < len(arguments):
        ready = [name for name in arguments if name not in placed and placed.issuperset(arguments[name])]
        if not ready:
            left = ", ".join(str(name) for name in arguments if name not in placed)
            raise ValueError(f"Cannot draw {left}: they take a call that is not there, or wait for one another.")
        columns.append(ready)
        placed.update(ready)
    return columns
