"""Measure what ways of doing one thing cost: ``python -m klaw_course.bench submit``, or ``all``; see ``--help``.

A table holds ratios of one run, for they carry over to another machine better than seconds do. Ray is imported only
where a benchmark runs, on a private cluster that it starts and stops.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator
from importlib import metadata

CPUS = 2  # of the cluster


@contextlib.contextmanager
def own_cluster(nodes: int = 1, **node_options) -> Iterator[None]:
    """Start a private cluster that replaces the one that this process may have, and stop it at the end.

    Args:
        nodes: how many; more than one are simulated on this machine, each with a store and processes of its own.
        node_options: of each, such as ``store_mb``; see ``cluster.Node``.

    Raises:
        RuntimeError: it did not start, or is one of yours.
    """
    from klaw_course import cluster

    try:
        names = ["head", *(f"node {number}" for number in range(1, nodes))]
        if cluster.start(*(cluster.Node(name, cpus=CPUS, **node_options) for name in names)).attached:
            raise RuntimeError("This would load your own cluster; unset KLAW_RAY_ADDRESS.")
        yield
    finally:
        cluster.stop()


def _submit(options: argparse.Namespace) -> str:
    """ways to keep calls in flight"""
    from klaw_course.bench import submit

    return submit.table(submit.run(options.tasks, options.rounds), _machine())


def _channel(options: argparse.Namespace) -> str:
    """ways to pass messages from one actor to another"""
    from klaw_course.bench import channel

    return channel.table(channel.run(options.rounds), _machine())


def _machine() -> str:
    return f"Ray {metadata.version('ray')}, cluster of {CPUS} CPUs on a machine with {os.cpu_count()}"


BENCHMARKS = {"submit": _submit, "channel": _channel}  # name to what gives a table; --help shows its docstring


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        self.exit(2, f"bench cannot run: {message}; --help lists what it takes.\n")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)


def main(argv: list[str] | None = None) -> int:
    """Run a benchmark, or all, and print each table.

    Args:
        argv: the words after ``python -m klaw_course.bench``; those of this process if left out.

    Returns:
        0, or 2 for a wrong argument.
    """
    known = "".join(f"\n  {name:<8} {function.__doc__}" for name, function in BENCHMARKS.items())
    known += "\n  all      each of them"
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser("python -m klaw_course.bench", epilog=f"benchmarks:{known}", formatter_class=raw)
    parser.add_argument("benchmark", choices=[*BENCHMARKS, "all"])
    parser.add_argument("--tasks", type=_count, default=5000, help="of a run of submit (default: 5000)")
    parser.add_argument("--rounds", type=_count, default=3, help="measured runs of each way (default: 3)")
    try:
        options = parser.parse_args(argv)
    except SystemExit as end:  # the help, or the sentence of error(), is printed
        return end.code or 0
    for name in BENCHMARKS if options.benchmark == "all" else [options.benchmark]:
        print(BENCHMARKS[name](options))
    return 0
