# autodepth: `make search` and `make test` need python3 (3.11+), make and the package registries.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check
STUDY ?= digits-$(shell date +%Y%m%d-%H%M%S)
BUDGET ?= 4cpu-min
DATA ?= cifar10
SCALE ?= 1
CIFAR ?= data/cifar10_jpeg
PEER ?= ../shared/peers/plain_tune.py
SCRATCH ?= ../shared/peers/small_from_scratch.py
FAULT_TIMES := $(CURDIR)/benchmarks/results/fault_times.md
CLUSTER_TIMES := $(CURDIR)/benchmarks/results/fault_times_cluster.md

AXE := $(VENV)/axe-core/axe.min.js
AXE_VERSION := 4.14.1

.DEFAULT_GOAL := help
.PHONY: help setup search test run-tests test-fast test-long browser-test browser-tools lint format docs schema \
	cluster-test faults networks-table bench-steps bench-sensitivity bench-rungs bench-scale bench-exports \
	bench-speed bench-latency bench-driver bench-gpus gpu-check bench-mlflow bench-masks bench-hybrid bench-rows bench-search own-data \
	constraints clean deploy-test metrics-test

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-18s %s\n", $$1, $$2}'

setup: $(VENV)/.installed ## Make .venv and install autodepth with pinned versions

search: setup ## Search on handwritten digits for 4 cpu-min, export the knee, test it beside itself from scratch
	$(BIN)/autodepth search --budget $(BUDGET) --study $(STUDY)
	$(BIN)/autodepth export $(STUDY) --select knee --to exports/$(STUDY)
	$(BIN)/autodepth evaluate exports/$(STUDY) --from-scratch 2

test: $(VENV)/.tools ## Check style, types and rooms, and run every test this machine can run
	$(MAKE) --no-print-directory --jobs 2 lint run-tests  # types alone keep one core busy for minutes

run-tests: browser-tools  # the files in the order of tests/conftest.py
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder \
		--max-worker-restart 0  # else a worker that dies holds it up

test-fast: $(VENV)/.tools ## Run the tests that start no server and no cluster
	$(BIN)/pytest -m "not slow and not long and not cluster"

test-long: $(VENV)/.tools browser-tools ## Run the tests that `make test` leaves out (5 minutes)
	$(BIN)/pytest -m long

browser-test: $(VENV)/.tools browser-tools ## Run the tests of the web explorer; keeps screenshots/
	$(BIN)/pytest -m "long or not long" tests/browser tests/dashboard

