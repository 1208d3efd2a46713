"""The benchmarks: the table's arithmetic, the command's arguments; and once with a cluster."""

import subprocess
import sys

import pytest

from klaw_course import bench
from klaw_course.bench import Row
from klaw_course.bench import channel as bench_channel

FLOOD = Row("flood", 1000, (0.001, 0.002, 0.009), (0.0004, 0.0001, 0.0002), (7.0, 30.0, 8.25))
TWICE = Row("twice as fast", 1000, (0.001, 0.004, 0.0005), (0.0008, 0.0006, 0.0001), (0.0, 0.5, 2.0))
FEWER = Row("fewer", 200, (0.008,) * 3, (0.0001,) * 3, (1.0,) * 3)


def cells(text):
    """Way to the other columns of the table."""
    lines = [line.rsplit(maxsplit=3) for line in text.split("\n\n")[0].splitlines()]
    return {line[0].strip(): line[1:] for line in lines if len(line) == 4}


def test_the_table_holds_ratios_of_medians_and_the_flood_is_1():
    found = cells(bench.table([FLOOD, TWICE, FEWER]))
    assert found["flood"] == ["1.00", "1.00", "8.2"]
    assert found["twice as fast"] == ["2.00", "3.00", "0.5"]
    assert found["fewer"] == ["0.25", "0.50", "1.0"]


def test_below_the_table_are_the_floods_own_numbers_and_what_was_run():
    below = bench.table([FLOOD, TWICE, FEWER], "Ray 1.2.3, 2 CPUs").split("\n\n")[1].splitlines()
    assert below == [
        "flood = 1: 500 tasks/s, 0.200 ms of driver CPU per task",
        "1,000 tasks, rounds: 3, Ray 1.2.3, 2 CPUs",
        "fewer: 200 tasks only",
    ]


def test_the_table_is_shown_as_it_is_and_fits_80_columns():
    long = Row("ray.util.map_unordered", 99_999, (1e-5,), (1e-2,), (1234.5,))
    text = bench.table([FLOOD, long], "Ray 2.60.0, cluster of 2 CPUs on a machine with 128")
    assert repr(text) == str(text) and all(len(line) <= 80 for line in text.splitlines())


def test_a_clock_that_did_not_move_gives_no_ratio():
    assert cells(bench.table([Row("flood", 1, (0.1,), (0.0,), (0.0,))]))["flood"] == ["1.00", "-", "0.0"]


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="0 rows"):
        bench.table([])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["flod"], "invalid choice: 'flod' (choose from"),
        (["submit", "--tasks", "0"], "--tasks: '0' is not a whole number"),
        (["submit", "--tasks", "-3"], "--tasks: '-3' is not a whole number"),
        (["all", "--tasks", "x"], "--tasks: 'x' is not a whole number"),
        (["all", "--rounds", "1.5"], "--rounds: '1.5' is not a whole number"),
        (["all", "--quick"], "--quick"),
        ([], "benchmark"),
    ],
)
def test_a_wrong_argument_gives_one_sentence_and_2(capsys, arguments, said):
    assert bench.main(arguments) == 2
    printed = capsys.readouterr()
    assert said in printed.err and len(printed.err.splitlines()) == 1 and not printed.out


def test_help_lists_the_benchmarks(capsys):
    assert bench.main(["--help"]) == 0
    printed = capsys.readouterr().out.split("benchmarks:")[1]
    for name, function in bench.BENCHMARKS.items():
        assert f"  {name}  " in printed and function.__doc__ in printed
    assert "  all  " in printed


@pytest.mark.parametrize(("tasks", "rounds"), [(0, 3), (-1, 3), (10, 0)])
def test_nothing_to_measure_is_refused_before_a_cluster_starts(tasks, rounds):
    with pytest.raises(ValueError, match=f"tasks={tasks}, rounds={rounds}"):
        bench.submit(tasks, rounds)


