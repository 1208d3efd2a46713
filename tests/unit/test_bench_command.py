"""The command ``python -m klaw_course.bench``: its arguments, its help, and what importing it costs."""

import subprocess
import sys

import pytest

from klaw_course import bench


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


def test_all_runs_each_benchmark_with_the_options_and_prints_its_table(capsys, monkeypatch):
    tables = {name: lambda options, name=name: f"{name} with {options.tasks}" for name in bench.BENCHMARKS}
    monkeypatch.setattr(bench, "BENCHMARKS", tables)
    assert bench.main(["all", "--tasks", "7"]) == 0
    assert capsys.readouterr().out.splitlines() == ["submit with 7", "channel with 7"]


@pytest.mark.parametrize("module", ["bench", "bench.sides", "submit"])
def test_importing_it_imports_neither_ray_nor_matplotlib(module):
    code = f"import sys; import klaw_course.{module}; print('ray' in sys.modules, 'matplotlib' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == "False False", run.stderr
