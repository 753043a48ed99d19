# make run       everything that is missing, then the page on http://127.0.0.1:8080 and Kafka on 127.0.0.1:9092
# make test      everything that is missing, then every test, headless Chromium and real clients included
# make page      the page alone, as static files for any host, in dist/
# make bench     the numbers of the README: throughput, latency, start, memory, the simulator's speed
# make profile   counts anew what a release is laid out along

SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: run test page bench build profile lint toolchain packages tools test-packages go

RUST := 1.95.0
TRUNK := 0.21.14
# Must be the version that Cargo.lock holds: the command and the library speak a private format.
WASM_BINDGEN := 0.2.126
# What tests/wire/go/go.mod asks for, and what is fetched where the machine's is older.
GO_LEAST := 1.26
GO := 1.27.3

# Beside the checkout's own target directory, so that a fresh clone on the same machine does not build Trunk again.
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ottla/tools
export PATH := $(TOOLS)/bin:$(PATH)
export CARGO_TARGET_DIR ?= $(CURDIR)/target

ARGS ?=

run: build
	$(CARGO_TARGET_DIR)/release/ottla serve $(ARGS)

# How often every branch was taken in `make profile`: the compiler lays a release out along that, and the simulator is a third
# faster for it. What has changed since is built as without; another compiler may not read it (`make run PROFILE=`). It is copied
# to where it is called by its content, so that cargo builds anew when that changes and not where the checkout lies elsewhere.
COUNTS := benches/release.profdata
PROFILE := $(CARGO_TARGET_DIR)/release-$(firstword $(shell cksum <$(COUNTS))).profdata
RELEASE := $(if $(PROFILE),RUSTFLAGS="$(RUSTFLAGS) -Cprofile-use=$(PROFILE)") cargo

$(CARGO_TARGET_DIR)/release-%.profdata: $(COUNTS)
	mkdir -p $(@D)
	cp $< $@

build: page $(PROFILE)
	$(RELEASE) build --release --locked -p ottla-server

page: toolchain packages tools
	trunk build --release

# One package at a time names what failed; the page is built first, because the server carries it and a browser opens it.
test: build test-packages
	$(MAKE) lint
	cargo test --locked -p ottla-core -p ottla-server
	cargo test --locked -p ottla-core --target wasm32-unknown-unknown --test twin_wasm
	cargo test --locked -p ottla-web
	OTTLA_RELEASED=$(CARGO_TARGET_DIR)/release/ottla cargo test --locked -p ottla-tests

lint: toolchain
	cargo fmt --all --check
	cargo clippy --locked -p ottla-core -p ottla-server -p ottla-tests --all-targets -- -D warnings
	cargo clippy --locked -p ottla-web --target wasm32-unknown-unknown -- -D warnings

bench: build
	$(RELEASE) run --release --locked -p ottla-core --example speed
	$(RELEASE) run --release --locked -p ottla-tests --example bench

# The simulator plays, searches and breaks, and a server serves; all counted, and so slower.
COUNTED := $(CARGO_TARGET_DIR)/counted
profile: page
	rustup component add llvm-tools --toolchain $(RUST)
	RUSTFLAGS="-Cprofile-generate=$(COUNTED)/counts" CARGO_TARGET_DIR=$(COUNTED) cargo build --release --locked -p ottla-server
	rm -rf $(COUNTED)/counts
	for file in benches/speed{,-of-a-group}.ottla static/scenarios/{first-cluster,transactions-commit-and-abort}.ottla; do \
	  $(COUNTED)/release/ottla run $$file --until 200s || exit 1; done
	$(COUNTED)/release/ottla search static/scenarios/search-three-brokers.ottla --seeds 300
	OTTLA=$(COUNTED)/release/ottla cargo run --release --locked -p ottla-tests --example bench -- 300
	$$(rustc +$(RUST) --print target-libdir)/../bin/llvm-profdata merge --sparse -o $(COUNTS) $(COUNTED)/counts

# --- what a bare machine lacks ------------------------------------------------------------------------------------

toolchain:
	@rustc +$(RUST) --print target-libdir --target wasm32-unknown-unknown 2>/dev/null | xargs -r test -d 2>/dev/null \
	  && cargo +$(RUST) clippy --version >/dev/null 2>&1 && cargo +$(RUST) fmt --version >/dev/null 2>&1 \
	  || rustup toolchain install $(RUST) --profile minimal -c rustfmt -c clippy -t wasm32-unknown-unknown

# $(call apt,command to look for,packages): installs the packages unless the command is there.
define apt
	@command -v $(1) >/dev/null || { \
	  sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; echo "installing $(2)"; \
	  $$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq $(2) >/dev/null; }
endef

packages:
	$(call apt,cc,build-essential)

test-packages: packages go
	$(call apt,chromium,chromium)
	$(call apt,chromedriver,chromium-driver)
	$(call apt,g++,build-essential)
	$(call apt,python3,python3 python3-venv)
	@python3 -c 'import ensurepip' 2>/dev/null || { sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	  $$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq python3-venv >/dev/null; }
	$(call apt,javac,default-jdk-headless)
	$(call apt,mvn,maven)
	$(call apt,node,nodejs)
	$(call apt,npm,npm)
	@wasm-bindgen-test-runner --version 2>/dev/null | grep -q '$(WASM_BINDGEN)' || $(MAKE) tools

# Debian 12's Go is too old for franz-go, but not for fetching a newer one as the module that newer ones fetch each other as.
go:
	$(call apt,go,golang-go)
	@printf 'go%s\n' $(GO_LEAST) "$$(go env GOVERSION | sed 's/^go//')" | sort -VC || { set -e; \
	  modules=$$(mktemp -d); export GOMODCACHE=$$modules GOFLAGS=-modcacherw; echo "fetching Go $(GO)"; \
	  cd $$modules; go mod download golang.org/toolchain@v0.0.1-go$(GO).$$(go env GOOS)-$$(go env GOARCH); \
	  rm -rf $(TOOLS)/go; mkdir -p $(TOOLS)/bin; cp -r --no-preserve=mode $$modules/golang.org/toolchain@* $(TOOLS)/go; rm -rf $$modules; \
	  chmod -R +x $(TOOLS)/go/bin $(TOOLS)/go/pkg/tool; ln -sf ../go/bin/go $(TOOLS)/bin/go; \
	  find $(TOOLS)/go -name _go.mod -execdir mv {} go.mod \;; }

# Trunk cannot download the wasm-bindgen command by itself where only crates.io is reachable; a debug build of Trunk without
# its extras does the same work and takes a third of the time to build.
tools: toolchain packages
	@trunk --version 2>/dev/null | grep -q '$(TRUNK)' || \
	  env -u CARGO_TARGET_DIR cargo +$(RUST) install trunk@$(TRUNK) --locked --debug --no-default-features --features rustls --root $(TOOLS)
	@{ wasm-bindgen --version && wasm-bindgen-test-runner --version; } 2>/dev/null | grep -c '$(WASM_BINDGEN)' | grep -q 2 || \
	  env -u CARGO_TARGET_DIR cargo +$(RUST) install wasm-bindgen-cli@$(WASM_BINDGEN) --locked --debug --root $(TOOLS)
