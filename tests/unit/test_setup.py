"""What the set-up says in several places agrees: versions, the README, the make targets, the pictures."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10; pytest brings it there
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TARGETS = dict(re.findall(r"^([a-z]+):.*?## (.+)$", MAKEFILE, re.M))
ROW = re.compile(r"^\| \[([^]]+)\]\((notebooks/[^)]+)\) \| (.+?) \| (\d+) \+ (\d+) \+ (\d+) \|$", re.M)
# In pieces, so that this file does not name them.
REGISTRIES = [".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"))]
REGISTRIES += [".".join(parts) for parts in (("download", "pytorch", "org"), ("debian", "org"), ("anaconda", "org"))]


def pins(python: str) -> dict[str, str]:
    """Package to version, of the course and its tests, for that Python."""
    wanted = [Requirement(line) for line in PROJECT["dependencies"] + EXTRAS["test"]]
    chosen = [
        package for package in wanted if not package.marker or package.marker.evaluate({"python_version": python})
    ]
    assert len({package.name for package in chosen}) == len(chosen), f"a package is listed twice for Python {python}"
    return {_key(package): str(package.specifier) for package in chosen}


def _key(package: Requirement) -> str:
    return f"{package.name}[{','.join(sorted(package.extras))}]" if package.extras else package.name


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_every_dependency_is_pinned_once_for_every_python(python):
    versions = pins(python)
    assert versions.keys() == pins("3.11").keys()
    assert all(re.fullmatch(r"==[0-9.]+", version) for version in versions.values()), versions


def test_environment_yml_agrees_with_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python = next(line for line in environment["dependencies"] if str(line).startswith("python="))
    lines = next(line["pip"] for line in environment["dependencies"] if isinstance(line, dict))
    listed = {_key(package): str(package.specifier) for package in map(Requirement, lines)}
    assert listed == pins(python.removeprefix("python="))


def test_the_pinned_ray_is_the_one_that_is_installed():
    assert f"=={metadata.version('ray')}" == pins("3.11")["ray[default]"]
    assert "Ray Core](https://docs.ray.io) " + ".".join(metadata.version("ray").split(".")[:2]) in README


def test_a_worker_does_not_build_a_grammar_to_import_ray():
    code = "import sys, ray; print(sorted({'rfc3987_syntax', 'lark'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.stdout.strip() == "[]", "every worker needs a second more; see jsonschema in pyproject.toml"


def test_torch_has_one_version_everywhere():
    (torch,) = EXTRAS["torch"]
    assert set(re.findall(r"torch==[0-9.]*\d", README)) == {torch}
    script = (ROOT / ".ci" / "install-torch").read_text(encoding="utf-8")
    pattern = re.search(r"sed -n '(.+?)'", script)[1]
    version = subprocess.run(["sed", "-n", pattern, ROOT / "pyproject.toml"], capture_output=True, text=True).stdout
    assert f"torch=={version.strip()}" == torch


def test_pre_commit_uses_the_pinned_ruff():
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"ruff==[0-9.]+", text)) == {line for line in EXTRAS["test"] if line.startswith("ruff==")}
    assert all(hook["language"] == "python" for repo in yaml.safe_load(text)["repos"] for hook in repo["hooks"])


def test_every_folder_with_code_is_installed():
    folders = {path.parent for path in (ROOT / "klaw_course").rglob("*.py")}
    without = [str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").exists()]
    assert not without, f"setuptools leaves out a folder without __init__.py: {without}"


def test_the_package_says_what_each_part_is_for():
    import klaw_course

    listed = set(re.findall(r"^    (\w+)  ", klaw_course.__doc__, re.M))
    parts = {path.stem for path in (ROOT / "klaw_course").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert listed == {part for part in parts if not part.startswith("_")}


# --- the README ------------------------------------------------------------------------------------------------------


def test_the_readme_lists_the_lessons_on_disk_in_order():
    listed = [path for _, path, *_ in ROW.findall(README)]
    assert listed == [f"notebooks/{path.name}" for path in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_the_readme_has_the_title_and_the_minutes_of_the_lesson(path):
    row = next((row for row in ROW.findall(README) if row[1] == f"notebooks/{path.name}"), None)
    assert row, f"README.md has no row for {path.name}"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    title = re.search(r"^# (.+)$", text, re.M)[1]
    minutes = re.search(r"^\*\*Minutes:\*\* read (\d+) · run (\d+) · do (\d+)$", text, re.M)
    assert minutes, f"{path.name} has no line with its minutes"
    assert (row[0], row[3:]) == (title, minutes.groups())


def test_the_readme_fits_a_screen():
    assert len(README.splitlines()) <= 72


def test_what_is_told_to_make_exists():
    told = set(re.findall(r"^    make ([a-z]+)|`make ([a-z]+)", README + CONTRIBUTING, re.M))
    assert {"lab", "test", "check", "reset"} <= {"".join(pair) for pair in told} <= TARGETS.keys()


def test_places_that_contributing_names_exist():
    named = re.findall(r"`((?:klaw_course|images|notebooks|tests)/[\w./]*)`", CONTRIBUTING)
    assert len(named) > 10
    missing = [name for name in named if not (ROOT / name).exists()]
    assert set(missing) <= {"notebooks/deeper/"}, (
        f"CONTRIBUTING.md names {missing}, which are not there"
    )  # not written yet


def test_files_that_the_readme_names_exist():
    named = re.findall(r"\]\(([^):]+)\)", README) + re.findall(r"`([\w./-]+\.(?:md|yml|toml|py))`|`(LICENSE)`", README)
    for name in named:
        name = name if isinstance(name, str) else name[0] or name[1]
        assert (ROOT / name).exists(), f"README.md names {name}, which is not there"


# --- make and CI -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_alone_lists_every_target():
    run = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, env=_clean_environment())
    listed = dict(line.split(maxsplit=2)[1:] for line in run.stdout.splitlines())
    phony = set(re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.M)[1].split())
    assert listed == TARGETS and phony == {"help", *listed}


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_clean_leaves_the_learners_work(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    kept = ["work/03_scheduling.ipynb", "work/.ipynb_checkpoints/x.ipynb", "work/mine/__pycache__/x.pyc"]
    kept += ["notebooks/.ipynb_checkpoints/x.ipynb", "Makefile"]
    gone = [".venv/bin/x", "klaw_course/__pycache__/x.pyc", ".ruff_cache/x", "notebooks/.ruff_cache/x"]
    for name in [*kept[:-1], *gone]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    run = subprocess.run(["make", "clean"], cwd=tmp_path, capture_output=True, text=True, env=_clean_environment())
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert run.returncode == 0 and left == set(kept), run.stderr


def test_neither_git_nor_ruff_looks_into_work():
    run = subprocess.run(["git", "check-ignore", "work/00_start.ipynb"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode in (0, 128), "work/ belongs in .gitignore"  # 128: this is no git repository
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]
    assert "work" in config["extend-exclude"]


SETTINGS = json.loads((ROOT / ".jupyter/labconfig/default_setting_overrides.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("plugin", SETTINGS)
def test_jupyterlab_knows_the_settings_for_a_calm_first_view(plugin):
    """A setting of another name would be ignored without a word."""
    package, name = plugin.split(":")
    schema = Path(sys.prefix) / "share/jupyter/lab/schemas" / package / f"{name}.json"
    known = json.loads(schema.read_text(encoding="utf-8"))["properties"]
    for setting, value in SETTINGS[plugin].items():
        choices = [choice["const"] for choice in known[setting].get("oneOf", [])] or [True, False]
        assert value in choices, f"{setting} is one of {choices}"


def test_make_lab_uses_these_settings():
    folder = re.search(r'JUPYTER_CONFIG_PATH="\$\(CURDIR\)/([.\w]+)', MAKEFILE)[1]
    code = "from jupyterlab_server.settings_utils import _get_overrides as get; print(list(get('none')[0]))"
    environment = os.environ | {"JUPYTER_CONFIG_PATH": str(ROOT / folder)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert set(SETTINGS) <= set(re.findall(r"'([^']+)'", run.stdout)), run.stderr


def test_ci_runs_the_test_command_of_the_readme():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    command = script.read_text(encoding="utf-8").splitlines()[-1]
    assert re.search(rf"^    {re.escape(command)} ", README, re.M), (
        f".ci/run calls {command!r}, which README.md does not"
    )


def test_no_file_names_a_registry():
    for path in _files_of_the_course():
        text = path.read_text(encoding="utf-8", errors="ignore")
        assert not [host for host in REGISTRIES if host in text], f"{path.relative_to(ROOT)} names a registry's host"


def _clean_environment() -> dict[str, str]:
    """Without what an outer make hands down, such as its own options."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}


