# Every target does its own set-up. PYTHON may name any CPython from 3.11 on.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What is timed by alerts must not wait for what else runs; empty where that is not permitted.
REALTIME = $(shell chrt -r 1 true 2>/dev/null && echo chrt -r 1)
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
DEMO_ARGS ?=
PYTEST_ARGS ?=
PROVE_ARGS ?=
SCALE_ARGS ?=
FAULTS_ARGS ?=
FAULT ?= --list

.DEFAULT_GOAL := help
.PHONY: help demo test coverage check kubernetes-check format bench litellm prove faults fault game-day quiet-healthy quiet-rollout quiet-night dashboards metrics-doc matrix manifests requirements wheel clean

help: ## list the targets
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

# Hash-checked, without build isolation: nothing is installed that requirements/ does not pin.
define install
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or later is needed, {sys.executable} is {sys.version.split()[0]}: make PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing requirements/$(1).txt into $(VENV)"
	@$(PIP) install --require-hashes -r requirements/$(1).txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@
endef

$(VENV)/.demo: requirements/demo.txt pyproject.toml
	$(call install,demo)

$(VENV)/.dev: requirements/dev.txt pyproject.toml
	$(call install,dev)
	@touch $(VENV)/.demo

demo: $(VENV)/.demo ## replay a sample log on an embedded Redis, with metrics (DEMO_ARGS="--seconds 60 --outage")
	@$(BIN)/routecache demo $(DEMO_ARGS)

test: $(VENV)/.dev $(VENV)-litellm/.installed ## run all tests whose servers are installed, and name the others
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

coverage: $(VENV)/.dev $(VENV)-litellm/.installed ## run the tests and show which lines none of them reaches
	@$(BIN)/python -m pytest --cov --cov-report=term $(PYTEST_ARGS)

# LiteLLM takes 400 MB with all that it brings: an environment of its own, where the tests start the
# example that drives its Router.
$(VENV)-litellm/.installed: requirements/litellm.txt pyproject.toml
	@test -x $(VENV)-litellm/bin/python || $(PYTHON) -m venv $(VENV)-litellm
	@echo "installing requirements/litellm.txt into $(VENV)-litellm"
	@$(VENV)-litellm/bin/python -m pip --disable-pip-version-check -q install --require-hashes -r $<
	@$(VENV)-litellm/bin/python -m pip --disable-pip-version-check -q install --no-deps --no-build-isolation -e .
	@touch $@

litellm: $(VENV)-litellm/.installed ## the environment in which the tests run LiteLLM (400 MB)

check: $(VENV)/.dev ## lint, types, layers, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python -m routecache_exporters.pack.build --check
	$(BIN)/python -m dashboards.build --check
	$(BIN)/python -m dashboards.reference --check
	$(BIN)/python -m dashboards.families --check
	$(BIN)/python -m tests.contract.matrix --check
	$(BIN)/python -m dashboards.otel_reference --check
	$(BIN)/python -m deploy.generate --check

# The schemas of Kubernetes take 110 MB: an environment of their own, for who needs it.
$(VENV)-kubernetes/.installed: requirements/kubernetes.txt
	@test -x $(VENV)-kubernetes/bin/python || $(PYTHON) -m venv $(VENV)-kubernetes
	@echo "installing requirements/kubernetes.txt into $(VENV)-kubernetes"
	@$(VENV)-kubernetes/bin/python -m pip --disable-pip-version-check -q install --require-hashes -r $<
	@touch $@

kubernetes-check: $(VENV)/.dev $(VENV)-kubernetes/.installed ## check deploy/kubernetes against the schemas of Kubernetes and the Prometheus operator
	@$(BIN)/python -m deploy.generate.kustomize deploy/kubernetes/try | $(VENV)-kubernetes/bin/python .ci/check_kubernetes.py

format: $(VENV)/.dev ## format the code
	$(BIN)/ruff check --fix-only -q .
	$(BIN)/ruff format -q .

bench: $(VENV)/.dev ## measure against peers, in interleaved runs (about 8 minutes)
	@for b in bench/bench_*.py; do $(BIN)/python -m bench.$$(basename $$b .py) || exit 1; done

prove: $(VENV)/.dev ## prove the engine's promises on real servers (about 10 minutes)
	@$(BIN)/python -m bench.prove $(PROVE_ARGS)

prove-%: $(VENV)/.dev ## one proof: outage, coherence, health, resurrection, stampede, failover, storm, books
	@$(BIN)/python -m bench.prove $* $(PROVE_ARGS)

