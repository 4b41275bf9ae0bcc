# SPDX-License-Identifier: Apache-2.0
# A thin front of meson for people. `make help` lists what there is.
#   CC=clang, BUILD=build-clang, SANITIZE=address,undefined|thread choose another build.

BUILD ?= build
SANITIZE ?= none
BUILDTYPE ?= debugoptimized
PYTHON ?= /usr/bin/python3
JOBS ?= $(shell nproc)
export GPUSCALE_BUILD = $(abspath $(BUILD))

MESON_FLAGS = --buildtype=$(BUILDTYPE) -Db_sanitize=$(SANITIZE) \
	$(if $(filter none,$(SANITIZE)),,-Db_lundef=false)

.DEFAULT_GOAL := help
.PHONY: help deps deps-test build build-all demo test unit integration tidy tsan e2e chaos bench fuzz manifests image lint format clean

help: ## This list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## /\1\t/p' Makefile | expand -t 14

deps: ## Installs every Debian package that building and running need (root or sudo)
	@scripts/deps.sh run

deps-test: deps ## The same for the tests
	@scripts/deps.sh test

$(BUILD)/build.ninja:
	meson setup $(BUILD) $(MESON_FLAGS)

build: $(BUILD)/build.ninja ## Builds both programs into build/src/cmd/
	@ninja -C $(BUILD) -j $(JOBS) src/cmd/gpuscale src/cmd/gpuscale-agent

# The programs, tests and benchmarks; configured anew when that was done before deps-test.
build-all: deps-test $(BUILD)/build.ninja
	@ninja -C $(BUILD) -t targets all | grep -q '^tests/unit/test_base_err:' || \
		meson setup --reconfigure $(BUILD)
	@ninja -C $(BUILD) -j $(JOBS)

demo: deps ## Installs, builds, and shows three ways to scale one service, without GPU or cluster
	@$(MAKE) --no-print-directory build
	@$(BUILD)/src/cmd/gpuscale demo $(DEMO_FLAGS)

test: build-all ## Installs, builds, passes unit, fuzz corpus, integration and tidy tests
	@$(PYTHON) tests/run.py --build $(BUILD) unit integration tidy

unit: build-all ## Unit tests and fuzz corpora only
	@$(PYTHON) tests/run.py --build $(BUILD) unit

integration: build-all ## Integration tests only (K=EXPRESSION chooses)
	@$(PYTHON) tests/run.py --build $(BUILD) integration $(if $(K),-k '$(K)')

tidy: build-all ## The rules of docs/architecture.md and CONTRIBUTING.md as tests
	@$(PYTHON) tests/run.py --build $(BUILD) tidy

tsan: deps-test ## Unit and integration tests of what has threads under ThreadSanitizer (clang)
	@$(MAKE) --no-print-directory build-all CC=clang BUILD=build-tsan SANITIZE=thread
	@GPUSCALE_TEST_DEADLINE=90 $(PYTHON) tests/run.py --build build-tsan unit integration -k 'scaler or agent or engine'

e2e: build-all ## Tests against KEDA's client, Kubernetes' HPA controller, a real control plane (Go 1.26, root), and real inference servers (PyPI); K=EXPRESSION: of those on the plane only
	@$(PYTHON) tests/run.py --build $(BUILD) e2e $(if $(K),-k '$(K)')

chaos: build-all ## Breaks agents, engines and scaler for CHAOS_SECONDS (600) as CHAOS_SEED draws it
	@CHAOS_SECONDS=$(or $(CHAOS_SECONDS),600) $(PYTHON) tests/run.py --build $(BUILD) chaos $(if $(K),-k '$(K)')

bench: deps-test ## Prints the figures of the budgets (docs/benchmarks.md)
	@$(MAKE) --no-print-directory build-all BUILD=build-release BUILDTYPE=release
	@GPUSCALE_BUILD=$(abspath build-release) $(PYTHON) tests/bench/run.py --build build-release

fuzz: deps-test ## Fuzzes each target (or FUZZ_TARGETS="a b") for FUZZ_SECONDS (60) with clang's libFuzzer
	@[ -d build-fuzz ] || CC=clang meson setup build-fuzz -Dfuzz=true \
		-Db_sanitize=address,undefined -Db_lundef=false
	@ninja -C build-fuzz $$(cd tests/fuzz && ls fuzz_*.c | sed 's|^|tests/fuzz/|; s|\.c$$||')
	@tests/fuzz/run.sh build-fuzz $(or $(FUZZ_SECONDS),60) $(or $(FUZZ_JOBS),2) $(FUZZ_TARGETS)

manifests: ## Renders deploy/manifests from the Helm chart (Go 1.26 builds helm, once)
	@scripts/manifests.sh "$$(tests/e2e/cluster/build.sh helm)/helm" deploy/manifests

image: ## Follows deploy/Containerfile in chroots of Debian 13 (root, debootstrap; five minutes)
	@$(PYTHON) -m pytest -q -s -p no:cacheprovider tests/e2e/image

lint: deps-test ## clang-format check and the tidy tests
	@git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror
	@$(MAKE) --no-print-directory tidy

format: ## Formats every C file
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf build build-*
