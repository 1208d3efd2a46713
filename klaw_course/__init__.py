"""Helpers for the notebooks of *Ray Core, seen from the inside*.

A lesson shows the Ray call that it teaches. What would distract from it is here: starting a cluster, recording when
tasks ran and drawing it, checking an exercise. One module, one idea:

    cluster    a private Ray cluster on this machine, or a connection to yours
    timeline   what every task did, and when: rows, a text table, a Gantt picture
    check      an exercise's answer: todo, wrong (with the hint for that mistake) or right; a guess beside what came
    memory     how much memory processes have for themselves, over time, within a budget
    channel    a bounded channel between processes, which a lesson builds up and you may keep
    show       texts, tables and bars, in one look
    doctor     can this machine run the course? ``python -m klaw_course.doctor``
    bench      what things cost: ``python -m klaw_course.bench all``
"""

from klaw_course.check import check, compare

__all__ = ["bench", "channel", "check", "cluster", "compare", "doctor", "memory", "show", "timeline"]
__version__ = "0.1.0"
