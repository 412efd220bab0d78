# Python 3.11 or newer is all that a machine needs. Everything else, PostgreSQL included, goes into .venv.
#   make daily-refresh ARGS="--ids 1,52"     arguments of the program that a target runs
#   make setup PYTHON=python3.13             the Python to use, instead of the first suitable one

# Targets run one after the other, in the order in which they are named, also with make -j.

.DEFAULT_GOAL := help
.SILENT:
.NOTPARALLEL:
.PHONY: help setup bars emas daily-refresh dry-run validate report demo move psql test lint check law faults inputs endurance bench lock test-examples

PYTHONS := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
SUITS := import ensurepip, sys; sys.exit(sys.version_info < (3, 11))
unexport PYTHONDONTWRITEBYTECODE  # programs are started again and again, by tests thousands of times
RUN := .venv/bin/python
RUN_EXAMPLES := .venv-examples/bin/python
PINNED := -m pip install --quiet --quiet --disable-pip-version-check --require-hashes --only-binary :all: --requirement
INSTALL := $(RUN) $(PINNED)
COMPILE := CUSTOM_COMPILE_COMMAND="make lock" build/lock/bin/pip-compile --quiet --upgrade --generate-hashes \
	--allow-unsafe --strip-extras --annotation-style line \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host pyproject.toml --output-file

help: ## list the targets
	awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.runtime ## create .venv with what a refresh needs

daily-refresh: .venv/.runtime ## bring bars, then EMAs, up to date
	$(RUN) run_daily_refresh.py --all $(ARGS)

bars: .venv/.runtime ## bring bars up to date
	$(RUN) run_daily_refresh.py --bars $(ARGS)

emas: .venv/.runtime ## bring EMAs up to date
	$(RUN) run_daily_refresh.py --emas $(ARGS)

dry-run: .venv/.runtime ## show what daily-refresh would do, and why
	$(RUN) run_daily_refresh.py --all --dry-run $(ARGS)

validate: .venv/.runtime ## check every table against the daily bars, and a sample of assets against the source
	$(RUN) run_daily_refresh.py --validate $(ARGS)

report: .venv/.runtime ## write report.html, a page about the database
	$(RUN) run_daily_refresh.py --html report.html $(ARGS)

demo: .venv/.runtime ## from nothing to a page: the sample, a refresh, a validation, a report
	$(RUN) run_daily_refresh.py --all --validate --sample all --html report.html $(ARGS)

move: .venv/.runtime ## move EMA tables of the former layout behind views of the same names
	$(RUN) -m refresh.commands.move

psql: .venv/.runtime ## open psql on the database that a refresh would use, the embedded one included; ARGS go to psql
	$(RUN) -m refresh.commands.psql $(ARGS)

test: check ## check, then run every test
	$(RUN) -m pytest $(if $(CI),-n 2 --dist worksteal) $(ARGS)

check: lint ## lint, then check the types
	$(RUN) -m mypy

lint: .venv/.dev ## find common mistakes and unformatted files
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check

law: .venv/.dev ## search longer for a history after which refreshed tables differ from rebuilt ones: EXAMPLES=5000
	REFRESH_LAW_EXAMPLES=$(or $(EXAMPLES),5000) $(RUN) -m pytest tests/acceptance/test_law.py $(ARGS)

faults: .venv/.dev ## let each fault strike in the middle of refreshes, and write docs/faults.md: HITS=20
	REFRESH_FAULT_HITS=$(or $(HITS),20) REFRESH_FAULT_SHEET=docs/faults.md \
		$(RUN) -m pytest tests/faults/test_faults.py -n 2 --dist worksteal $(ARGS)

inputs: .venv/.dev ## search longer for input that a program does not survive: EXAMPLES=2000
	REFRESH_INPUT_EXAMPLES=$(or $(EXAMPLES),2000) $(RUN) -m pytest tests/inputs $(ARGS)

test-examples: .venv-examples/.packages ## run the examples with their schedulers, in an environment of their own
	rm -rf build/lib
	$(RUN_EXAMPLES) -m pip install --quiet --quiet --disable-pip-version-check --no-deps --no-index --no-build-isolation \
		--force-reinstall .
	.venv-examples/bin/pytest tests/examples $(ARGS)

bench: .venv/.dev ## measure the refresh against goals, in one table: ARGS="--only night --scale 0.2"
	$(RUN) -m bench $(ARGS)

endurance: .venv/.dev ## put the refresh under load, in one table of limits: ARGS="--only races --scale 0.1"
	$(RUN) -m bench.endurance $(ARGS)

lock: ## pin the newest releases of the dependencies in pyproject.toml, for Python 3.11 and newer
	$(or $(PYTHON),python3.11) -m venv --clear build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check pip-tools
	$(COMPILE) requirements.txt
	$(COMPILE) requirements-dev.txt --extra dev --constraint requirements.txt
	$(COMPILE) requirements-examples.txt --extra examples --constraint requirements.txt

.venv/.runtime: requirements.txt | .venv/bin/python
	echo "installing requirements.txt into .venv"
	$(INSTALL) requirements.txt
	touch $@

.venv/.dev: requirements-dev.txt | .venv/bin/python
	echo "installing requirements-dev.txt into .venv"
	$(INSTALL) requirements-dev.txt
	touch $@ .venv/.runtime  # requirements-dev.txt includes requirements.txt

.venv-examples/.packages: requirements-examples.txt | .venv-examples/bin/python
	echo "installing requirements-examples.txt into .venv-examples"
	$(RUN_EXAMPLES) $(PINNED) requirements-examples.txt
	touch $@

.venv/bin/python .venv-examples/bin/python:
	for python in $(PYTHONS); do \
		"$$python" -c "$(SUITS)" 2>/dev/null || continue; \
		"$$python" -m venv --clear $(@:/bin/python=) && exit; \
		rm -rf $(@:/bin/python=); exit 1; \
	done; \
	echo "Python 3.11 or newer with venv is needed, but none was found as: $(PYTHONS); name one: make PYTHON=..." >&2; \
	exit 1
