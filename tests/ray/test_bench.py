"""The benchmarks with real clusters, and ``in_flight``, which they measure."""

import itertools

import pytest
import ray

from klaw_course import bench
from klaw_course.bench import channel, submit
from klaw_course.submit import in_flight


@ray.remote(num_cpus=0)
def square(number):
    if number < 0:
        raise LookupError("no root")
    return number * number


def test_the_command_starts_a_cluster_of_its_own_prints_the_table_and_stops_it(no_cluster, capsys, monkeypatch):
    all_ways = submit._ways
    monkeypatch.setattr(submit, "_ways", lambda: {"flood": all_ways()["flood"]})  # the next test has them all
    assert bench.main(["submit", "--tasks", "20", "--rounds", "1"]) == 0
    printed = capsys.readouterr().out
    assert "flood = 1: " in printed and "20 tasks, rounds: 1, Ray " in printed
    assert not ray.is_initialized()


def test_every_way_to_submit_gives_all_its_results(one_node):
    rows = submit.measure(tasks=100, rounds=1)
    assert [row.way for row in rows][:3] == ["flood", "wait for 1 of 1000", "wait for 100 of 1000"]
    assert {row.way: row.results for row in rows} == {row.way: 20 if "Pool" in row.way else 100 for row in rows}
    assert all(len(row.seconds) == len(row.cpu_s) == len(row.memory_mb) == 1 for row in rows)
    assert all(min(row.seconds) > 0 for row in rows)


def test_every_way_to_pass_messages_passes_them_all(one_node, monkeypatch):
    small = {"100 B": (100, 40, 20, 10), "1 MB": (10**6, 4, 4, 2)}
    monkeypatch.setattr(channel, "SIZES", small)
    rates = channel.measure(channel.ways(), warm=False)
    assert len(rates) == 13 and all(set(by_size) == set(small) for by_size in rates.values())
    assert all(rate > 0 for by_size in rates.values() for rate in by_size.values())


def test_calls_in_flight_are_as_many_as_the_window_and_no_result_is_lost(one_node):
    taken, seen = [], []

    def numbers():
        for number in range(25):
            taken.append(number)
            yield number

    for result in in_flight(square.remote, numbers(), window=6, batch=2):
        assert len(taken) - len(seen) <= 6
        seen.append(result)
    assert sorted(seen) == [number * number for number in range(25)]


def test_an_endless_stream_of_items_is_taken_as_there_is_room(one_node):
    results = in_flight(square.remote, itertools.count(), window=4, batch=1)
    assert len({next(results) for _ in range(10)}) == 10


def test_the_error_of_a_call_is_raised_as_by_get(one_node):
    with pytest.raises(LookupError, match="no root"):
        list(in_flight(square.remote, [1, -1], window=4, batch=4))
