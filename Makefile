# Everything a person does with this repository. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Three a core: most tests wait for a server, a registry or a clock rather than compute.
export RUST_TEST_THREADS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) * 3)))

# Programs that are built once and kept outside the source tree.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/agentteam-webhook
CARGO_DENY := $(CACHE)/tools/cargo-deny-0.20.2/bin/cargo-deny
CARGO_FUZZ := $(CACHE)/tools/cargo-fuzz-0.13.2/bin/cargo-fuzz
MKDOCS_HOME := $(CACHE)/tools/mkdocs-$(firstword $(shell cksum docs/requirements.txt))
MKDOCS := $(MKDOCS_HOME)/bin/mkdocs

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## See a Pod get its skills: the webhook on loopback, a recorded review, before and after
	cargo build --locked --quiet
	cargo run --locked --quiet --example demo -- target/debug/agentteam-webhook

.PHONY: build
build: ## Build the release binary
	cargo build --locked --release

.PHONY: image
image: ## Build the container image without an engine, into target/image/agentteam-webhook.tar
	@image/build.sh

.PHONY: test
test: assets ## Run all tests, those against a real API server too
	cargo test --locked

.PHONY: e2e
e2e: ## Install it on a real node and see skills arrive; as root (5 minutes, after the builds)
	@# The image is linked on one core for minutes; Go has the other meanwhile.
	@$(MAKE) --no-print-directory --jobs=2 image node-programs
	cargo --config "target.'cfg(unix)'.runner='tests/node/machine.sh'" test --locked --test node -- --test-threads=16 $(TESTS)

.PHONY: node-programs
node-programs:
	@for programs in cluster/assets tools node/assets; do tests/$$programs/build.sh > /dev/null; done

.PHONY: assets
assets: ## Build what the tests run, once (13 minutes on 2 cores): etcd, kube-apiserver, kubectl, a registry, oras, Helm, cainjector
	@tests/cluster/assets/build.sh > /dev/null
	@tests/tools/build.sh > /dev/null
	@tests/manifests/tools/build.sh > /dev/null

.PHONY: nightly
nightly: assets ## Check 100,000 generated Pods, mutated JSON against serde_json, and mutated archives against Go and GNU tar
	PROPTEST_CASES=100000 cargo test --locked --release --test properties --test json
	ARCHIVES=100000 cargo test --locked --release --test unpack differential -- --nocapture

.PHONY: fuzz
fuzz: $(CARGO_FUZZ) ## Fuzz archives, manifests and SKILL.md, FUZZ_SECONDS (60) each, after a build of minutes
	@# What is found is kept in fuzz/target; fuzz/corpus is where it begins. Archives are unpacked in memory where there is a
	@# place for it: on a disk there may be fifty times fewer.
	[ ! -w /dev/shm ] || export TMPDIR=/dev/shm; \
	for target in archive manifest skill_md; do \
	  mkdir -p fuzz/target/corpus/$$target; \
	  RUSTC_BOOTSTRAP=1 $(CARGO_FUZZ) run --sanitizer none $$target fuzz/target/corpus/$$target fuzz/corpus/$$target -- \
	    -max_total_time=$(or $(FUZZ_SECONDS),60) -max_len=16384 -rss_limit_mb=512 -timeout=10; \
	done

.PHONY: golden
golden: ## Write the golden files anew; read the difference before you commit it
	UPDATE_GOLDEN=1 cargo test --locked --test golden

.PHONY: manifests
manifests: ## Generate the CustomResourceDefinitions, of both groups, from the Rust types
	for group in kagents.dev claude.amcheste.io; do \
	  cargo run --locked --quiet -- crd --api-group $$group > manifests/crd/agentteams.$$group.yaml; \
	done
	cp manifests/crd/agentteams.kagents.dev.yaml manifests/chart/files/

.PHONY: reference
reference: ## Generate the reference of flags from the command line's own definition
	UPDATE_REFERENCE=1 cargo test --locked --test reference

.PHONY: docs
docs: $(MKDOCS) ## Build the site of docs/ into target/site; a broken link or a page outside the nav fails
	@# Not with --quiet, which would have --strict count no warnings.
	@NO_MKDOCS_2_WARNING=1 $(MKDOCS) build

.PHONY: bench
bench: ## Measure the webhook beside others over TLS, in CPU, rate, latency, memory and growth (10 minutes, after the builds)
	cargo build --locked --release --bins --example noop
	cargo build --locked --release --manifest-path benches/peers/kube-rs/Cargo.toml --target-dir target/peers
	ln -sf "$$(benches/peers/controller-runtime/build.sh)/controller-runtime" target/peers/
	cargo bench --locked --bench wire

.PHONY: guard
guard: image ## Count the instructions of an admission in the image's program, and compare them with benches/instructions.txt
	@benches/valgrind.sh
	cargo test --locked --test instructions -- --nocapture

.PHONY: bench-delivery
bench-delivery: assets image ## Measure the three ways to deliver on a real node, side by side; as root (10 minutes, after the builds)
	@tests/node/assets/build.sh > /dev/null
	cargo --config "target.'cfg(unix)'.runner='tests/node/machine.sh'" test --locked --test bench-delivery

.PHONY: bench-controller
bench-controller: assets ## Measure the controller on a real API server with 10,000 teams
	cargo bench --locked --bench controller

.PHONY: lint
lint: assets $(CARGO_DENY) docs ## Check formatting, lints, docs, licences, sources, and the manifests by a real API server
	cargo fmt --check
	cargo clippy --locked --all-targets -- --deny warnings
	@# All but those with `test = false`.
	cargo clippy --locked --test instructions --test node --test bench-delivery -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --locked --no-deps --document-private-items
	$(CARGO_DENY) --locked check --hide-inclusion-graph bans licenses sources
	cargo metadata --quiet --locked --format-version 1 --manifest-path fuzz/Cargo.toml > /dev/null
	cargo test --locked --quiet --test manifests -- accepted:: chart:: elsewhere::

$(CARGO_DENY):
	@echo "building cargo-deny into $(CACHE)/tools, once (4 minutes on 2 cores)" >&2
	cargo install cargo-deny --quiet --locked --version 0.20.2 --root $(CACHE)/tools/cargo-deny-0.20.2

$(MKDOCS):
	@echo "installing MkDocs into $(CACHE)/tools, once (half a minute)" >&2
	rm -rf $(MKDOCS_HOME)
	python3 -m venv $(MKDOCS_HOME)
	$(MKDOCS_HOME)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement docs/requirements.txt

$(CARGO_FUZZ):
	@echo "building cargo-fuzz into $(CACHE)/tools, once" >&2
	cargo install cargo-fuzz --quiet --locked --version 0.13.2 --root $(CACHE)/tools/cargo-fuzz-0.13.2
