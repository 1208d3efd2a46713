"""The doctor's judgements, on values that are passed in; and one run of it on this machine."""

import subprocess
import sys

import pytest

from klaw_course import doctor
from klaw_course.doctor import GIB, Finding

GOOD = [
    doctor.python_version((3, 10)),
    doctor.python_version((3, 14)),
    doctor.ray_version("2.60.0", "2.60.0"),
    doctor.packages([]),
    doctor.cores(2),
    doctor.memory(16 * GIB, 4 * GIB),
    doctor.shared_memory(GIB),
    doctor.shared_memory(None),
    doctor.disk("/tmp", 100 * GIB, 50 * GIB),
    doctor.other_rays([]),
    doctor.other_rays([11, 12]),
    doctor.simulated_nodes("linux"),
    doctor.simulated_nodes("darwin"),
    doctor.dashboard(8265, True),
    doctor.dashboard(8265, False),
    doctor.py_spy("bin/py-spy", "0\n", False),
    doctor.py_spy("bin/py-spy", "1\n", True),
    doctor.torch_version("2.13.0+cpu"),
    doctor.gpu([]),
    *doctor.transports(True, True, False, 0, False),
]
WARNINGS = [
    doctor.ray_version("2.59.0", "2.60.0"),
    doctor.ray_version("2.60.0", None),
    doctor.cores(1),
    doctor.memory(16 * GIB, 4 * GIB - 1),
    doctor.shared_memory(64 * 2**20),
    doctor.disk("/tmp", 10 * GIB, 2 * GIB - 1),
    doctor.disk("/tmp", 1000 * GIB, 49 * GIB),
    doctor.simulated_nodes("win32"),
    doctor.py_spy(None, None, False),
    doctor.py_spy("bin/py-spy", "1\n", False),
    doctor.torch_version(None),
    doctor.torch_version(None, "libfoo.so: cannot open shared object file"),
]
FAILURES = [
    doctor.python_version((3, 9)),
    doctor.ray_version(None, "2.60.0"),
    doctor.ray_version(None, None),
    doctor.packages(["ray", "numpy"]),
    doctor.memory(16 * GIB, 2 * GIB - 1),
]
LEVELS = {"ok": GOOD, "warn": WARNINGS, "FAIL": FAILURES}
EACH = [pytest.param(level, f, id=f"{level}-{f.name}") for level, findings in LEVELS.items() for f in findings]


@pytest.mark.parametrize(("level", "finding"), EACH)
def test_each_value_gets_its_level_and_each_problem_its_cure(level, finding):
    assert finding.level == level
    assert bool(finding.cure) == (level != "ok")


def test_the_report_fits_a_screen_80_columns_wide():
    long = Finding("warn", "simulated nodes", "word " * 60, "Do this and that. " * 12)
    path = Finding("ok", "disk", "/a" * 90)
    for line in doctor.report([*GOOD, *WARNINGS, *FAILURES, long, path]).splitlines():
        assert len(line) <= 80, line


def test_the_report_puts_a_cure_below_its_problem():
    lines = doctor.report([doctor.cores(2), doctor.cores(1)]).splitlines()
    assert lines[0].split() == ["ok", "cores", "2"]
    assert lines[1].split() == ["warn", "cores", "1"]
    assert lines[2].strip().startswith("-> ")
    assert lines[-1] == "The course can run."


@pytest.mark.parametrize(("findings", "status"), [(GOOD, 0), (WARNINGS, 0), (FAILURES, 1), (GOOD + FAILURES[:1], 1)])
def test_the_exit_status_says_whether_the_course_can_run(monkeypatch, capsys, findings, status):
    monkeypatch.setattr(doctor, "examine", lambda: findings)
    assert doctor.main([]) == status
    assert ("cannot run" in capsys.readouterr().out) == bool(status)


def test_an_argument_is_refused(capsys):
    assert doctor.main(["--fix"]) == 2
    assert "'--fix'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, {}),
        ({"RAY_ADDRESS": "10.0.0.1:6379"}, {"RAY_ADDRESS": "ignored"}),
        (
            {"KLAW_RAY_ADDRESS": "auto", "RAY_ADDRESS": "1.2.3.4:1"},
            {"KLAW_RAY_ADDRESS": "attach", "RAY_ADDRESS": "KLAW_RAY_ADDRESS goes first"},
        ),
        (
            {"RAY_HEAD_SERVICE_HOST": "head", "RAY_HEAD_SERVICE_PORT": "10001"},
            {"RAY_HEAD_SERVICE_HOST": "attach"},
        ),
        ({"RAY_AUTH_MODE": "token"}, {"RAY_AUTH_MODE": "own token"}),
    ],
)
def test_variables_that_direct_ray_are_explained(variables, said):
    found = {finding.name: finding.value for finding in doctor.environment(variables)}
    assert found.keys() == said.keys()
    assert all(text in found[name] for name, text in said.items())


def said_of_transports(*arguments):
    return {finding.name: finding.value for finding in doctor.transports(*arguments)}


def test_transports_say_what_they_need():
    said = said_of_transports(False, False, False, 0, False)
    assert list(said) == ["RDT gloo", "RDT nixl", "RDT nccl", "RDT cuda_ipc"]
    assert set(said.values()) == {"no, needs PyTorch"}
    said = said_of_transports(True, True, True, 1, False)
    assert said["RDT gloo"] == said["RDT cuda_ipc"] == "yes"
    assert "pip install nixl" in said["RDT nixl"] and "2 GPUs" in said["RDT nccl"] and "are 1" in said["RDT nccl"]
    assert set(said_of_transports(True, True, True, 2, True).values()) == {"yes"}
    assert said_of_transports(True, True, False, 2, True)["RDT nccl"] == "no, needs a PyTorch built with it"


def test_has_transport_agrees_with_the_report_and_refuses_other_names():
    said = {finding.name: finding.value for finding in doctor.examine()}
    for name in ("gloo", "nixl", "nccl", "cuda_ipc"):
        assert doctor.has_transport(name.upper()) == (said[f"RDT {name}"] == "yes")
    with pytest.raises(ValueError, match="'banana'; it has gloo, nixl"):
        doctor.has_transport("banana")


def test_the_doctor_runs_here_without_importing_ray():
    code = "import sys; from klaw_course import doctor; doctor.examine(); print('ray' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == "False", run.stderr


def test_the_command_prints_one_screen():
    run = subprocess.run([sys.executable, "-m", "klaw_course.doctor"], capture_output=True, text=True, timeout=120)
    lines = run.stdout.splitlines()
    assert run.returncode == any(line.startswith("FAIL") for line in lines), run.stdout + run.stderr
    assert lines[-1].startswith("The course can") and len(lines) <= 40
    assert all(len(line) <= 80 for line in lines)
