"""What every picture and text of the course has in common: colours, the card, the frame."""

from __future__ import annotations

import io
from base64 import b64encode
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported when something is drawn, so that workers and the doctor do without it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

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

    def _repr_html_(self) -> str:
        """Give an image tag: neither JupyterLab nor an exported page shows the alternative text of a bare PNG."""
        png = io.BytesIO()
        # drawn large and shown small: sharp on dense screens; a margin, so that nothing touches the card's edge
        self.figure.savefig(png, format="png", dpi=160, bbox_inches="tight", pad_inches=0.15)
        source = f"data:image/png;base64,{b64encode(png.getvalue()).decode()}"
        width = int(self.figure.get_figwidth() * 96)
        return f'<img src="{source}" width="{width}" style="max-width: 100%" alt="{escape(self.alt)}">'

    def __repr__(self) -> str:
        return self.alt


def lines(rows: dict | list) -> Text:
    """Write one line for each row of a list, or for each ``key  value`` of a dictionary."""
    if isinstance(rows, dict):
        width = max((len(str(key)) for key in rows), default=0)
        rows = [f"{key!s:{width}}  {value}" for key, value in rows.items()]
    return Text("\n".join(str(row) for row in rows))


def card(height: float) -> Figure:
    """Make an empty figure with the course's background, 9 inches wide and ``height`` inches high."""
    from matplotlib.figure import Figure

    return Figure(figsize=(9, height), facecolor=CARD, layout="constrained")


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


def legend(figure: Figure, handles: list[Patch], columns: int = 4, **more) -> None:
    """Put a frameless legend below the axes, in at most ``columns`` columns; ``more`` goes to ``Figure.legend``."""
    look = dict(fontsize=8.5, frameon=False, labelcolor=INK) | more
    figure.legend(handles=handles, loc="outside lower left", ncols=min(columns, len(handles)), **look)
