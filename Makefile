# `make demo` runs the main job on the embedded sandbox; `make test` runs all checks and tests.
# Each installs what it needs into $(VENV), once.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= demo

.PHONY: help demo lab dashboard test coverage quick browser stores check format bench conformance docs offline audit pictures reliability simulate soak clean

help:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

demo: $(VENV)/.sandbox ## run the main job end to end; writes to $(OUT)/
	$(BIN)/python -m llama_batches_nb demo --out $(OUT)

lab: $(VENV)/.lab ## open the tour in JupyterLab, on the sandbox
	$(BIN)/python -m jupyterlab notebooks/tour.ipynb $(if $(filter 0,$(shell id -u)),--allow-root)

dashboard: $(VENV)/.lab ## serve the dashboard as a web page at the URL it prints
	cd notebooks && ../$(BIN)/python -m voila dashboard.ipynb --no-browser --Voila.ip=127.0.0.1

test: check browser stores ## run all checks, tests, examples and notebooks
	@# Some tests depend on the time that processes, kernels and browsers take. What fails while all
	@# cores are busy is run once more, alone; what fails twice is a failure.
	$(BIN)/python -m pytest -n auto --dist loadgroup \
		|| $(BIN)/python -m pytest --last-failed --last-failed-no-failures none

coverage: check browser stores ## run all tests and list the lines that none of them reaches; takes longer
	$(BIN)/python -m pytest -n auto --dist loadgroup --cov --cov-report=term-missing:skip-covered

quick: $(VENV)/.test ## run the unit tests of the core, without generated examples
	$(BIN)/python -m pytest -n auto -q -p no:schemathesis -m 'not hypothesis and not dask and not slow' \
		--ignore tests/analysis/test_engines.py tests/tables tests/analysis tests/http tests/fetch

browser: $(VENV)/.test ## install a browser for the tests if there is none
	$(BIN)/python -m tests.browser.installing

stores: $(VENV)/.stores ## install emulators of object stores: for Azure only if npm is installed
	@if command -v npm >/dev/null && ! test -x $(VENV)/azurite/node_modules/.bin/azurite-blob; then \
		timeout 100 npm install --silent --no-audit --no-fund --prefix $(VENV)/azurite 'azurite@^3.35' || \
			{ rm -rf $(VENV)/azurite; echo 'azurite cannot be installed: the tests on Azure are skipped'; }; \
	fi

check: $(VENV)/.test ## check formatting, lint, types, import layers and prose
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.prose

format: $(VENV)/.test ## format the code and apply safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.test ## compare the speed with the official SDK, the raw bytes and hand-written queries
	$(BIN)/python -m tests.benchmarks.fetching
	$(BIN)/python -m tests.benchmarks.compression
	$(BIN)/python -m tests.benchmarks.analysis
	$(BIN)/python -m tests.benchmarks.patterns
	$(BIN)/python -m tests.benchmarks.syncing
	$(BIN)/python -m tests.benchmarks.outputs
	$(BIN)/python -m tests.benchmarks.panels
	$(BIN)/python -m tests.benchmarks.sync_outputs

conformance: $(VENV)/.test ## run the official SDK's own tests against the sandbox
	$(BIN)/python -m tests.conformance

simulate: $(VENV)/.test ## measure intervals and marks of changes on simulated histories
	$(BIN)/python -m tests.simulation

docs: $(VENV)/.docs ## build the documentation site into site/html; a warning is an error
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -d site/doctrees docs site/html

pictures: browser ## make the pictures of the README and the documentation
	$(BIN)/python -m tests.pictures

offline: ## build, install from local wheels only, and run the main job
	rm -rf dist/online dist/wheels dist/offline dist/demo
	$(PYTHON) -m venv dist/online
	dist/online/bin/python -m pip wheel --quiet --disable-pip-version-check --wheel-dir dist/wheels '.[sandbox]'
	$(PYTHON) -m venv dist/offline
	dist/offline/bin/python -m pip install --quiet --disable-pip-version-check --no-index --find-links dist/wheels 'llama_batches_nb[sandbox]'
	cd dist && offline/bin/python -m llama_batches_nb demo --out demo

audit: $(VENV)/.test ## check the installed packages against known security advisories
	$(PYTHON) -m venv dist/audit
	dist/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(BIN)/python -m pip freeze --exclude-editable > dist/audit/installed.txt
	dist/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement dist/audit/installed.txt

reliability: $(VENV)/.stores ## run every function under every fault; updates the tables in docs
	$(BIN)/python -m tests.reliability
	$(BIN)/python -m tests.reliability.datasets
	$(BIN)/python -m tests.reliability.exits
	$(BIN)/python -m tests.reliability.parallel
	EVERY_CALL=1 DATASET_READS=1000 $(BIN)/python -m pytest --timeout 0 tests/dataset/test_readers.py \
		tests/dataset/test_writers.py tests/dataset/test_sync_interrupted.py

soak: $(VENV)/.test ## load test: ten million rows, 200 clients of one rate limit
	$(BIN)/python -m tests.reliability.soak

clean: ## remove everything that these commands created
	rm -rf $(VENV) $(OUT) dist site docs/reference/api docs/tutorials/*.ipynb .coverage .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

$(VENV)/.%: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	touch $@
