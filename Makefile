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

# Who hasn't worked with cargo itself here builds everything once: what a next build would save takes longer to write and
# as much space as all the rest. cargo's default is used where cargo has left its own.
ifeq ($(wildcard target/debug/incremental),)
export CARGO_INCREMENTAL ?= 0
endif

.PHONY: help run web stack stack-down stack-of-faults-down fleet fleet-down test test-quick test-rust test-fleet test-sdk test-browser \
	test-clients server-under-test check bench bench-fleet bench-peers bench-services node-peer

help: ## What can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-21s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build the server and run it on port 4000 (needs Rust and a C compiler; with Node it gets the web client)
	@scripts/prerequisites rust
	@$(WEB_WHERE_NODE_IS)
	$(RELEASE)
	exec target/release/tertulia serve

# By itself, as another package in the same call would have other features, and all of it built again.
RELEASE := cargo build --release --package tertulia

# Without Node, or with one that is too old, everything but the web client works.
WEB_WHERE_NODE_IS := if scripts/prerequisites node; then $(MAKE) web; else echo "The server is built without the web client." >&2; fi

fleet: ## Start three instances behind nginx and a worker on the stack, and print their address (scripts/fleet)
	@scripts/prerequisites rust libcurl nginx openssl postgresql python rabbitmq redis
	@$(WEB_WHERE_NODE_IS)
	$(RELEASE)
	cargo build --release --package tertulia-worker
	scripts/fleet up 3
	@echo "make fleet-down ends it." >&2

fleet-down: ## Stop them, and the stack
	scripts/fleet down
	scripts/stack down

stack: ## Start the services of a fleet on this machine: Redis Cluster, Sentinel, a MongoDB replica set, PostgreSQL, RabbitMQ, S3, SMTP (scripts/stack)
	scripts/stack up

stack-down: stack-of-faults-down ## Stop them and delete what they hold
	scripts/stack down

stack-of-faults-down: ## Likewise those that the tests break, which the tests start
	if [ -d target/stack-of-faults ]; then STACK_DIR=target/stack-of-faults scripts/stack down; fi

# Says at once what is missing and can't be installed, rather than after half an hour.
test: ## Install what the tests need, run all of them, and end the services that were started for it
	scripts/prerequisites rust node chromium faketime libcurl nginx openssl postgresql python rabbitmq redis
	@if [ -e target/stack/env ]; then end=stack-of-faults-down; else end=stack-down; fi; \
	trap "$(MAKE) --no-print-directory $$end" EXIT; \
	$(MAKE) test-rust test-fleet test-sdk test-browser

test-quick: web $(SDK)/node_modules/.package-lock.json ## Of the tests, those that need neither services nor a browser (under two minutes once built)
	cargo test --workspace --lib --bins --test all --test contract --test sockets --test store -- $(addprefix --skip ,$(OF_SERVICES))
	cd $(SDK) && npm test

# What the names of tests have in them that need services, or the official clients.
OF_SERVICES := cluster:: emitter:: ends_are_forgotten fleet:: instances:: mongodb:: nginx:: objects::s3 official_clients postgres presigned rabbitmq redis

# A failed test is understood by its message, which frames of the runtime would push out of sight.
test-rust test-fleet: export RUST_BACKTRACE = 0

# The features of the whole workspace are used by every step, so that nothing is built twice. The server that the tests
# start is built along with them (target/debug/server-under-test), and holds the web client.
test-rust: web test-clients ## Of the tests, those in Rust; the services that they start go on running (make stack-down)
	scripts/prerequisites faketime nginx openssl
	cargo test --workspace --lib --bins --tests
	cargo test --workspace --doc

test-fleet: web test-clients ## The server's tests once more, on a fleet of two; likewise
	TERTULIA_TEST_FLEET=1 cargo test --workspace --test all server::

test-sdk: $(SDK)/node_modules/.package-lock.json server-under-test ## Of the tests, those of the SDK
	mkdir -p target/documents
	target/debug/examples/documents target/documents
	cd $(SDK) && npm run --silent check && DOCUMENTS=../../target/documents npm run --silent generated:check
	cd $(SDK) && npm run size && npm test && npm run test:server

