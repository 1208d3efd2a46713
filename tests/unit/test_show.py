"""Texts and pictures of values: what is drawn, and the words for it; without Ray."""

from __future__ import annotations

import subprocess
import sys
from base64 import b64decode
from xml.etree import ElementTree

import numpy
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from klaw_course.observe.rows import Row
from klaw_course.show import (
    BLUE,
    GREEN,
    VERMILLION,
    Picture,
    bars,
    curves,
    flow,
    flow_table,
    gantt,
    grid,
    grid_table,
    lanes,
    lanes_table,
    tree,
    tree_table,
)


def test_bars_show_every_value():
    picture = bars({"a": 1.0, "b": 2.5}, "title", unit=" s", line=1.0)
    assert picture.alt.splitlines() == ["title", "a  1.0 s", "b  2.5 s"]
    with pytest.raises(ValueError, match="0 values"):
        bars({}, "title")


def test_the_line_of_bars_does_not_run_through_their_labels():
    figure = bars({"a": 0.02, "b": 0.98, "c": 1.0, "d": 2.5}, "title", unit="×", line=1.0, digits=2).figure
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = numpy.asarray(canvas.buffer_rgba()).astype(int)
    red = (pixels[..., 0] - pixels[..., 2] > 60) & (pixels[..., 0] > 200)  # the line's colour, also where it is faint
    labels = {text.get_text(): text.get_window_extent() for text in figure.axes[0].texts}
    assert set(labels) == {"0.02×", "0.98×", "1.00×", "2.50×"} and red.any()
    for label, box in labels.items():
        rows = slice(len(red) - int(box.y1), len(red) - int(box.y0))
        assert not red[rows, int(box.x0) : int(box.x1)].any(), f"the line runs through {label}"


def test_what_a_notebook_shows_of_a_picture_is_an_image_with_its_words():
    from matplotlib.figure import Figure

    html = Picture(Figure(figsize=(2, 1)), '"1 < 2"\na line')._repr_html_()
    tag = ElementTree.fromstring(html.replace("\n", "&#10;").removesuffix(">") + "/>")
    assert tag.tag == "img" and tag.get("alt") == '"1 < 2"\na line' and tag.get("width") == "192"
    kind, _, data = tag.get("src").partition(",")
    assert kind == "data:image/png;base64" and b64decode(data).startswith(b"\x89PNG")


def test_the_legend_shows_waiting_in_the_light_shade_of_every_colour_that_is_drawn():
    def row(name, state="FINISHED"):
        return Row("id", 0, name, "task", state, "head", 7, {"PENDING_ARGS_AVAIL": 0.0, "RUNNING": 1.0, state: 2.0})

    for rows, colours in (
        ([row("f")], [GREEN]),
        ([row("f"), row("f")], [GREEN]),
        ([row("f"), row("g")], [GREEN, BLUE]),
        ([row("f"), row("g", "FAILED")], [GREEN, BLUE, VERMILLION]),
    ):
        figure = gantt.gantt(rows).figure
        assert figure.legends[0].get_texts()[-1].get_text() == "light: waiting"
        light = [patch for patch in figure.legends[0].findobj(Rectangle) if patch.get_alpha()]
        assert [to_hex(patch.get_facecolor()[:3]).upper() for patch in light] == colours
        drawn = {patch.get_facecolor() for patch in figure.axes[0].patches if patch.get_alpha()}
        assert drawn <= {patch.get_facecolor() for patch in light}


def test_a_grid_has_a_panel_for_each_case_and_a_box_for_each_slot():
    panels = {"one": {"head": 2, "a": 0}, "two": {"head": ["x", "y", "z"], "a": ["w"]}}
    picture = grid(panels, slots=2, title="where")
    shown = [axes for axes in picture.figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in shown] == ["one", "two"]
    assert [len(axes.patches) for axes in shown] == [4, 5]  # the third in two slots is drawn beyond the row
    assert {text.get_text() for text in shown[1].texts} == {"head", "a", "x", "y", "z", "w"}
    assert [line.split() for line in grid_table(panels).splitlines()[2:]] == [["one", "2", "0"], ["two", "3", "1"]]
    with pytest.raises(ValueError, match="0 panels"):
        grid({}, slots=2)


FLOWS = {"no bound": [(10.0, 1), (10.5, 2), (11.0, -1), (12.0, -2)], "one": [(3.0, 1), (4.0, -1)]}


def test_a_flow_counts_what_went_in_and_out():
    lines = [line.split("  ") for line in flow_table(FLOWS).splitlines()[2:]]
    assert [[part.strip() for part in line if part.strip()] for line in lines] == [
        ["no bound", "3", "3", "3", "0.50", "2.00"],
        ["one", "1", "1", "1", "0.00", "1.00"],
    ]
    picture = flow(FLOWS, "all")
    assert flow_table(FLOWS) in picture.alt and len(picture.figure.axes) == 2
    into, out = (line.get_ydata() for line in picture.figure.axes[0].lines)
    assert list(into) == [0, 1, 3, 3, 3] and list(out) == [0, 0, 0, 1, 3]
    for nothing in ({}, {"empty": []}):
        with pytest.raises(ValueError, match="nothing to draw"):
            flow(nothing)