deploy-test: $(VENV)/.tools ## Start every part of docker/ from its own command, and check its files (3 minutes)
	@command -v prometheus nginx >/dev/null && ls -d /usr/lib/postgresql/*/bin >/dev/null 2>&1 \
		|| { apt-get update && apt-get install --yes --no-install-recommends postgresql prometheus nginx-light; } \
		|| echo "no postgresql, prometheus or nginx here: what needs them is skipped"
	$(BIN)/pytest -m "long or not long" tests/deploy/test_files.py tests/deploy/test_compose_parts.py \
		tests/deploy/test_proxy.py

metrics-test: $(VENV)/.tools ## Ask a search that runs what the Grafana dashboard asks; PANELS=FILE.png draws it (3 minutes)
	@command -v prometheus >/dev/null \
		|| { apt-get update && apt-get install --yes --no-install-recommends prometheus; } \
		|| echo "no prometheus here: what needs it is skipped"
	$(if $(PANELS),AUTODEPTH_PANELS=$(PANELS)) $(BIN)/pytest -m "long or not long" tests/deploy/test_grafana.py

# What is not there and cannot be had, its tests are skipped without, and say so.
browser-tools: $(AXE) ## Fetch Chromium (Debian's, as root) and axe-core for the browser tests
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null \
		|| { apt-get update && apt-get install --yes --no-install-recommends chromium; } \
		|| echo "no chromium here: tests in a browser are skipped"

faults: $(VENV)/.tools ## Let every write fail, and kill drivers again and again (an hour)
	printf '| fault | measured | time |\n|---|---|---|\n' > $(FAULT_TIMES)
	AUTODEPTH_FAULT_SHARE=1 AUTODEPTH_FAULT_TIMES=$(FAULT_TIMES) $(BIN)/pytest -m "long or not long" \
		tests/faults tests/records/test_ledger_machine.py tests/study/ray/test_runner.py --timeout 3600
	$(BIN)/python benchmarks/mlflow_away.py
	$(BIN)/python benchmarks/crash_loop.py --kills 200
	$(BIN)/python benchmarks/crash_loop.py --kills 20 --runner ray
	$(BIN)/python benchmarks/crash_loop.py --kills 20 --who tune
	$(BIN)/python benchmarks/fault_times.py

cluster-test: $(VENV)/.tools ## Studies on Ray clusters of hosts of their own; as root, with PostgreSQL (25 minutes)
	printf '| fault | measured | time |\n|---|---|---|\n' > $(CLUSTER_TIMES)
	AUTODEPTH_FAULT_TIMES=$(CLUSTER_TIMES) $(BIN)/pytest -m cluster tests/cluster
	$(BIN)/python benchmarks/fault_times.py

lint: $(VENV)/.tools ## Check style, types, and that imports go one way
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.tools ## Bring the code into its usual form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.docs ## Build the documentation into site/, without a network
	$(BIN)/typer autodepth.cli.main utils docs --name autodepth --title "Command line" \
		--output docs/reference/cli.md
	$(BIN)/mkdocs build --strict --quiet

schema: setup ## Write the space files' JSON Schema and their reference page anew
	$(BIN)/python -m autodepth.space.schema
	$(BIN)/python -m autodepth.space.reference docs/reference/space.md

networks-table: $(VENV)/.tools ## Write docs/networks.md anew: what is found in which network (17 minutes)
	$(BIN)/python benchmarks/networks_table.py

bench-steps: $(VENV)/.tools ## Step time under stochastic depth, beside torchvision and timm (15 minutes)
	$(BIN)/python benchmarks/stochastic_depth.py

bench-sensitivity: $(VENV)/.tools ## Ablation with the prefix reused, beside whole passes (4 minutes)
	$(BIN)/python benchmarks/sensitivity.py

bench-rungs: $(VENV)/.tools ## What rungs save and lose on known curves, 20 seeds (1 minute)
	$(BIN)/python benchmarks/rungs_simulated.py

bench-scale: $(VENV)/.tools ## The driver in a study of 10,000 made-up trials (6 minutes)
	$(BIN)/python benchmarks/scale.py

bench-driver: $(VENV)/.tools ## How many workers one driver keeps busy, on a simulated clock (10 minutes)
	$(BIN)/python benchmarks/driver_scaling.py

gpu-check: $(VENV)/.tools ## What is looked at first where a GPU is lent (9 minutes)
	$(BIN)/python benchmarks/gpu_check.py

bench-gpus: $(VENV)/.tools ## Four trials on one GPU beside one by one; needs a GPU
	$(BIN)/python benchmarks/fractional_gpus.py

bench-mlflow: $(VENV)/.tools browser-tools ## MLflow's pages with a study of 1,000 trials (10 minutes)
	$(BIN)/python benchmarks/mlflow_thousand.py

own-data: $(VENV)/.tools ## Write the transcript in docs/guides/own-data.md anew; CIFAR=folder (6 minutes)
	$(BIN)/python benchmarks/own_data.py --cifar $(CIFAR)

bench-exports: $(VENV)/.tools ## Every format of an export for ResNet-50, a ViT and a ConvNeXt (10 minutes)
	$(BIN)/python benchmarks/export_networks.py

bench-speed: $(VENV)/.tools ## Does depth turn into speed? PyTorch and onnxruntime, beside width (5 minutes)
	$(BIN)/python benchmarks/depth_to_speed.py
	$(BIN)/python benchmarks/depth_to_speed.py --glibc

bench-latency: $(VENV)/.tools ## Predicted latency beside measured, 30 candidates of each network (3 minutes)
	$(BIN)/python benchmarks/latency_prediction.py

bench-masks: $(VENV)/.tools ## Which branches of a trained network go together; DATA=folder:DIR WEIGHTS=FILE (half an hour)
	$(BIN)/python benchmarks/masks_judged.py --data $(DATA) --weights $(WEIGHTS)

bench-hybrid: $(VENV)/.tools ## Stochastic depth and removal, alone and together; DATA=folder:DIR (hours)
	$(BIN)/python benchmarks/hybrid_2x2.py --data $(DATA)

bench-rows: $(VENV)/.tools ## Rows beside the literature; DATA=folder:DIR, BUDGET=4gpu-h, SCALE=1 (hours)
	$(BIN)/python benchmarks/bench_rows.py --data $(DATA) --budget $(BUDGET) --scale $(SCALE)

bench-search: $(VENV)/.tools ## The search beside plain Ray Tune; CIFAR=folder, PEER=script, SCRATCH=script (five hours)
	$(BIN)/python benchmarks/search_vs_plain_tune.py --cifar $(CIFAR) --peer $(PEER) \
		--scratch $(SCRATCH)

constraints: $(VENV)/.tools ## Pin what is installed now
	(echo "# Every version the tests run against. Written by: make constraints"; \
	$(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//') > constraints.txt

clean: ## Remove .venv and caches; studies and exports stay
	rm -rf $(VENV) build dist site screenshots .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# torch goes first: torchvision on its own would bring the CUDA build where a CPU build is offered.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("autodepth needs Python 3.11 or newer, but this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt pip
	$(PIP) install --quiet --constraint constraints.txt torch
	$(PIP) install --quiet --constraint constraints.txt --editable .
	touch $@

$(AXE): $(VENV)/.installed
	mkdir -p $(@D)
	(cd $(@D) && npm pack --silent axe-core@$(AXE_VERSION) && tar xzf axe-core-*.tgz --strip-components 1 \
		package/axe.min.js && touch axe.min.js) || echo "no axe-core here: its tests are skipped"

$(VENV)/.tools: $(VENV)/.installed
	$(PIP) install --quiet --constraint constraints.txt --group dev
	touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(PIP) install --quiet --constraint constraints.txt --group docs
	touch $@
