# Everything runs in .venv, which the first target that needs it makes. Repeating a target installs nothing again
# until pyproject.toml changes. Another Python: make lab PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
ROOT_FLAG := $(shell [ "$$(id -u)" = 0 ] && echo --allow-root)

.PHONY: help lab test lint format doctor bench images clean

help:
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# root_dir is the whole course, not the notebook's folder: else JupyterLab would not serve ../images.
lab: $(READY) ## open JupyterLab on the first lesson
	$(BIN)/python -m jupyterlab notebooks/00_start.ipynb --ServerApp.root_dir="$(CURDIR)" \
		--ServerApp.ip=127.0.0.1 --LabApp.news_url=None \
		--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate $(ROOT_FLAG)

test: lint ## check the style, the helpers, the form of the lessons, and run every notebook
	$(BIN)/python -m pytest

lint: $(READY) ## check the style of code and notebooks
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check

format: $(READY) ## put code and notebooks into that style
	$(BIN)/python -m ruff check --fix
	$(BIN)/python -m ruff format

doctor: $(READY) ## can this machine run the course?
	$(BIN)/python -m klaw_course.doctor

bench: $(READY) ## compare ways to submit calls and to pass messages (minutes)
	$(BIN)/python -m klaw_course.bench all

images: $(READY) ## draw the pictures again
	$(BIN)/python images/draw.py

clean: ## delete .venv and every cache
	rm -rf $(VENV) .pytest_cache .ruff_cache build *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
	find . -name .ipynb_checkpoints -prune -exec rm -rf {} +

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