def test_lanes_have_a_bar_for_each_span():
    spans = {"a": [(5.0, 6.0, "x"), (7.0, 9.0)], "b": [(5.5, 6.0)]}
    assert [line.split() for line in lanes_table(spans).splitlines()[2:]] == [
        ["a", "2", "0.00", "4.00", "75"],
        ["b", "1", "0.50", "1.00", "100"],
    ]
    picture = lanes(spans, "who")
    bars = [(bar.get_x(), bar.get_width()) for bar in picture.figure.axes[0].patches]
    assert bars == [(0.0, 1.0), (2.0, 2.0), (0.5, 0.5)] and lanes_table(spans) in picture.alt
    for nothing in ({}, {"a": []}):
        with pytest.raises(ValueError, match="0 spans"):
            lanes(nothing)


def test_curves_against_anything():
    series = {f"curve {n}": ([1, 2, 3], [n, n + 5, 2 * n]) for n in range(20)}
    picture = curves(series, "title", xlabel="calls")
    assert isinstance(picture, Picture) and picture.alt.startswith("title. MiB of its own over calls.")
    row = next(line for line in picture.alt.splitlines() if line.startswith("curve 7"))
    assert row.split()[2:] == ["1", "3", "7", "14", "14"]
    lines = picture.figure.axes[0].lines
    assert len({(line.get_color(), line.get_linestyle(), line.get_marker()) for line in lines}) == 20
    assert picture.figure.axes[0].get_ylim()[0] <= 0 and picture.figure.axes[0].get_xlabel() == "calls"


def test_a_mark_is_read_although_the_line_of_a_later_one_runs_behind_it():
    from klaw_course.show.charts import mark_seconds

    picture = curves({"curve": ([0, 8], [1, 1])}, "title")
    marked = mark_seconds(picture, [(0.1, "put, get, slice"), (0.6, "del ref")])
    axes = marked.figure.axes[0]
    lines = [line for line in axes.lines if len(set(line.get_xdata())) == 1]
    assert len(lines) == len(axes.texts) == 2 and marked.alt.endswith("at 0.1 s: put, get, slice\nat 0.6 s: del ref")
    for text in axes.texts:
        assert text.get_bbox_patch().get_facecolor()[3] == 1, "its ground is opaque"
        assert all(text.get_zorder() > line.get_zorder() for line in lines)


@pytest.mark.parametrize(
    ("series", "said"),
    [({}, "0 series"), ({"a": ([], [])}, "'a' has 0 xs and 0 ys"), ({"a": ([1, 2], [1])}, "'a' has 2 xs and 1 ys")],
)
def test_what_cannot_be_drawn_is_said(series, said):
    with pytest.raises(ValueError, match=said):
        curves(series, "title")


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("klaw_course", "matplotlib"),
        ("klaw_course.show", "matplotlib"),
        ("klaw_course.show.gantt", "matplotlib"),
        ("klaw_course.show.gantt", "ray"),
        ("klaw_course.observe.memory", "matplotlib"),
        ("klaw_course.observe.memory", "ray"),
        ("klaw_course.observe.timeline", "matplotlib"),
        ("klaw_course.observe.remote", "matplotlib"),
    ],
)
def test_importing_a_module_does_not_import_what_it_can_do_without(module, absent):
    code = f"import sys, {module}; sys.exit({absent!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_a_tree_has_a_box_for_each_call_and_an_arrow_for_each_argument():
    arguments = {"total": ["left", "right"], "left": [], "right": []}
    labels = {"left": "ran twice", "total": "ran twice"}
    picture = tree(arguments, labels, marked={"left"}, title="what ran again")
    (axes,) = picture.figure.axes
    boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert [box.get_x() for box in boxes] == [0, 0, 1.6]  # arguments first
    assert [bool(box.get_hatch()) for box in boxes] == [True, False, False]
    assert sum(not text.get_text() for text in axes.texts) == 2  # the arrows
    assert [text.get_text() for text in axes.texts][:3] == ["left\nran twice", "right", "total\nran twice"]
    assert picture.alt.startswith("what ran again. ")
    assert picture.alt.endswith(tree_table(arguments, labels, {"left"}))
    assert [line.split()[-1] for line in tree_table(arguments, {}, {"left"}).splitlines()[2:]] == ["yes", "-", "right"]


def test_a_tree_says_what_it_cannot_draw():
    with pytest.raises(ValueError, match="0 calls"):
        tree({}, {})
    for arguments in ({"a": ["b"]}, {"a": ["b"], "b": ["a"]}):
        with pytest.raises(ValueError, match="Cannot draw a"):
            tree(arguments, {})
