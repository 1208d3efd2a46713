"""Rows of recorded tasks and their pictures: functions of made-up rows, without Ray."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from klaw_course.observe import rows, timeline
from klaw_course.observe.rows import Row
from klaw_course.show import VERMILLION, gantt

ARGS, PLACE, SENT, RUN, DONE, FAILED = rows.STATES


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
    found = rows.rows_from([later, first], 10.0, {"n1": "head", None: "-"}.get)
    assert [r.task_id for r in found] == ["a", "b"]
    assert (
        found[0].times == {ARGS: 0.5} and found[0].node == "-" and found[0].started is None and found[0].ended is None
    )
    assert (found[1].submitted, found[1].started, found[1].ended) == (1.0, pytest.approx(1.4), 2.0)
    assert found[1].spans == {"execute": (1.5, 1.75)} and found[1].cpus == 0.5


def test_no_state_of_a_recording_seems_to_be_before_its_beginning():
    cut = state("a", [(ARGS, 10_499), (RUN, 10_600)])
    assert rows.rows_from([cut], 10.4996)[0].times == {ARGS: 0.0, RUN: pytest.approx(0.1004)}


def test_the_creation_of_an_actor_gets_the_node_of_its_worker():
    creation = state("a", [(ARGS, 0)], type="ACTOR_CREATION_TASK", node_id=None)
    call = state("b", [(ARGS, 1)], type="ACTOR_TASK")
    found = rows.rows_from([creation, call], 0.0, {"n1": "head"}.get)
    assert [(r.kind, r.node) for r in found] == [("actor creation", "head"), ("actor task", "head")]


def test_at_once_counts_overlap_not_touch():
    assert rows.at_once([row(start=0, end=1), row(start=1, end=2), row(start=2, end=3)]) == 1
    assert rows.at_once([row(start=0, end=2), row(start=1, end=3), row(start=1.5, end=1.7)]) == 3
    assert rows.at_once([Row("id", 0, "f", "task", ARGS, "-", None)]) == 0


def test_the_table_names_attempts_and_leaves_unknown_times_open():
    text = rows.table([row(attempt=1), Row("id", 0, "g", "task", PLACE, "-", None, {ARGS: 0.5})])
    lines = text.splitlines()
    assert "f (attempt 2)" in lines[2] and lines[2].split()[-1] == "1000"
    assert lines[3].split() == ["g", PLACE, "-", "-", "-", "-", "-"]
    assert repr(text) == str(text) and max(map(len, lines)) <= 88


def test_stages_add_up_to_the_whole_life():
    task = Row(
        "id", 0, "f", "task", DONE, "head", 7,
        {ARGS: 0.0, PLACE: 1.0, SENT: 1.5, RUN: 1.6, DONE: 3.0},
        {"deserialize": (1.7, 1.8), "execute": (2.0, 2.5), "store": (2.5, 2.6)},
    )  # fmt: skip
    stages = rows.stage_ms(task)
    assert list(stages.values()) == pytest.approx([1000, 500, 100, 400, 500, 100, 400])
    assert sum(stages.values()) == pytest.approx(3000)
    assert "all of it" in rows.stage_table([task]) and "3000.0" in rows.stage_table([task])
    assert rows.stage_ms(Row("id", 0, "f", "task", ARGS, "-", None, {ARGS: 0.0})) == {}


def test_tasks_are_numbered_only_where_a_name_comes_twice():
    one, other = row("one", 0, 1), row("other", 1, 2)
    assert rows.labels([one, other]) == ["one", "other"]
    assert rows.labels([one, other, one]) == ["1. one", "2. other", "3. one"]


@pytest.mark.parametrize("count", [1, 40, 41, 200])
def test_the_gantt_stays_legible_for_1_to_200_tasks(count):
    many = [row(f"f{n % 3}", n * 0.1, n * 0.1 + 0.09, worker=n % 4) for n in range(count)]
    picture = gantt.gantt(many, "title")
    axes = picture.figure.axes[0]
    assert len(axes.get_yticks()) == min(count, 4)  # one label for each worker
    assert picture.figure.get_figheight() < 15
    assert len([patch for patch in axes.patches if patch.get_width() > 0]) >= count
    assert "title" in picture.alt and "head" in picture.alt
    assert picture._repr_html_().startswith("<img ")


def test_the_gantt_marks_failure_by_more_than_colour_and_waiting_by_a_lighter_shade():
    axes = gantt.gantt([row(), row("g", state=FAILED)]).figure.axes[0]
    assert "✗" in "".join(text.get_text() for text in axes.texts)
    alphas = {patch.get_alpha() for patch in axes.patches}
    assert alphas == {None, 0.25}
    hatches = {patch.get_hatch() for patch in axes.patches if patch.get_hatch()}
    assert "xx" in hatches
    colours = {patch.get_facecolor()[:3] for patch in axes.patches if patch.get_hatch() == "xx"}
    assert colours == {tuple(int(VERMILLION[i : i + 2], 16) / 255 for i in (1, 3, 5))}


def test_side_by_side_shares_the_time_axis():
    figure = gantt.side_by_side({"short": [row(end=1.5)], "long": [row(end=9.0)]}).figure
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["short", "long"]


def test_the_words_of_a_gantt_begin_with_its_title_or_with_what_it_is():
    assert gantt.side_by_side({"a": [row()]}, "two ways").alt.startswith("two ways. Tasks as bars")
    assert gantt.gantt([row()]).alt.startswith("Tasks as bars")


@pytest.mark.parametrize("draw", [gantt.gantt, gantt.stages, lambda nothing: gantt.side_by_side({"a": nothing})])
def test_nothing_to_draw_is_one_clear_error(draw):
    with pytest.raises(ValueError, match="nothing to draw.*0 rows.*record"):
        draw([])


def test_a_row_has_the_address_of_its_machine_and_the_gantt_says_if_there_are_several():
    tasks = [state("a", [(ARGS, 0), (RUN, 1), (DONE, 2)]), state("b", [(ARGS, 0), (RUN, 1), (DONE, 2)], node_id="n2")]
    hosts = {"n1": "10.0.0.1", "n2": "10.0.0.2"}
    found = rows.rows_from(tasks, 0.0, str, hosts.get)
    assert [row.host for row in found] == ["10.0.0.1", "10.0.0.2"]
    for shown, said in ((found, True), (found[:1], False), ([row()], False)):
        picture = gantt.gantt(shown)
        assert ("clock of its own" in picture.alt) is said
        assert ("clock of its own" in picture.figure.axes[-1].get_xlabel()) is said


def attempt(number=0, state=DONE, end_ms=5, spans=("task:deserialize_arguments", "task:execute")):
    profile = {"events": [{"event_name": name} for name in spans]}
    return SimpleNamespace(task_id="a", attempt_number=number, state=state, end_time_ms=end_ms, profiling_data=profile)


@pytest.mark.parametrize(
    ("tasks", "complete"),
    [
        ([], False),
        ([attempt()], True),
        ([attempt(), attempt(1, RUN, None, ())], False),
        ([attempt(spans=())], False),
        ([attempt(spans=("task:deserialize_arguments",))], False),
        ([attempt(end_ms=None)], False),
        ([attempt(state=FAILED, spans=()), attempt(1)], True),
        ([attempt(1)], False),
    ],
    ids=[
        "none-may-be-late",
        "one",
        "runs",
        "no-spans",
        "its-run-is-not-told",
        "no-end",
        "retried",
        "the-first-attempt-is-missing",
    ],
)
def test_a_recording_is_complete_when_every_attempt_has_its_end_and_its_spans(tasks, complete):
    assert timeline._complete(tasks) is complete
