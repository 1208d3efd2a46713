# Everything runs in .venv, which the first target that needs it makes. Repeating a target installs nothing again
# until pyproject.toml changes. Another Python: make lab PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
ROOT_FLAG := $(shell [ "$$(id -u)" = 0 ] && echo --allow-root)

.PHONY: help lab reset check test lint format minutes doctor bench images clean

help:
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# root_dir is the whole course, not the notebook's folder: else JupyterLab would not serve ../images. In .jupyter are
# settings for a calm first view: no question about news (--LabApp.news_url=None does not prevent it), and no column of
# dates that cuts the names of the lessons.
lab: $(READY) ## open JupyterLab on your copy of the first lesson
	@$(BIN)/python -m klaw_course.notebook fill
	JUPYTER_CONFIG_PATH="$(CURDIR)/.jupyter$${JUPYTER_CONFIG_PATH:+:$$JUPYTER_CONFIG_PATH}" $(BIN)/python -m jupyterlab \
		work/00_start.ipynb --ServerApp.root_dir="$(CURDIR)" --ServerApp.ip=127.0.0.1 $(ROOT_FLAG)

reset: $(READY) ## LESSON=03: make your copy of a lesson anew, and keep the old one
	@$(BIN)/python -m klaw_course.notebook reset "$(LESSON)"

check: lint ## check the style, the form of the lessons and what needs no Ray (a minute)
	$(BIN)/python -m pytest tests/unit tests/lessons --ignore=tests/lessons/test_attached.py

# Two at a time, for most of the time is spent waiting; conftest.py says which two, and which run alone.
# A process that dies is not replaced: with its replacement, xdist waits for ever and never says which test it was.
test: lint ## check everything, and run every notebook (minutes)
	$(BIN)/python -m pytest -n 2 --no-loadscope-reorder --max-worker-restart=0

lint: $(READY) ## check the style of code and notebooks
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check

format: $(READY) ## put code and notebooks into that style
	$(BIN)/python -m ruff check --fix
	$(BIN)/python -m ruff format

minutes: $(READY) ## compute the minutes to read, and write them into lessons, README.md and SCHEDULE.md
	$(BIN)/python tests/lessons/minutes.py

doctor: $(READY) ## can this machine run the course?
	$(BIN)/python -m klaw_course.doctor

bench: $(READY) ## compare ways to submit calls and to pass messages (minutes)
	$(BIN)/python -m klaw_course.bench all

images: $(READY) ## draw the pictures again
	$(BIN)/python images/draw.py

clean: ## delete .venv and every cache; work/, with your answers, stays
	rm -rf $(VENV) build *.egg-info
	find . \( -path ./work -o -path ./.git \) -prune -o \
		\( -name __pycache__ -o -name .pytest_cache -o -name .ruff_cache \) -prune -exec rm -rf {} +

# A .venv without pip is what a failed "python -m venv" leaves; it is made anew.
$(READY): pyproject.toml
	@command -v $(PYTHON) >/dev/null || \
		{ echo "There is no $(PYTHON) here; install Python 3.10 to 3.14, or name yours: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 15))' || { $(PYTHON) --version >&2; \
		echo "The course needs Python 3.10 to 3.14; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || \
		{ echo "$(PYTHON) could not make $(VENV); install your system's venv package (Debian, Ubuntu: python3-venv)." >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@sh .ci/install-torch $(BIN)/python
	@touch $@
