"""The tables and the chart of the benchmarks, from made-up measurements; and what is refused before Ray starts."""

import pytest

from klaw_course.bench import channel, submit
from klaw_course.bench.submit import Row

FLOOD = Row("flood", 1000, (0.001, 0.002, 0.009), (0.0004, 0.0001, 0.0002), (7.0, 30.0, 8.25))
TWICE = Row("twice as fast", 1000, (0.001, 0.004, 0.0005), (0.0008, 0.0006, 0.0001), (0.0, 0.5, 2.0))
FEWER = Row("fewer", 200, (0.008,) * 3, (0.0001,) * 3, (1.0,) * 3)
RATES = {"slow": {"100 B": 100.0, "1 MB": 10.0}, "fast": {"100 B": 2500.0, "1 MB": 4.0}}


def columns(text):
    """Way to the other columns of the table."""
    lines = [line.rsplit(maxsplit=3) for line in text.split("\n\n")[0].splitlines()]
    return {line[0].strip(): line[1:] for line in lines if len(line) == 4}


def test_the_table_holds_ratios_of_medians_and_the_flood_is_1():
    found = columns(submit.table([FLOOD, TWICE, FEWER]))
    assert found["flood"] == ["1.00", "1.00", "8.2"]
    assert found["twice as fast"] == ["2.00", "3.00", "0.5"]
    assert found["fewer"] == ["0.25", "0.50", "1.0"]


def test_below_the_table_are_the_floods_own_numbers_and_what_was_run():
    below = submit.table([FLOOD, TWICE, FEWER], "Ray 1.2.3, 2 CPUs").split("\n\n")[1].splitlines()
    assert below == [
        "flood = 1: 500 tasks/s, 0.200 ms of driver CPU per task",
        "1,000 tasks, rounds: 3, Ray 1.2.3, 2 CPUs",
        "fewer: 200 tasks only",
    ]


def test_the_table_is_shown_as_it_is_and_fits_80_columns():
    long = Row("ray.util.map_unordered", 99_999, (1e-5,), (1e-2,), (1234.5,))
    text = submit.table([FLOOD, long], "Ray 2.60.0, cluster of 2 CPUs on a machine with 128")
    assert repr(text) == str(text) and all(len(line) <= 80 for line in text.splitlines())


def test_a_clock_that_did_not_move_gives_no_ratio():
    assert columns(submit.table([Row("flood", 1, (0.1,), (0.0,), (0.0,))]))["flood"] == ["1.00", "-", "0.0"]


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="0 rows"):
        submit.table([])


@pytest.mark.parametrize(("tasks", "rounds"), [(0, 3), (-1, 3), (10, 0)])
def test_no_task_and_no_round_are_refused_before_a_cluster_starts(tasks, rounds):
    with pytest.raises(ValueError, match=f"tasks={tasks}, rounds={rounds}"):
        submit.run(tasks, rounds)


@pytest.mark.parametrize(("rounds", "sizes"), [(0, None), (1, ["1 GB"])])
def test_no_round_and_no_such_size_are_refused_before_a_cluster_starts(rounds, sizes):
    with pytest.raises(ValueError, match="give 1 or more, and of 100 B"):
        channel.run(rounds, sizes)


def test_the_table_of_messages_has_ratios_and_megabytes():
    ratios, absolute, mb = channel.table(RATES, "Ray 1.2.3").split("\n\n")[:3]
    assert [line.split() for line in ratios.splitlines()[2:]] == [["slow", "1.0", "1.0"], ["fast", "25.0", "0.4"]]
    assert absolute == "slow: 100 at 100 B, 10 at 1 MB"
    assert [line.split()[-1] for line in mb.splitlines()[2:4]] == ["10", "4"]


def test_the_chart_of_messages_has_a_panel_for_each_size_and_the_table_in_words():
    picture = channel.chart(RATES, "who is fast")
    assert [axes.get_title(loc="left") for axes in picture.figure.axes] == ["messages of 100 B", "messages of 1 MB"]
    dots = [axes.collections[0].get_offsets()[:, 0].tolist() for axes in picture.figure.axes]
    assert dots == [[100.0, 2500.0], [10.0, 4.0]]  # messages per second, and MB
    assert channel.table(RATES) in picture.alt
    left, right = (axes.get_xlim() for axes in picture.figure.axes)
    assert left[1] / left[0] == pytest.approx(right[1] / right[0]), "a power of ten is as wide in both"


def test_a_short_measurement_passes_whole_batches_and_may_skip_the_warm_up():
    calls = []

    def way(size, n, room, batch):
        calls.append((size, n))
        return n / 5.0

    two = {"way": way, "Queue, one at a time": way}
    rates = channel.measure(two, sizes=["100 B", "1 MB"], shorter=8, warm=False)
    assert rates == {name: {"100 B": 5.0, "1 MB": 5.0} for name in two}
    assert calls[:2] == [(100, 2500), (100, 100)]  # 20,000 / 8, and a batch, for 20,000 / 40 / 8 is less
    assert calls[2:] == [(10**6, 24)] * 2  # 200 / 8, less what is no whole batch of 8
