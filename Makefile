# One virtual environment with exact versions; every target makes what it needs first.
VENV = .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help quickstart test test-fast lint bench speed cards baselines results api picture behaviour-policies clean

help:
	@echo "make quickstart          install, then from a published table and fresh data to a leaderboard (5 minutes once installed)"
	@echo "make test                install, then run every test"
	@echo "make test-fast           the same without the slow tests, two at a time (under 3 minutes)"
	@echo "make lint                ruff and types"
	@echo "make bench               every speed benchmark, one after the other"
	@echo "make speed               the page of what the benchmarks measured, docs/speed.md"
	@echo "make cards               cards of the local datasets in DATUMRL_HOME, into leaderboard/cards and docs"
	@echo "make baselines           train the local suite's reference results in DATUMRL_HOME (hours)"
	@echo "make results             what the project's reference results say, into docs/local_results.md"
	@echo "make api                 the reference of the Python API, from signatures and docstrings, into docs/api.md"
	@echo "make picture             the README's pictures of the board, by a headless browser"
	@echo "make behaviour-policies  train the policies behind the local suite (hours)"
	@echo "make clean               remove the virtual environment, caches and builds"

$(READY): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "datumrl needs Python 3.11 or newer; found $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ echo "this Python has no ensurepip; install its venv package (Debian: apt-get install python3-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	@touch $@

quickstart: $(READY)
	$(BIN)/datumrl quickstart

test: $(READY)
	$(BIN)/python -m pytest

test-fast: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

# mypy must see the folders under their import names, which package_dir gives them at installation.
lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@rm -rf .types && mkdir -p .types/datumrl
	@for file in datumrl/*.py; do ln -s ../../$$file .types/$$file; done
	@for folder in algorithms datasets evaluation leaderboard scripts; do ln -s ../../$$folder .types/datumrl/$$folder; done
	cd .types && ../$(BIN)/python -m mypy --config-file ../mypy.ini -p datumrl

# All keep what they measured in benchmarks/results (--results FILE: elsewhere). The studies of level, coverage and training, and
# the kill test, take hours and are run by hand.
NO_SPEED = %_study.py %_calibration.py %_cells.py %/kill_test.py %/kept_results.py %/write_speed_page.py %/reproduce_by_training.py
BENCHMARKS = $(filter-out $(NO_SPEED),$(wildcard benchmarks/*.py))

bench: $(READY)
	@for study in $(BENCHMARKS); do echo "== $$study"; $(BIN)/python $$study || exit 1; done

# The page of what the benchmarks kept: docs/speed.md.
speed: $(READY)
	$(BIN)/python benchmarks/write_speed_page.py

# Published with the suite; each takes a minute or so.
cards: $(READY)
	$(BIN)/python -m datumrl.scripts.write_local_cards
	$(BIN)/python -m datumrl.scripts.write_local_tables

# Some ten hours of two cores; killed, it resumes.
baselines: $(READY)
	$(BIN)/python -m datumrl.scripts.train_baselines

# What the results that come with the project say: docs/local_results.md.
results: $(READY)
	$(BIN)/python -m datumrl.scripts.write_local_results

api: $(READY)
	$(BIN)/python -m datumrl.scripts.write_api_reference

picture: $(READY)
	$(BIN)/python -m datumrl.scripts.board_picture

.venv-policies/.ready: constraints-policies.txt
	$(PYTHON) -m venv .venv-policies
	.venv-policies/bin/python -m pip install --quiet --disable-pip-version-check -r constraints-policies.txt
	@touch $@

# Each training takes an hour or two on one core and resumes where it was killed; `make -j2` does two.
behaviour-policies: policies-Hopper-v4 policies-HalfCheetah-v4 policies-Walker2d-v4

policies-%: .venv-policies/.ready $(READY)
	.venv-policies/bin/python scripts/train_behaviour_policy.py $* --out runs/policies/$*
	$(BIN)/python scripts/select_behaviour_policies.py $* runs/policies/$*

clean:
	rm -rf $(VENV) .types .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
