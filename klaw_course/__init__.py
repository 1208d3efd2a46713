"""Helpers for the notebooks of *Ray Core, seen from the inside*.

A lesson shows the Ray call that it teaches. What would distract from it is here. One folder or module, one idea:

    cluster      a private Ray cluster on this machine, or a connection to yours
    observe      what was measured, as rows: what every task did and when, how much memory processes have
    show         texts, tables and pictures of rows, in one look
    check        an exercise's answer: todo, wrong (with the hint for that mistake) or right; a guess beside what came
    notebook     what happens in a learner's kernel: cells that are skipped, claims that fail, copies in work/
    wait         waiting for an event; a gate that tasks wait for
    submit       many calls with a bound on how many are in flight
    pressure     memory that is filled on purpose, inside a fence
    channel      a bounded channel between processes, which a lesson builds up and you may keep
    supervisor   an actor that starts others again
    doctor       can this machine run the course? ``python -m klaw_course.doctor``
    container    the memory and the CPUs that a container leaves to this process
    bench        what things cost: ``python -m klaw_course.bench all``
"""

from klaw_course.check import check, compare

__all__ = ["check", "compare"]
__version__ = "0.1.0"