test-browser: $(BROWSER)/node_modules/.package-lock.json server-under-test ## Of the tests, those that drive the web client in Chromium; the services that they start go on running
	scripts/prerequisites chromium libcurl nginx openssl postgresql python rabbitmq redis
	cd $(BROWSER) && npm test

# With an example, cargo resolves the features as for the tests.
server-under-test: web ## Build the server and the worker that the tests start
	cargo build --workspace --bin server-under-test --bin tertulia-worker --example documents

web: $(WEB)/dist/index.html ## Build the web client, which the server then holds

$(WEB)/dist/index.html: $(WEB)/node_modules/.package-lock.json $(shell find $(WEB)/src $(WEB)/public $(WEB)/api-docs $(SDK)/src -type f) $(WEB)/index.html $(WEB)/vite.config.ts
	cd $(WEB) && npm run --silent build
	touch $@

%/node_modules/.package-lock.json: %/package-lock.json
	@scripts/prerequisites node
	$(NPM_CI) $*
	touch $@

check: ## Format, lints and documentation, with warnings denied
	cargo fmt --check
	cargo clippy --workspace --all-targets -- --deny warnings
	@# With the examples, cargo resolves the features as for the lints, and checks nothing anew.
	RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --document-private-items --lib --bin load-generator --examples

bench: bench-peers ## Measure the server beside its peers, and its shared services (about 20 minutes; writes target/bench/*.md)
	$(RELEASE)
	cargo build --release --package load-generator
	cargo build --release --package gateway --example bench_server
	mkdir -p target/bench
	target/release/load-generator bench --out target/bench/report.md
	target/release/load-generator bench-http --out target/bench/http.md
	$(MAKE) --no-print-directory bench-services

# Each says itself what it measures.
SERVICES_MEASURED := decisions decision_cost token_checks cached_read health_latency audit_pipeline audit_rate job_rate photo uploads_beside_chat

bench-services: ## Measure limits, circuit breakers, tokens, cache, health, audit log, jobs and images, on the stack (writes target/bench/services.md)
	scripts/stack up redis postgresql rabbitmq
	cargo build --release --package rate-limiter --package circuit-breaker --package storage --package job-queue --package images --package tertulia \
		$(addprefix --example ,$(SERVICES_MEASURED))
	mkdir -p target/bench
	set -a; . target/stack/env; set +a; \
	for example in $(SERVICES_MEASURED); do \
		case $$example in audit_pipeline) where=$$REDIS_SINGLE_URL ;; audit_rate) where=$$DATABASE_URL ;; job_rate) where=$$RABBITMQ_URL ;; *) where= ;; esac; \
		echo; echo "## $$example"; target/release/examples/$$example $$where; \
	done | tee target/bench/services.md

bench-fleet: node-peer ## Measure a fleet beside one of Node, on the stack (about 5 minutes; writes target/bench/fleet.md)
	scripts/prerequisites ss
	scripts/stack up mongodb redis-cluster
	$(RELEASE)
	cargo build --release --package load-generator
	mkdir -p target/bench
	target/release/load-generator bench-fleet --out target/bench/fleet.md

bench-peers: node-peer ## Build the servers that it is measured beside
	cargo build --release --manifest-path load-generator/peers/socketioxide/Cargo.toml
	cargo build --release --manifest-path load-generator/peers/axum/Cargo.toml

node-peer: ## Install the one on Node
	@scripts/prerequisites node
	$(NPM_CI) load-generator/peers/node

# Node's come from npm, Python's are in a virtual environment.
test-clients: $(JS)/node_modules/.package-lock.json $(PYTHON)/.venv/installed ## Install the official clients, which the tests drive

$(PYTHON)/.venv/installed: $(PYTHON)/requirements.txt
	scripts/python-venv $(PYTHON)/.venv $<
	touch $@