prove-workers: $(VENV)/.dev ## gunicorn under wrk: /metrics against what wrk counted (wants wrk)
	@$(BIN)/python -m bench.prove_workers

prove-scale: $(VENV)/.dev ## what fleets of simulated routers cost a real Prometheus (about 8 minutes; SCALE_ARGS="50 --seconds 60")
	@$(BIN)/python -m bench.scale $(SCALE_ARGS)

faults: $(VENV)/.dev ## put every fault into the monitoring stack, and write docs/alerts-proven.md (about 30 minutes; as root with a real-time priority)
	@$(REALTIME) $(BIN)/python -m bench.faults --write $(FAULTS_ARGS)

fault: $(VENV)/.dev ## one fault and the alerts that tell of it (FAULT=redis_slow; about 6 minutes)
	@$(REALTIME) $(BIN)/python -m bench.faults $(FAULT) $(FAULTS_ARGS)

game-day: $(VENV)/.dev ## a random fault that is not told, to be found from the dashboards (5 minutes; docs/on-call.md)
	@$(REALTIME) $(BIN)/python -m bench.faults.blind $(FAULTS_ARGS)

quiet-healthy: $(VENV)/.dev ## watch routers that are well: nobody is to be notified (about 32 minutes)
	@$(REALTIME) $(BIN)/python -m bench.faults.quiet healthy --write $(FAULTS_ARGS)

quiet-rollout: $(VENV)/.dev ## the same of routers that are rolled out, once a minute (about 32 minutes)
	@$(REALTIME) $(BIN)/python -m bench.faults.quiet rollout --write $(FAULTS_ARGS)

quiet-night: $(VENV)/.dev ## evaluate the rules over a recorded night: no alert is to fire (about 4 minutes)
	@$(BIN)/python -m bench.faults.overnight --write $(FAULTS_ARGS)

dashboards: $(VENV)/.dev ## regenerate dashboards/json and docs/metrics.md from dashboards/*.py
	$(BIN)/python -m dashboards.build
	$(BIN)/python -m dashboards.reference
	$(BIN)/python -m dashboards.families
	$(BIN)/python -m dashboards.otel_reference

monitoring: $(VENV)/.dev ## regenerate what is made of pack/: rules, inhibitions, docs/alerts.md, and what builds on them
	$(BIN)/python -m routecache_exporters.pack.build
	$(BIN)/python -m dashboards.build
	$(BIN)/python -m dashboards.reference
	$(BIN)/python -m dashboards.families
	$(BIN)/python -m deploy.generate

metrics-doc: $(VENV)/.dev ## regenerate docs/metrics.md, docs/scale-families.md and the table in docs/opentelemetry.md
	$(BIN)/python -m dashboards.reference
	$(BIN)/python -m dashboards.families
	$(BIN)/python -m dashboards.otel_reference

matrix: $(VENV)/.dev ## count the contract tests of each promise anew, in docs/promises.md
	$(BIN)/python -m tests.contract.matrix

manifests: $(VENV)/.dev ## regenerate what is made of rules and dashboards: mixin, Kubernetes, OpenSLO
	$(BIN)/python -m deploy.generate

# Pins keep their extras: an older pip looks for `coverage[toml]` beside a pin of `coverage` and refuses
# the newer release that it finds.
COMPILE := $(BIN)/pip-compile -q --generate-hashes --no-strip-extras --allow-unsafe --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options --upgrade
requirements: $(VENV)/.dev ## pin anew what requirements/*.txt hold
	$(COMPILE) --extra cli -o requirements/runtime.txt pyproject.toml
	$(COMPILE) --extra cli --extra embedded --extra web -o requirements/demo.txt pyproject.toml requirements/build.in
	$(COMPILE) --extra cli --extra embedded --extra web -o requirements/dev.txt pyproject.toml requirements/build.in requirements/dev.in
	$(COMPILE) -o requirements/kubernetes.txt requirements/kubernetes.in
	$(COMPILE) --extra litellm -o requirements/litellm.txt pyproject.toml requirements/build.in requirements/litellm.in

wheel: $(VENV)/.dev ## build dist/*.whl
	@$(BIN)/python -m build --no-isolation --wheel --outdir dist .

clean: ## remove what the targets made
	rm -rf $(VENV) $(VENV)-kubernetes $(VENV)-litellm dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .coverage*
