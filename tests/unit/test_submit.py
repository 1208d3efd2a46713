"""What ``in_flight`` refuses, and that it takes nothing before a result is asked for; tests/ray has its results."""

import pytest

from klaw_course.submit import in_flight


@pytest.mark.parametrize(("window", "batch", "said"), [(0, 1, "window=0"), (-1, -1, "window=-1"), (10, 0, "batch=0")])
@pytest.mark.parametrize("items", [range(3), ()])
def test_a_wrong_window_or_batch_is_refused_before_anything_is_submitted(window, batch, said, items):
    submitted = []
    with pytest.raises(ValueError, match=said):
        in_flight(submitted.append, items, window=window, batch=batch)
    assert submitted == []


def test_a_batch_larger_than_the_window_is_refused():
    with pytest.raises(ValueError, match="batch=11 of 10 calls in flight; give 1 to 10"):
        in_flight(print, [1], window=10, batch=11)


def test_nothing_is_submitted_before_a_result_is_asked_for():
    submitted = []
    in_flight(submitted.append, range(3), window=10, batch=10)
    assert submitted == []
