# Each target is one command, in a virtual environment that the first one makes.
# STEPS: budget of `make race` in agent steps; docs/results/time_to_900.md says how long they take.
STEPS ?= 300000
PYTHON ?= python3
# Another environment, with the newest versions: make unit VENV=build/3.13 PYTHON=python3.13 CONSTRAINTS=
VENV ?= .venv
# File of the versions to install; empty for the newest.
CONSTRAINTS ?= constraints.txt
# The CPU build of torch is enough and a tenth of the download. Empty: pip's own index.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --retries 1 $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))

.PHONY: venv race tutorial docs check unit test arcade gpu dist lint type gymnasium oldest soak bench clean
venv: $(VENV)/installed

$(VENV)/installed: setup.cfg pyproject.toml sb3_cardqn/version.txt $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
	$(PIP) --editable .
	touch $@

$(VENV)/tests-installed: $(VENV)/installed
	$(PIP) --editable .[tests]
	touch $@

race: $(VENV)/installed
	$(BIN)/sb3-cardqn train --algo cardqn --env CarRacing-v3 -conf hyperparams/race.yml -P -n $(STEPS) --eval-freq 20000 --eval-episodes 20 --n-eval-envs 5 --log-interval -2 --num-threads 1 --vec-env subproc
	$(BIN)/sb3-cardqn race

# FAST=1 make tutorial: budgets that only show that the cells run
tutorial: $(VENV)/tutorial-installed
	$(BIN)/jupyter lab docs/tutorial

$(VENV)/tutorial-installed: $(VENV)/installed
	$(PIP) --editable .[tutorial]
	touch $@

docs: $(VENV)/tests-installed
	$(BIN)/sphinx-build -W --keep-going --quiet -b html docs build/docs

# Three minutes: what runs in the tests' own process.
check: lint type unit

unit: $(VENV)/tests-installed
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow and not soak"

# Everything. Tests that share what a fixture has trained mostly stay in one process.
test: lint type docs
	$(BIN)/pytest -n 2 --dist worksteal
	$(MAKE) arcade

# Atari and MinAtar, with packages that no other test may see: they bring hundreds of ids.
arcade: $(VENV)/tests-installed
	$(PIP) --no-deps --upgrade --target build/arcade ale-py MinAtar==1.0.15
	PYTHONPATH=build/arcade $(BIN)/pytest tests/zoo tests/policy_file/test_policy_file.py -k "atari or minatar"

# What depends on the device, on the first GPU; the last line says how many tests ran.
gpu: $(VENV)/tests-installed
	@$(BIN)/python -c "import sys, torch; torch.cuda.is_available() or sys.exit('make gpu: no GPU for torch ' + torch.__version__ + '; with the CPU build of torch: make clean, then make gpu TORCH_INDEX=')"
	CUDA_VISIBLE_DEVICES=$${CUDA_VISIBLE_DEVICES:-0} $(BIN)/pytest -m gpu

lint: $(VENV)/tests-installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell

type: $(VENV)/tests-installed
	$(BIN)/mypy

# FastRender copies private parts of Gymnasium: its tests with the other releases that it knows.
gymnasium: $(VENV)/tests-installed
	for release in 1.2.3 1.3.0; do \
		$(BIN)/python -m pip --quiet install --no-deps --upgrade --target build/gymnasium-$$release gymnasium==$$release && \
		PYTHONPATH=build/gymnasium-$$release $(BIN)/pytest tests/env/test_fast_render.py || exit 1; \
	done

# The unit tests and Atari with the oldest releases that setup.cfg allows.
oldest: build/oldest.txt
	$(MAKE) unit arcade VENV=build/oldest CONSTRAINTS=build/oldest.txt

build/oldest.txt: setup.cfg
	$(PYTHON) -m venv build/uv
	build/uv/bin/python -m pip --disable-pip-version-check install --quiet uv
	build/uv/bin/uv pip compile --quiet --python build/uv/bin/python --resolution lowest-direct \
		--extra atari --extra onnx --extra ray --output-file $@ setup.cfg

# SOAK_MINUTES: how long the memory of a run is watched.
soak: $(VENV)/tests-installed
	$(BIN)/pytest -m soak -s tests/test_soak.py tests/policy_file/test_policy_file.py tests/docs/test_readme.py

# The wheel has to work without the repository: it is installed in an empty environment, in a folder of its own, and races.
dist: $(VENV)/dist-installed
	rm -rf dist build/dist build/lib build/bdist.*
	$(BIN)/python -m build --outdir dist
	$(BIN)/twine check --strict dist/*
	$(PYTHON) -m venv build/dist/venv
	build/dist/venv/bin/python -m pip --disable-pip-version-check install --quiet $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS)) \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) dist/*.whl
	cd build/dist && venv/bin/sb3-cardqn race cardqn --tracks 1 --fast && test -s race.mp4
	@echo "dist: sdist and wheel are built, checked, installed and have raced"

$(VENV)/dist-installed: $(VENV)/installed
	$(PIP) --editable .[dist]
	touch $@

bench: $(VENV)/installed
	$(BIN)/sb3-cardqn bench env
	$(BIN)/sb3-cardqn bench learn

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info build dist
