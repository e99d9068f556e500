# What is done with this repository. `make help` lists it; `make run` and `make test` are all you need.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# ---- Tools: every version is pinned here, in go.mod or in package-lock.json -----------------------
GOLANGCI_VERSION := v2.15.0
NODE_MAJOR       := 20
FUZZTIME         ?= 10s
DURATION         ?= 10m
SEED             ?=

GOLANGCI := .tools/golangci-lint-$(GOLANGCI_VERSION)
NPM_DONE := node_modules/.package-lock.json

# A checkout owned by somebody else makes git refuse, and go build fail on asking it for a revision.
export GOFLAGS := -buildvcs=false

GO_SOURCES := $(shell find . -name node_modules -prune -o -name .git -prune -o -path ./data -prune -o -name '*.go' -print)
GO_UNITS   = $$(go list ./... | grep -vE '/internal/(e2e|torture)$$')

.PHONY: help run build packages powerloss torture chaos test check lint lint-go lint-js fmt test-go test-js test-e2e race fuzz bench tools clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

# Walls need Linux; elsewhere, and with make run ISOLATION=none, functions run without them, which the hub says loudly.
ISOLATION ?= $(if $(filter Linux,$(shell uname -s)),bwrap,none)

run: build ## start the hub with a tenant, its key and sample functions
	@[ "$(ISOLATION)" = none ] || scripts/bubblewrap.sh || \
		{ echo "or, with functions that can do all that you can do:  make run ISOLATION=none" >&2; exit 1; }
	./bin/livefn serve --dev --data ./data --isolation $(ISOLATION)

build: node-version ## make bin/livefn
	go build -o bin/livefn .

# ---- Tests ------------------------------------------------------------------------------------------

test: tools lint test-go test-js test-e2e ## install what the tests need, then run everything

check: fmt test ## format, then everything that CI does

test-go: ## Go tests with the race detector; the seeds of every fuzz test are among them
	go test -race -timeout 10m $(GO_UNITS)

race: test-go

test-js: $(NPM_DONE) ## the JavaScript of the bridge, the SDK, the dashboard, the scripts and the samples
	scripts/test-js.sh

packages: ## publish and call functions with some fifty real packages of the registry
	go vet -tags packages ./internal/packages
	go test -count=1 -tags packages -v -timeout 20m ./internal/packages

powerloss: ## cuts the power of a real ext4 below the store, again and again; needs root and loop devices
	go test -count=1 -tags powerloss -run "PowerLoss|DiskThatFails" -timeout 5m -v ./internal/store

test-e2e: $(NPM_DONE) ## the real program, killed and started again, and in a real browser
	LIVEFN_CHROMIUM="$$(scripts/chromium.sh)" go test -count=1 -timeout 15m ./internal/e2e ./internal/torture

torture: ## kill hub and bridges for DURATION (10m), and check every promise; SEED replays a run's decisions
	LIVEFN_TORTURE=$(DURATION) LIVEFN_SEED=$(SEED) go test -count=1 -v -timeout 0 ./internal/torture

chaos: ## kill, stop and starve bridges under load for DURATION, and account for every call
	LIVEFN_CHAOS=$(DURATION) LIVEFN_SEED=$(SEED) go test -count=1 -v -timeout 0 -run EveryCallIsAnsweredOnce ./nodebridge

fuzz: ## each fuzz test for FUZZTIME (10s)
	scripts/fuzz.sh $(FUZZTIME)

bench: build ## Go benchmarks, then livefn beside other servers
	go test -run '^$$' -bench . -benchmem $(GO_UNITS)
	./bin/livefn load compare

# ---- Form -------------------------------------------------------------------------------------------

lint: lint-go lint-js ## what a reader should not have to find

lint-go: $(GOLANGCI)
	@unformatted=$$(gofmt -l $(GO_SOURCES)); if [ -n "$$unformatted" ]; then \
		echo "not formatted, run make fmt:" >&2; echo "$$unformatted" >&2; exit 1; fi
	go vet ./...
	$(GOLANGCI) run ./...

lint-js: $(NPM_DONE)
	node_modules/.bin/eslint --max-warnings 0 .

fmt: $(NPM_DONE) ## format Go, fix what eslint can fix
	gofmt -w $(GO_SOURCES)
	node_modules/.bin/eslint --fix .

# ---- What the above need ------------------------------------------------------------------------------

tools: node-version cc-version bubblewrap $(GOLANGCI) $(NPM_DONE)
	scripts/chromium.sh

$(GOLANGCI):
	@mkdir -p .tools
	GOBIN="$$PWD/.tools" GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv .tools/golangci-lint $@

$(NPM_DONE): package.json package-lock.json .npmrc
	npm ci --ignore-scripts
	@touch $@

.PHONY: node-version cc-version bubblewrap
node-version:
	@major=$$(node -p 'process.versions.node.split(".")[0]') && [ "$$major" -ge $(NODE_MAJOR) ] || \
		{ echo "Node $(NODE_MAJOR) or newer is needed, this is $$(node --version || echo none)" >&2; exit 1; }

# The race detector links with a C compiler.
cc-version:
	@command -v cc >/dev/null || scripts/install-debian.sh gcc libc6-dev

# Functions run behind walls made by it; where there is no Linux there are no walls.
bubblewrap:
	@scripts/bubblewrap.sh

clean: ## remove what was built, not what a hub keeps in ./data
	rm -rf bin .tools node_modules