@pytest.mark.parametrize(("window", "batch", "said"), [(0, 1, "window=0"), (-1, -1, "window=-1"), (10, 0, "batch=0")])
@pytest.mark.parametrize("items", [range(3), ()])
def test_a_wrong_window_or_batch_is_refused_before_anything_is_submitted(window, batch, said, items):
    submitted = []
    with pytest.raises(ValueError, match=said):
        bench.in_flight(submitted.append, items, window=window, batch=batch)
    assert submitted == []


def test_a_batch_larger_than_the_window_is_refused():
    with pytest.raises(ValueError, match="batch=11 of 10 calls in flight; give 1 to 10"):
        bench.in_flight(print, [1], window=10, batch=11)


def test_nothing_is_submitted_before_a_result_is_asked_for():
    submitted = []
    bench.in_flight(submitted.append, range(3), window=10, batch=10)
    assert submitted == []


def test_importing_it_does_not_import_ray():
    code = "import sys; import klaw_course.bench; print('ray' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == "False", run.stderr


def test_a_small_run_on_a_cluster_gives_a_row_for_each_way(no_cluster):
    rows = bench.submit(tasks=200, rounds=2)
    assert [row.way for row in rows][:3] == ["flood", "wait for 1 of 1000", "wait for 100 of 1000"]
    assert {row.way: row.results for row in rows} == {row.way: 40 if "Pool" in row.way else 200 for row in rows}
    assert all(len(row.seconds) == len(row.cpu_s) == len(row.memory_mb) == 2 for row in rows)
    assert all(min(row.seconds) > 0 for row in rows)


# --- ways to pass messages --------------------------------------------------------------------------------------------

RATES = {"slow": {"100 B": 100.0, "1 MB": 10.0}, "fast": {"100 B": 2500.0, "1 MB": 4.0}}


def test_the_table_of_messages_has_ratios_and_megabytes():
    ratios, one, mb = bench_channel.table(RATES, "Ray 1.2.3").split("\n\n")[:3]
    assert [line.split() for line in ratios.splitlines()[2:]] == [["slow", "1.0", "1.0"], ["fast", "25.0", "0.4"]]
    assert one == "slow: 100 at 100 B, 10 at 1 MB"
    assert [line.split()[-1] for line in mb.splitlines()[2:4]] == ["10", "4"]


def test_the_chart_of_messages_has_a_panel_for_each_size_and_the_table_in_words():
    picture = bench_channel.chart(RATES, "who is fast")
    assert [axes.get_title(loc="left") for axes in picture.figure.axes] == ["messages of 100 B", "messages of 1 MB"]
    assert [bar.get_width() for bar in picture.figure.axes[1].patches] == [10.0, 4.0]
    assert bench_channel.table(RATES) in picture.alt


def test_a_short_measurement_passes_whole_batches_and_may_skip_the_warm_up():
    calls = []

    def way(size, n, room, batch):
        calls.append((size, n))
        return n / 5.0

    rates = bench_channel.measure({"way": way, "Queue, one at a time": way}, sizes=["1 MB"], shorter=8, warm=False)
    assert rates == {"way": {"1 MB": 5.0}, "Queue, one at a time": {"1 MB": 5.0}}
    assert calls == [(10**6, 24), (10**6, 16)]  # 200 / 8 and 20, less what is no whole batch of 8


@pytest.mark.parametrize(("rounds", "sizes"), [(0, None), (1, ["1 GB"])])
def test_no_round_and_no_such_size_are_refused_before_a_cluster_starts(rounds, sizes):
    with pytest.raises(ValueError, match="give 1 or more, and of 100 B"):
        bench_channel.channel(rounds, sizes)


def test_every_way_to_pass_messages_passes_them_all(no_cluster, monkeypatch):
    small = {"100 B": (100, 40, 20, 10), "1 MB": (10**6, 4, 4, 2)}
    monkeypatch.setattr(bench_channel, "SIZES", small)
    rates = bench_channel.channel(rounds=1)
    assert len(rates) == 9 and all(set(of) == set(small) for of in rates.values())
    assert all(rate > 0 for of in rates.values() for rate in of.values())
