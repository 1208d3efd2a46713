"""How the helpers show things in a notebook: a text as it is, a picture with words for those who cannot see it.

Five colours of the Okabe-Ito palette keep a contrast of 3:1 on light and on dark; every picture has a light card of its
own. Colour is never the only sign: there is a label, a hatching or a mark besides. Nothing here imports Ray, and
matplotlib is imported when something is drawn. The pictures of recorded tasks are in ``klaw_course.show.gantt``.
"""

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
    Text,
    card,
    legend,
    lines,
    style,
)
from klaw_course.show.charts import bars, curves
from klaw_course.show.over_time import flow, flow_table, lanes, lanes_table
from klaw_course.show.slots import grid, grid_table
from klaw_course.show.tree import tree, tree_table

__all__ = [
    "BLUE", "CARD", "GREEN", "GREY", "INK", "PURPLE", "RULE", "VERMILLION", "Picture", "Text", "bars", "card", "curves",
    "flow", "flow_table", "grid", "grid_table", "lanes", "lanes_table", "legend", "lines", "style", "tree",
    "tree_table",
]  # fmt: skip
