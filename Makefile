# What can be done with a clone. A fresh Debian or Ubuntu machine with Swift is enough: scripts/setup installs what is
# missing, scripts/postgres finds or fetches the PostgreSQL versions.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

# Which PostgreSQL the demo runs on, which ones the tests need (a version that cannot be had is a failure), which tests.
PG ?= 18
PG_VERSIONS ?= 15 16 18
FILTER ?=
# How often `make soak` kills; `make test` does so sixty times.
ROUNDS ?= 200

pgark := $(CURDIR)/.build/release/pgark

# There are two builds. The release build is what a user gets: a warning of a compiler newer than ours does not stop it.
# The debug build, with the tests, is what we judge, so warnings are errors in it: a file with a warning is not compiled
# and is complained about again on every run, where searching a build log for warnings would see it only the first time.
# The flag would make SwiftPM compile our targets anew whenever it comes or goes. Hence this build lives apart from .build,
# which a plain `swift build` or `swift test` uses; `check` and `test` share it. The linker's warnings stay warnings: it
# dislikes Foundation's use of mktemp.
release := swift build --configuration release --static-swift-stdlib --product pgark
judged := --scratch-path .build-check -Xswiftc -warnings-as-errors
c_sources := $(wildcard Sources/*/*.c)
swift_sources := Package.swift Sources Tests

.PHONY: help setup build demo test soak check format bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## install what this machine lacks to build and to test
	@scripts/setup

build: setup ## the release binary, .build/release/pgark
	$(release)

demo: build ## the tour: a cluster, its backups and a restore, on PostgreSQL 18 (or say PG=16)
	@PGARK_PG_BIN=$$(scripts/postgres $(PG)) && export PGARK_PG_BIN && "$(pgark)" lab tour

test: build ## all tests, against PostgreSQL 15, 16 and 18 (or say PG_VERSIONS=18, FILTER=regex)
	@export PGARK_TEST_BINARY="$(pgark)"; \
	for version in $(PG_VERSIONS); do \
	    bin=$$(scripts/postgres $$version); \
	    export PGARK_TEST_PG$${version}_BIN="$$bin"; \
	done; \
	swift test $(judged) --disable-xctest $(if $(FILTER),--filter '$(FILTER)')

soak: ## hundreds of kills and power cuts while a client commits: a quarter of an hour (or say ROUNDS=1000)
	@PGARK_TEST_ROUNDS=$(ROUNDS) $(MAKE) test PG_VERSIONS=18 FILTER='FaultTests.(CommitLossTests|PowerCutTests)'

check: setup ## format, and warnings as errors, of the sources and the tests
	swift format lint --strict --recursive $(swift_sources)
	clang -fsyntax-only -Wall -Wextra -Werror $(addprefix -I,$(wildcard Sources/*/include)) $(c_sources)
	swift build --build-tests $(judged)

format: ## rewrite the Swift sources in our format
	swift format --in-place --recursive $(swift_sources)

bench: build ## pgark beside other tools: an hour or two (or say CASES=full RUNS=3 SCALE=15)
	@[ -x /usr/bin/time ] || scripts/setup --packages time
	@PGARK_PG_BIN=$$(scripts/postgres 18) && export PGARK_PG_BIN && bench/bench.py

clean: ## remove what was built; the downloaded servers in .cache stay
	rm -rf .build .build-check
