# Each line is one real command; `make help` lists them.
SHELL := bash
.SHELLFLAGS := -o pipefail -c
# The first that all dependencies support; none is, on a machine that lacks it.
PYTHON ?= $(or $(shell for python in python3 python3.13 python3.12 python3.11; do $$python -c \
  'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2> /dev/null && echo $$python && break; done),python3)
VENV := .venv
BIN := $(VENV)/bin
CORES ?= 2
# What verify compares: a folder of results and the configs of its last start.
RESULTS ?= results/quick
CONFIG ?= config/quick.yaml
# A file of tests stays in one process, which makes what its tests share once.
SIDE_BY_SIDE = --numprocesses $(CORES) --dist loadfile --no-loadscope-reorder
QUIETLY = --quiet --disable-pip-version-check
# What PyTorch's build for GPUs brings and its CPU build does not: not in the lock, which serves both.
CUDA = cuda-bindings cuda-toolkit triton nvidia-cudnn-cu13 nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvshmem-cu13

.PHONY: help lock quick verify twice test check check-all lint format parity speed floors simulations readings readouts clean

help:            ## show this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/.installed: pyproject.toml requirements.lock requirements-torch.txt
	@lacks=; command -v git > /dev/null || lacks="git"; \
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2> /dev/null || lacks="$$lacks python3.11"; \
	test "$$lacks" = "$${lacks%python3.11}" && { $(PYTHON) -c 'import venv, ensurepip' 2> /dev/null || lacks="$$lacks python3-venv"; }; \
	test -z "$$lacks" || { echo "This machine lacks $$(echo $$lacks | sed 's/ /, /g'): install what is missing (on" \
	  "Debian or Ubuntu: apt install git python3 python3-venv), or name a Python from 3.11 to 3.13:" \
	  "make PYTHON=/path/to/python3 ($(PYTHON) is $$($(PYTHON) --version 2> /dev/null || echo not there))" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(QUIETLY) --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install $(QUIETLY) -r requirements-torch.txt
	$(BIN)/pip install $(QUIETLY) --no-deps --no-build-isolation --editable .
	$(BIN)/pip check
	@touch $@

lock: $(BIN)/.installed    ## bring requirements.lock in step with pyproject.toml (UPGRADE=--upgrade: to the newest)
	$(BIN)/pip install $(QUIETLY) 'uv>=0.9,<1'
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --fork-strategy fewest \
	  --constraints requirements-torch.txt --no-emit-package torch --excludes <(printf '%s\n' $(CUDA)) \
	  --generate-hashes --no-annotate --custom-compile-command 'make lock' $(UPGRADE) --quiet --output-file requirements.lock

quick: $(BIN)/.installed   ## set up, then train and evaluate on real screens and a small simulation (minutes)
	$(BIN)/snakemake --cores $(CORES) --configfile config/quick.yaml

verify: $(BIN)/.installed  ## is results/quick still what its runs made? (RESULTS=results/middle CONFIG=config/middle.yaml: another)
	$(BIN)/python -m disentangledssl.verify $(RESULTS) --configfile $(CONFIG)

twice: $(BIN)/.installed   ## the quick preset, twice from scratch: the same bytes? (10 minutes; check-all has it too)
	$(BIN)/pytest tests/workflow/test_quick.py

test: $(BIN)/.installed    ## set up, then run the fast tests
	$(BIN)/pytest -m "not slow" $(SIDE_BY_SIDE)

check: lint                ## lint, formats and a dry run of every preset and profile
	for preset in tiny quick mini_batches floors readouts middle; do $(BIN)/snakemake --cores 2 --configfile config/$$preset.yaml --dry-run > /dev/null || exit 1; done
	$(BIN)/snakemake --cores 2 --configfile config/middle.yaml config/readings.yaml --dry-run > /dev/null
	$(BIN)/snakemake --cores 8 --resources gpu=1 --dry-run > /dev/null
	for profile in gpus cpu slurm; do $(BIN)/snakemake --cores 8 --workflow-profile profiles/$$profile --dry-run > /dev/null || exit 1; done

lint: $(BIN)/.installed    ## ruff, snakefmt, snakemake --lint, codespell
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/codespell README.md CHANGELOG.md CONTRIBUTING.md config docs src workflow benchmarks

format: $(BIN)/.installed  ## let ruff and snakefmt rewrite what they can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/snakefmt Snakefile workflow

check-all: check           ## every test, the slow ones too; the log goes to docs/check-all.log
	$(BIN)/pytest --durations=15 $(SIDE_BY_SIDE) 2>&1 | sed -u 's|$(CURDIR)|.|g' | tee docs/check-all.log

parity: $(BIN)/.installed  ## our step 1 and 2 beside the authors' code (about 10 minutes)
	$(BIN)/python benchmarks/parity.py results/parity

speed: $(BIN)/.installed   ## step times and memory of every method, against plain loops (8 minutes, idle machine)
	$(BIN)/python benchmarks/speed.py

floors: $(BIN)/.installed  ## retrieval on the real screens, true and with molecules shuffled, all folds
	$(BIN)/snakemake --cores $(CORES) --configfile config/floors.yaml

simulations: $(BIN)/.installed  ## the middle preset's simulation study (hours)
	$(BIN)/snakemake --cores $(CORES) --configfile config/middle.yaml -- simulations

readings: $(BIN)/.installed  ## the other side of every disputed choice, beside the middle preset's simulation (hours)
	$(BIN)/snakemake --cores $(CORES) --configfile config/middle.yaml config/readings.yaml -- results/middle/simulation/readings.csv

readouts: $(BIN)/.installed  ## what is read out of a Transformer, on the bundled text of MUStARD (minutes)
	$(BIN)/snakemake --cores $(CORES) --configfile config/readouts.yaml

clean:           ## remove the virtual environment and caches, never results
	rm -rf $(VENV) .pytest_cache .ruff_cache
