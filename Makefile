# make quickstart   a real sweep on an embedded data set: Parquet, table, figures, page (installs into .venv first)
# make test         all checks: format, lint, types, tests (installs into .venv first)
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python
CLUSTER = tests/integration_tests/test_cluster.py

.PHONY: quickstart test check-code test-ray test-quick test-cluster test-faults faults-table mutants benchmarks clean

quickstart: $(VENV)/.ready
	$(RUN) tune_main.py run quickstart
	$(RUN) tune_main.py table quickstart
	$(RUN) tune_main.py plot quickstart
	$(RUN) tune_main.py report quickstart

# Two at a time: most of the tests that start Ray, one after the other, beside all else.
test: $(VENV)/.ready-tests
	$(MAKE) --jobs=2 --keep-going --output-sync=target check-code test-ray test-quick test-cluster

check-code: $(VENV)/.ready-tests
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy

test-ray: $(VENV)/.ready-tests
	$(RUN) -m pytest -m ray --ignore=$(CLUSTER)

test-quick: $(VENV)/.ready-tests
	$(RUN) -m pytest -m "not ray"

# Several nodes, each with a network and a disk of its own; skips, and says so, where they cannot be made.
test-cluster: $(VENV)/.ready-tests
	$(RUN) -m pytest -m ray $(CLUSTER)

# The tests that take minutes: a sweep that is killed 20 and 50 times, a full disk, benchmarks.
test-faults: $(VENV)/.ready-tests
	$(RUN) -m pytest -m faults

# What the user sees of each fault, as the tests see it, into tests/integration_tests/faults.md.
faults-table: $(VENV)/.ready-tests
	BATCHSCAPE_WRITE_FAULTS=1 $(RUN) -m pytest tests/integration_tests -m "ray or faults"

# Changes in the code that must lose nothing, one place at a time, that no test notices. Takes hours.
mutants: $(VENV)/.ready-tests
	$(RUN) -m pip install --quiet "cosmic-ray>=8.7"
	$(RUN) tests/mutants.py

benchmarks: $(VENV)/.ready
	$(RUN) benchmarks/overhead.py
	$(RUN) benchmarks/data_memory.py
	$(RUN) benchmarks/answer_times.py
	$(RUN) benchmarks/training_speed.py
	$(RUN) benchmarks/machine_limit.py
	$(RUN) benchmarks/whole_sweep.py
	$(RUN) benchmarks/store_scale.py
	$(RUN) benchmarks/search_quality.py --problems held_out
	$(RUN) benchmarks/search_quality.py --faults
	$(RUN) benchmarks/driver_scale.py
	$(RUN) benchmarks/checkpoint_cost.py
	$(RUN) benchmarks/checkpoint_cost.py --weights
	$(RUN) benchmarks/option_cost.py
	$(RUN) benchmarks/own_model.py
	$(RUN) benchmarks/estimates.py
	$(RUN) benchmarks/verdict_errors.py
	$(RUN) benchmarks/insight_coverage.py
	$(RUN) benchmarks/insight_repeats.py
	$(RUN) benchmarks/kill_rounds.py --rounds 40
	$(RUN) benchmarks/kill_rounds.py --rounds 10 --search --max-concurrent 1
	$(RUN) benchmarks/kill_rounds.py --rounds 10 --search --max-concurrent 2
	$(RUN) benchmarks/kill_rounds.py --rounds 10 --search --max-concurrent 1 --scheduler promotion
	$(RUN) benchmarks/kill_rounds.py --rounds 10 --search --max-concurrent 1 --algorithm mfgp --scheduler promotion

$(VENV)/.ready: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --requirement requirements.txt
	touch $@

$(VENV)/.ready-tests: tests/requirements.txt deploy/requirements.txt $(VENV)/.ready
	$(RUN) -m pip install --quiet --requirement tests/requirements.txt
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
