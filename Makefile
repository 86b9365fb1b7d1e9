# Every target does its own set-up. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

JS := tests/clients/js
PYTHON := tests/clients/python

.PHONY: help run test check bench test-clients bench-peers

help: ## What can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build the server and run it on port 4000 (needs Rust and a C compiler)
	cargo build --release --package tertulia
	exec target/release/tertulia serve

test: test-clients ## Install what the tests need, and run them all
	cargo build --package tertulia
	cargo test --workspace

check: ## Format, lints and documentation, with warnings denied
	cargo fmt --check
	cargo clippy --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --document-private-items

bench: bench-peers ## Measure the server beside its peers (about 15 minutes; writes target/bench/report.md)
	cargo build --release --package load-generator --package tertulia
	cargo build --release --package gateway --example bench_server
	mkdir -p target/bench
	target/release/load-generator bench --out target/bench/report.md

bench-peers:
	cargo build --release --manifest-path load-generator/peers/socketioxide/Cargo.toml
	npm ci --prefix load-generator/peers/node --no-audit --no-fund

# The official clients, which the tests drive: Node's from npm, Python's in a virtual environment.
test-clients: $(JS)/node_modules/.package-lock.json $(PYTHON)/.venv/installed

$(JS)/node_modules/.package-lock.json: $(JS)/package-lock.json
	npm ci --prefix $(JS) --no-audit --no-fund
	touch $@

$(PYTHON)/.venv/installed: $(PYTHON)/requirements.txt
	scripts/python-venv $(PYTHON)/.venv $<
	touch $@
