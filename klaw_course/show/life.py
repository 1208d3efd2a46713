"""The Game of Life, moving: its generations as an animated picture, and as words."""

from __future__ import annotations

import io
from base64 import b64encode
from html import escape

from klaw_course.show.base import BLUE, CARD, INK, RULE, Text, card, style

_GLIDER = [(0, 1), (1, 2), (2, 0), (2, 1), (2, 2)]


def gliders(size: int) -> list[list[int]]:
    """Make a square grid of 0 and 1 with a glider, five live cells, in every eighth row along its diagonal.

    Args:
        size: its rows, and its columns; at least 8.
    """
    grid = [[0] * size for _ in range(size)]
    for corner in range(0, size - 2, 8):
        for row, column in _GLIDER:
            grid[corner + row][corner + column] = 1
    return grid


class Animation:
    """An animated GIF and its words; as the last expression of a cell it is shown. It needs no network and no script.

    Attributes:
        gif: the bytes of the file.
        alt: what it tells, in words.
    """

    def __init__(self, gif: bytes, alt: str):
        self.gif = gif
        self.alt = alt

    def _repr_html_(self) -> str:
        """Give an image tag with the words."""
        source = f"data:image/gif;base64,{b64encode(self.gif).decode()}"
        return f'<img src="{source}" width="360" style="max-width: 100%" alt="{escape(self.alt)}">'

    def __repr__(self) -> str:
        return self.alt


def animate(generations: list, title: str = "", seconds: float = 0.15) -> Animation:
    """Draw generations of the Game of Life one after another, again and again.

    Args:
        generations: grids of 0 (dead) and 1 (alive), rows of cells; the first is generation 0.
        title: a line above the picture; the number of the generation follows it.
        seconds: how long each is shown.

    Returns:
        An ``Animation``.

    Raises:
        ValueError: there are no generations.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import ListedColormap
    from numpy import asarray
    from PIL import Image

    if not len(generations):
        raise ValueError("There is nothing to draw: 0 generations; give a list of grids.")
    figure = card(3.9)
    figure.set_figwidth(3.75)
    axes = figure.subplots()
    image = axes.imshow(generations[0], cmap=ListedColormap([CARD, BLUE]), vmin=0, vmax=1)
    style(axes)
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set(visible=True, color=RULE)
    canvas, frames = FigureCanvasAgg(figure), []
    for number, grid in enumerate(generations):
        image.set_data(grid)
        axes.set_title(f"{title}: generation {number}", loc="left", color=INK, fontsize=10)
        canvas.draw()
        # 32 colours are enough for two and the edges of the letters
        frames.append(Image.fromarray(asarray(canvas.buffer_rgba())).convert("RGB").quantize(32))
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=int(1000 * seconds), loop=0)
    return Animation(file.getvalue(), f"{title}, moving.\n{life_table(generations)}")


def life_table(generations: list, every: int = 4) -> Text:
    """Write a line for each ``every``-th generation: how many cells live, and the row and column of the topmost one.

    Args:
        generations: grids of 0 and 1.
        every: after how many generations the next line comes.
    """
    from tabulate import tabulate

    body = []
    for number in range(0, len(generations), every):
        alive = [(r, c) for r, row in enumerate(generations[number]) for c, cell in enumerate(row) if cell]
        body.append([number, len(alive), *min(alive, default=("-", "-"))])
    return Text(tabulate(body, ["generation", "alive", "top row", "column"]))
