# Each target is one command from a clean clone: it does its own set-up first (deploy/setup.sh: silent when all is there).
#   make demo FOR=20s               for how long (60s unless told; forever until Ctrl-C)
#   make demo KAFKA=host:9092       with your broker instead of the built-in one
#   make build VIDEO=1              with OpenCV: video files and cameras for `facestream produce`; make test VIDEO=1 tests that too
#   make crash ROUNDS=12 STRIKES=10  how many rounds, how many strikes for each of a round's seven processes; SEED=… repeats one,
#                                   and goes on where it was cut short
#   make fuzz FUZZ_FOR=600          seconds for each target

FOR ?= 60s
KAFKA ?=
FUZZ_FOR ?= 180
VIDEO ?=
CARGO ?= cargo
# Cargo runs benches and tests in the folders of their packages: a folder that is named from here is named in full.
ifdef FACESTREAM_MODELS
export FACESTREAM_MODELS := $(abspath $(FACESTREAM_MODELS))
endif
SCRIPTS := deploy/setup.sh .ci/run deploy/kubernetes/prometheusrule.sh deploy/tools/crds/schemas.sh
# Always the whole workspace, so that its dependencies are built once, with the features that the tests need too.
FEATURES = $(if $(VIDEO),--features video)
BUILD = $(CARGO) build --release --locked --workspace --bins $(FEATURES)
BINARY = $(or $(CARGO_TARGET_DIR),target)/release/facestream

.DEFAULT_GOAL := help
.PHONY: help setup build demo test test-deploy crash check bench fuzz

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1 - /p' $(MAKEFILE_LIST)

setup: ## fetch what is needed to build and run, and nothing else
	@deploy/setup.sh $(if $(VIDEO),video)

build: setup ## the release binary (VIDEO=1: with OpenCV)
	$(BUILD)

demo: setup ## see it work: virtual cameras, a built-in broker, the real pipeline, Parquet (FOR=20s, KAFKA=host:port)
	$(BUILD)
	@$(BINARY) demo --for $(FOR) $(if $(KAFKA),--kafka $(KAFKA))

test: ## every test, the ones with a real Kafka too (VIDEO=1: the ones with OpenCV too)
	@deploy/setup.sh test
	@$(if $(VIDEO),deploy/setup.sh video)
	$(BUILD)
	$(CARGO) test --release --locked --workspace $(FEATURES)

test-deploy: ## dashboards, alerts, the live page in a browser, images, manifests: each held against the real tools
	@deploy/setup.sh deploy
	$(BUILD)
	$(CARGO) test --release --locked --workspace --test deploy

crash: ## kill and freeze processes and brokers for half an hour, then count: OUT=crash-output, REPORT=crash-output/report.md
	@deploy/setup.sh test
	$(BUILD)
	SEED='$(SEED)' ROUNDS='$(ROUNDS)' STRIKES='$(STRIKES)' OUT='$(OUT)' REPORT='$(REPORT)' \
	  $(CARGO) bench --locked --workspace --bench crash

bench: ## the figures in the README: the kernel, and the whole pipeline on a real Kafka
	@deploy/setup.sh bench
	$(BUILD)
	$(CARGO) bench --locked --workspace --bench kernel --bench pipeline

fuzz: ## every decoder of hostile bytes, FUZZ_FOR=180 seconds each; needs nightly Rust and cargo-fuzz
	@deploy/setup.sh
	@$(CARGO) +nightly fuzz --version >/dev/null 2>&1 || { \
	  echo 'fuzz: needs rustup toolchain install nightly, and cargo install --locked cargo-fuzz'; exit 1; }
	$(CARGO) +nightly fuzz run seeds fuzz/corpus
	@for target in envelope json msgpack video image; do \
	  $(CARGO) +nightly fuzz run $$target -- -max_total_time=$(FUZZ_FOR) -timeout=10 -rss_limit_mb=2048 -max_len=65536 || exit 1; \
	done

check: ## formatting, lints, documentation, licences; says what it could not check
	@deploy/setup.sh check
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --release --locked --workspace --test deploy -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --release --locked --workspace --no-deps
	@test "$$(wc -l <ARCHITECTURE.md)" -le 200 || { echo 'check: ARCHITECTURE.md is longer than 200 lines'; exit 1; }
	@cache=$${FACESTREAM_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/facestream}; PATH="$$PATH:$$cache/venv/check/bin"; \
	if command -v shellcheck >/dev/null; then shellcheck $(SCRIPTS); else echo 'check: skipped: shellcheck (not installed)'; fi
	@if ! $(CARGO) deny --version >/dev/null 2>&1; then \
	  echo 'check: skipped: licences and advisories (cargo install --locked cargo-deny brings them)'; \
	else \
	  $(CARGO) deny --locked check licenses bans sources || exit 1; \
	  if $(CARGO) deny fetch db >/dev/null 2>&1; then $(CARGO) deny --locked check advisories; \
	  else echo 'check: skipped: advisories (their database cannot be fetched)'; fi; \
	fi
