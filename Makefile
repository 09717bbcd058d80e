# `make run` needs Python 3.11 or newer and nothing else. Every target sets up .venv by itself.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH ?=
ROUNDS ?= 25
SEEDS ?= 25
SEED ?=
ARGS ?=

.PHONY: run test check mypy pyright bench soak simulate smoke docs screenshot format clean
.DELETE_ON_ERROR:

# Hundreds of processes of the tests would each compile the product anew.
unexport PYTHONDONTWRITEBYTECODE

run: $(VENV)/.run ## start the host with a prompt
	@$(BIN)/python -m nanoclaw run $(ARGS)

test: $(VENV)/.dev ## run all tests
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

check: $(VENV)/.dev ## run linters and type checkers
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,--jobs 2 --output-sync) mypy pyright

mypy pyright:
	$(BIN)/$@

bench: $(VENV)/.dev ## measure speed; BENCH="roundtrip actors" picks parts, ARGS=--json prints JSON
	@$(BIN)/python -m tests.bench $(BENCH) $(ARGS)

soak: $(VENV)/.dev ## kill hosts and runners at random, ROUNDS times; check that nothing is lost or doubled
	@$(BIN)/python -m tests.soak --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

simulate: $(VENV)/.run ## play SEEDS random workloads of 6 hours in virtual time, with all faults; check invariants
	@$(BIN)/python -m nanoclaw simulate --seeds $(SEEDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

smoke: $(VENV)/.smoke ## talk to a real, small model on this machine; builds llama.cpp once, which takes minutes
	@$(BIN)/python -m tests.smoke

docs: $(VENV)/.dev ## rewrite the generated parts of docs/
	$(BIN)/python -m tests.docs.cli --write
	$(BIN)/python -m tests.docs.contract --write
	$(BIN)/python -m tests.docs.configuration --write
	$(BIN)/python -m tests.docs.python_reference --write
	$(BIN)/python -m tests.docs.faults --write
	$(BIN)/python -m tests.docs.prompts --write
	$(BIN)/python -m tests.store.plans --write

screenshot: $(VENV)/.dev ## take the picture of the web chat for docs/ again; needs chromium and chromium-driver
	$(BIN)/python -m tests.channels.web.screenshot

format: $(VENV)/.dev ## format the code
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

clean: ## remove everything that make has made
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist build

# Groups of dependencies (PEP 735) need pip 25.1.
$(VENV)/.pip:
	@echo "Setting up $(VENV) (once) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "NanoClaw needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.run: pyproject.toml | $(VENV)/.pip
	@$(BIN)/python -m pip install --quiet --editable '.[anthropic,docker,mcp,openai]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.pip
	@$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@ $(VENV)/.run

$(VENV)/.smoke: pyproject.toml | $(VENV)/.dev
	@$(BIN)/python -m pip install --quiet --group smoke
	@touch $@