def _files_of_the_course() -> list[Path]:
    run = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        pytest.skip("not a git repository")
    return [ROOT / name for name in run.stdout.splitlines() if (ROOT / name).is_file()]


# --- the pictures ----------------------------------------------------------------------------------------------------


def _draw():
    spec = importlib.util.spec_from_file_location("draw", ROOT / "images" / "draw.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pictures_on_disk_are_those_that_the_script_draws():
    drawn = {name: svg.encode("utf-8") for name, svg in _draw().pictures().items()}
    on_disk = {path.name: path.read_bytes() for path in (ROOT / "images").glob("*.svg")}
    differing = sorted(name for name in drawn.keys() | on_disk.keys() if drawn.get(name) != on_disk.get(name))
    assert not differing, f"run make images; these differ: {', '.join(differing)}"


@pytest.mark.parametrize("path", sorted((ROOT / "images").glob("*.svg")), ids=lambda path: path.name)
def test_every_picture_has_a_title_and_a_description_and_fetches_nothing(path):
    root = ElementTree.parse(path).getroot()
    for part in ("title", "desc"):
        element = root.find(f"{{http://www.w3.org/2000/svg}}{part}")
        assert element is not None and element.text.strip(), f"{path.name} has no <{part}>"
    links = [value for element in root.iter() for key, value in element.attrib.items() if key.endswith("href")]
    assert all(link.startswith("#") for link in links)
