# Every target does its own set-up. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

JS := tests/clients/js
PYTHON := tests/clients/python
BROWSER := tests/browser
SDK := frontend-assets/sdk
WEB := frontend-assets/web
NPM_CI := npm ci --no-audit --no-fund --prefix

.PHONY: help run stack stack-down fleet fleet-down test test-rust test-fleet test-sdk test-browser check bench web test-clients bench-fleet bench-peers node-peer

help: ## What can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build the server and run it on port 4000 (needs Rust and a C compiler; with Node it gets the web client)
	@if command -v npm >/dev/null; then $(MAKE) web; else echo "Without Node the server has a plain page only."; fi
	cargo build --release --package tertulia
	exec target/release/tertulia serve

stack: ## Start the services of a fleet on this machine: Redis Cluster, Sentinel, a MongoDB replica set; install nginx (scripts/stack)
	scripts/debian-package nginx nginx
	scripts/stack up

stack-down: ## Stop them and delete what they hold
	scripts/stack down
	@# Those that tests kill, which are started by the tests.
	if [ -d target/stack-of-faults ]; then STACK_DIR=target/stack-of-faults scripts/stack down; fi

fleet: ## Start three instances behind nginx on the stack, and print their address (scripts/fleet)
	@if command -v npm >/dev/null; then $(MAKE) web; fi
	cargo build --release --package tertulia
	scripts/fleet up 3

fleet-down: ## Stop them, and the stack
	scripts/fleet down
	scripts/stack down

test: test-rust test-fleet test-sdk test-browser ## Install what the tests need, and run them

# Everywhere the features of the whole workspace, so that nothing is built twice. The server that the tests start is built
# with them (target/debug/server-under-test) and holds the web client.
test-rust: web test-clients stack
	cargo test --workspace

test-fleet: web test-clients stack ## The server's tests once more, on a fleet of two
	TERTULIA_TEST_FLEET=1 cargo test --workspace --test all server::

test-sdk: web $(SDK)/node_modules/.package-lock.json
	cargo test --workspace --test all --no-run
	cd $(SDK) && npm run --silent check && npm run --silent generated:check && npm run size && npm test && npm run test:server

test-browser: web $(BROWSER)/node_modules/.package-lock.json ## Of the tests, those that drive the web client in Chromium
	scripts/chromium
	cargo test --workspace --test all --no-run
	cd $(BROWSER) && npm test

web: $(WEB)/dist/index.html

$(WEB)/dist/index.html: $(WEB)/node_modules/.package-lock.json $(shell find $(WEB)/src $(WEB)/public $(SDK)/src -type f) $(WEB)/index.html $(WEB)/vite.config.ts
	cd $(WEB) && npm run --silent build
	touch $@

%/node_modules/.package-lock.json: %/package-lock.json
	$(NPM_CI) $*
	touch $@

check: ## Format, lints and documentation, with warnings denied
	cargo fmt --check
	cargo clippy --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --document-private-items

bench: bench-peers ## Measure the server beside its peers (about 15 minutes; writes target/bench/report.md)
	cargo build --release --package load-generator --package tertulia
	cargo build --release --package gateway --example bench_server
	mkdir -p target/bench
	target/release/load-generator bench --out target/bench/report.md

bench-fleet: node-peer ## Measure a fleet beside one of Node, on the stack (about 5 minutes; writes target/bench/fleet.md)
	scripts/stack up mongodb redis-cluster
	cargo build --release --package load-generator --package tertulia
	mkdir -p target/bench
	target/release/load-generator bench-fleet --out target/bench/fleet.md

bench-peers: node-peer
	cargo build --release --manifest-path load-generator/peers/socketioxide/Cargo.toml

node-peer:
	$(NPM_CI) load-generator/peers/node

# The official clients, which the tests drive: Node's from npm, Python's in a virtual environment.
test-clients: $(JS)/node_modules/.package-lock.json $(PYTHON)/.venv/installed

$(PYTHON)/.venv/installed: $(PYTHON)/requirements.txt
	scripts/python-venv $(PYTHON)/.venv $<
	touch $@
