# `make run` and `make test` are all a newcomer needs; both install what is missing.

PYTHON ?= python3
LISTEN ?=
N ?= 20
DIST ?= dist
ARGS ?=

BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: install clients run test lint bench campaign wheels topology docs screenshots surface stubs

install: $(INSTALLED)

$(INSTALLED): requirements-dev.txt pyproject.toml scripts/install.sh $(wildcard plugins/*/pyproject.toml)
	PYTHON=$(PYTHON) scripts/install.sh && touch $@

# The real clients that the tests run against arbstr, in .cache/clients.
clients: install
	@$(BIN)/python scripts/clients.py

# Serves with the model on this machine; LISTEN=127.0.0.1:9000 for another address. Ctrl-C stops it.
run: install
	@$(BIN)/python scripts/demo.py $(LISTEN)

# Everything that needs no node and no key, on all processors; ARGS="-k words" for a part of it.
test: install clients
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal $(ARGS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@$(BIN)/python scripts/lines.py

# What a call costs in CPU and time, beside a bare pass-through.
bench: install
	$(BIN)/python -m benchmarks $(ARGS)

# The long proofs, N rounds of each.
campaign: install clients
	CAMPAIGN_N=$(N) $(BIN)/python -m pytest -m campaign --timeout=0 $(ARGS)

# The core and every plugin as wheels, in DIST.
wheels: install
	@rm -f $(DIST)/arbstr_*.whl
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir $(DIST) . $(wildcard plugins/*/)

# What deploy/compose.yaml describes, as plain processes, until Ctrl-C.
topology: install
	@cd tests && ../$(BIN)/python -m topology

# The pictures of docs/dashboard.md, taken anew.
screenshots: install
	@$(BIN)/python scripts/screenshots.py

# The manual as a site, in site/; a dead link ends it.
docs: install
	@$(BIN)/python scripts/manual.py

# Writes down the plugin API as it is now; a test compares.
surface: install
	$(BIN)/python scripts/api_surface.py > tests/api_surface.txt

# Writes LND's messages in Python, from the .proto file; a test compares.
stubs: install
	$(BIN)/python -m grpc_tools.protoc -I plugins/wallet_lnd --python_out=plugins/wallet_lnd --pyi_out=plugins/wallet_lnd arbstr_wallet_lnd/_lnd.proto
