"""What an attached cluster is said to lack."""

from __future__ import annotations

from klaw_course.cluster import attach


def test_a_dashboard_that_cannot_be_reached_is_named():
    assert "the state API (rows of tasks" in attach._lacks("http://127.0.0.1:1")
    assert "the state API (rows of tasks" in attach._lacks("")
