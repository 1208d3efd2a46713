"""Waiting for a condition."""

import pytest

from klaw_course.wait import wait_until


def test_wait_until_gives_what_the_condition_gave():
    answers = iter([None, 0, "there"])
    assert wait_until(lambda: next(answers), "an answer", every_s=0) == "there"


def test_wait_until_says_for_what_it_waited():
    with pytest.raises(TimeoutError, match=r"Waited 0\.1 s for the moon"):
        wait_until(lambda: False, "the moon", timeout_s=0.1)
