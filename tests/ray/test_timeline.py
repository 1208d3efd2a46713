"""The recording of tasks: pure functions on made-up rows, then real tasks on a real cluster."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

import pytest
import ray

from klaw_course import cluster
from klaw_course.observe import timeline
from klaw_course.observe.timeline import Row
from klaw_course.show import VERMILLION, bars, flow, flow_table, grid, grid_table, lanes, lanes_table

ARGS, PLACE, SENT, RUN, DONE, FAILED = timeline.STATES


def row(name="f", start=1.0, end=2.0, *, node="head", worker=7, state=DONE, attempt=0):
    times = {ARGS: 0.0, PLACE: 0.1, SENT: start - 0.01, RUN: start, state: end}
    return Row("id", attempt, name, "task", state, node, worker, times, {"execute": (start + 0.01, end - 0.01)})


def state(task_id, events, **more):
    """What the state API gives for one attempt, in the fields that rows_from reads."""
    given = dict(
        attempt_number=0, name="f", type="NORMAL_TASK", state=DONE, node_id="n1", worker_pid=7, profiling_data=None,
        error_message=None, error_type=None, parent_task_id="p", required_resources={"CPU": 0.5},
    )  # fmt: skip
    given |= more
    return SimpleNamespace(task_id=task_id, events=[{"state": s, "created_ms": ms} for s, ms in events], **given)


def test_rows_are_in_order_of_submission_with_seconds_since_the_start():
    spans = {"events": [{"event_name": "task:execute", "start_time": 11_500.0, "end_time": 11_750.0}]}
    later = state("b", [(ARGS, 11_000), (RUN, 11_400), (DONE, 12_000)], profiling_data=spans)
    first = state("a", [(ARGS, 10_500), ("SOMETHING_NEW", 10_600)], state=ARGS, node_id=None, worker_pid=None)
    rows = timeline.rows_from([later, first], 10.0, {"n1": "head", None: "-"}.get)
    assert [r.task_id for r in rows] == ["a", "b"]
    assert rows[0].times == {ARGS: 0.5} and rows[0].node == "-" and rows[0].started is None and rows[0].ended is None
    assert (rows[1].submitted, rows[1].started, rows[1].ended) == (1.0, pytest.approx(1.4), 2.0)
    assert rows[1].spans == {"execute": (1.5, 1.75)} and rows[1].cpus == 0.5


def test_the_creation_of_an_actor_gets_the_node_of_its_worker():
    creation = state("a", [(ARGS, 0)], type="ACTOR_CREATION_TASK", node_id=None)
    call = state("b", [(ARGS, 1)], type="ACTOR_TASK")
    rows = timeline.rows_from([creation, call], 0.0, {"n1": "head"}.get)
    assert [(r.kind, r.node) for r in rows] == [("actor creation", "head"), ("actor task", "head")]


def test_at_once_counts_overlap_not_touch():
    assert timeline.at_once([row(start=0, end=1), row(start=1, end=2), row(start=2, end=3)]) == 1
    assert timeline.at_once([row(start=0, end=2), row(start=1, end=3), row(start=1.5, end=1.7)]) == 3
    assert timeline.at_once([Row("id", 0, "f", "task", ARGS, "-", None)]) == 0


def test_the_table_names_attempts_and_leaves_unknown_times_open():
    text = timeline.table([row(attempt=1), Row("id", 0, "g", "task", PLACE, "-", None, {ARGS: 0.5})])
    lines = text.splitlines()
    assert "f (attempt 2)" in lines[2] and lines[2].split()[-1] == "1000"
    assert lines[3].split() == ["g", PLACE, "-", "-", "-", "-", "-"]
    assert repr(text) == str(text) and max(map(len, lines)) <= 88


def test_stages_add_up_to_the_whole_life():
    one = Row(
        "id", 0, "f", "task", DONE, "head", 7,
        {ARGS: 0.0, PLACE: 1.0, SENT: 1.5, RUN: 1.6, DONE: 3.0},
        {"deserialize": (1.7, 1.8), "execute": (2.0, 2.5), "store": (2.5, 2.6)},
    )  # fmt: skip
    stages = timeline.stage_ms(one)
    assert list(stages.values()) == pytest.approx([1000, 500, 100, 400, 500, 100, 400])
    assert sum(stages.values()) == pytest.approx(3000)
    assert "all of it" in timeline.stage_table([one]) and "3000.0" in timeline.stage_table([one])
    assert timeline.stage_ms(Row("id", 0, "f", "task", ARGS, "-", None, {ARGS: 0.0})) == {}


@pytest.mark.parametrize("count", [1, 40, 41, 200])
def test_the_gantt_stays_legible_for_1_to_200_tasks(count):
    rows = [row(f"f{n % 3}", n * 0.1, n * 0.1 + 0.09, worker=n % 4) for n in range(count)]
    picture = timeline.gantt(rows, "title")
    axes = picture.figure.axes[0]
    assert len(axes.get_yticks()) == min(count, 4)  # one label for each worker
    assert picture.figure.get_figheight() < 15
    assert len([patch for patch in axes.patches if patch.get_width() > 0]) >= count
    png, shown = picture._repr_png_()
    assert png.startswith(b"\x89PNG") and "title" in shown["alt"] and "head" in shown["alt"]


def test_the_gantt_marks_failure_by_more_than_colour_and_waiting_by_a_lighter_shade():
    axes = timeline.gantt([row(), row("g", state=FAILED)]).figure.axes[0]
    assert "✗" in "".join(text.get_text() for text in axes.texts)
    alphas = {patch.get_alpha() for patch in axes.patches}
    assert alphas == {None, 0.25}
    hatches = {patch.get_hatch() for patch in axes.patches if patch.get_hatch()}
    assert "xx" in hatches
    colours = {patch.get_facecolor()[:3] for patch in axes.patches if patch.get_hatch() == "xx"}
    assert colours == {tuple(int(VERMILLION[i : i + 2], 16) / 255 for i in (1, 3, 5))}


def test_side_by_side_shares_the_time_axis():
    figure = timeline.side_by_side({"short": [row(end=1.5)], "long": [row(end=9.0)]}).figure
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["short", "long"]


@pytest.mark.parametrize("draw", [timeline.gantt, timeline.stages, lambda rows: timeline.side_by_side({"a": rows})])
def test_nothing_to_draw_is_one_clear_error(draw):
    with pytest.raises(ValueError, match="nothing to draw.*0 rows.*record"):
        draw([])


def test_bars_show_every_value():
    picture = bars({"a": 1.0, "b": 2.5}, "title", unit=" s", line=1.0)
    assert picture.alt.splitlines() == ["title", "a  1.0 s", "b  2.5 s"]
    with pytest.raises(ValueError, match="0 values"):
        bars({}, "title")


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


@ray.remote
def nap(seconds):
    time.sleep(seconds)


@ray.remote(max_retries=1)
def crash_once(marker):
    if not os.path.exists(marker):
        open(marker, "w").close()
        os._exit(1)


@ray.remote
class Bell:
    def ring(self):
        time.sleep(0.05)


def test_a_recording_has_a_row_for_every_attempt_and_only_for_its_own_tasks(one_node, tmp_path):
    ray.get(nap.remote(0))
    with timeline.record() as run:
        ray.get(crash_once.remote(str(tmp_path / "marker")))  # first: what a worker has not reported dies with it
        ray.get([nap.remote(0.1) for _ in range(5)])
        bell = Bell.remote()
        ray.get([bell.ring.remote() for _ in range(3)])
        with run.local("here"):
            time.sleep(0.05)
    assert run.count_by("name") == {"here": 1, "nap": 5, "crash_once": 2, "Bell.__init__": 1, "Bell.ring": 3}
    assert run.count_by("kind") == {"local": 1, "task": 7, "actor creation": 1, "actor task": 3}
    assert run.count_by("state") == {DONE: 11, FAILED: 1}
    assert {row.node for row in run.rows} == {"this notebook", "head"}
    assert timeline.at_once([row for row in run.rows if row.name == "nap"]) <= 2
    naps = [row for row in run.rows if row.name == "nap"]
    assert all(set(row.spans) == {"deserialize", "execute", "store"} for row in naps)
    assert all(list(row.times) == list(timeline.STATES[:5]) for row in naps)
    assert run.seconds > 0.3


def test_tasks_that_are_not_done_are_rows_without_an_end(one_node):
    with timeline.record() as run:
        refs = [nap.remote(3) for _ in range(3)]
    assert len(run.rows) == 3 and all(row.ended is None for row in run.rows)
    for ref in refs:
        ray.cancel(ref, force=True)
    run.gantt()


def test_without_a_cluster_one_clear_error(no_cluster):
    with pytest.raises(RuntimeError, match=r"No cluster is running.*cluster\.start\(\)"), timeline.record():
        pass


def test_the_state_api_of_this_cluster_is_asked_whatever_ray_address_says(one_node, monkeypatch):
    with timeline.record() as run:
        ray.get(nap.remote(0))
    assert len(run.rows) == 1 and cluster.current().address == os.environ["RAY_ADDRESS"]
