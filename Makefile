# Each target sets up what it needs; run twice, it does not install again.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# More arguments for pip, such as --index-url or --find-links of a mirror.
PIP_ARGS ?=
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: help setup install really-install demo up test soak lint format bench lock clean

help: ## Show what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(INSTALLED) ## Make the environment in .venv

$(INSTALLED): pyproject.toml requirements.lock
	@echo "Setting up .venv: PyTorch and real servers, some gigabytes and minutes, once"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Impasto needs Python 3.11 or newer; name one with make PYTHON=/path/to/python"; exit 1; }
	@if command -v flock >/dev/null; then flock .setup.lock $(MAKE) --no-print-directory install; \
	else $(MAKE) --no-print-directory install; fi

# Two that start together wait for each other, and the second finds the work done.
install:
	@test $(INSTALLED) -nt pyproject.toml -a $(INSTALLED) -nt requirements.lock \
		|| $(MAKE) --no-print-directory really-install

really-install:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --progress-bar on $(PIP_ARGS) \
		--constraint requirements.lock --editable '.[dev]' > .venv/install.log 2>&1 \
		|| { tail -n 30 .venv/install.log; exit 1; }
	@touch $(INSTALLED)

demo: setup ## Paint the sample pictures with the whole system
	@$(BIN)/impasto demo

up: setup ## Run the whole system until Ctrl-C; prints the page's address
	@$(BIN)/impasto up $(ARGS)

# Much of it waits: for leases that run out, for servers that come back. Each process has servers of its own.
test: setup ## Run the whole test suite
	@$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist worksteal $(ARGS)

# Of the soak, without its start and its end.
MINUTES ?= 30

soak: setup ## Run the system under random faults for MINUTES, then check that nothing was lost
	@$(BIN)/python -m tests.soak --minutes $(MINUTES) $(ARGS)

lint: setup ## Check style, types and layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: setup ## Mend what can be mended
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

bench: setup ## Measure the engine and the service, and print ratios
	@$(BIN)/python -m bench $(ARGS)

lock: ## Take the newest versions that fit pyproject.toml into requirements.lock
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet $(PIP_ARGS) '.[dev]'
	{ sed -n '/^#/p' requirements.lock; .venv-lock/bin/pip freeze --exclude impasto; } > requirements.new
	mv requirements.new requirements.lock
	rm -rf .venv-lock build impasto.egg-info

clean: ## Remove the environment and what runs left behind
	rm -rf .venv .impasto demo build impasto.egg-info
