# make help lists the targets.

GO       ?= go
FUZZTIME ?= 30s
SOAKTIME ?= 30m
CHAOSRUNS ?= 5
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT   ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

.DEFAULT_GOAL := help
.PHONY: run build test chart chart-update conformance chaos soak screenshots dashboards dashboard-pictures clients clients-go clients-ts clients-python lint release-check vulncheck bench bench-smoke microbench fuzz clean help

run: build ## build, then run everything embedded: prints a key and a redis-cli line to paste
	./bin/respgate dev

build: ## build bin/respgate
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/respgate ./cmd/proxy

test: ## install what this machine lacks, then run every test with -race
	@scripts/need redis-server redis-cli redis-benchmark promtool prometheus-alertmanager busybox curl openssl gcc prlimit libnss-wrapper postgresql chromium dpkg-deb rpm systemd-analyze groff
	cd deploy/check && $(GO) test -count=1 ./...
	@GO=$(GO) scripts/test

# Before the others in test, and without -race: its tests have no goroutines but those of the
# servers they start, and Helm and Kubernetes's types would have to be compiled once more.
chart: ## render the Helm chart for several sets of values, and check what comes of it
	@scripts/need promtool
	cd deploy/check && $(GO) test -count=1 ./helm

chart-update: ## write the chart's golden renders and its README's table of values anew
	cd deploy/check && $(GO) test -count=1 ./helm -update

conformance: build ## have the clients that people use, and those of the API, do what they do through respgate
	@scripts/need redis-server redis-cli gcc libhiredis-dev node npm python3-redis python3-rq ruby ruby-redis sidekiq mypy php php-redis php-predis java openssl
	$(GO) test -count=1 -tags conformance -v ./conformance

chaos: ## have all that can break around the proxy break CHAOSRUNS (5) times, and check what clients were told
	@scripts/need redis-server gcc prlimit libnss-wrapper
	$(GO) test -race -count=1 -timeout 60m -v -run 'TestCheck|TestFaults|TestTheChecker' ./chaos -chaos.runs $(CHAOSRUNS) $(if $(RESULTS),-chaos.results $(RESULTS))

soak: ## have clients come and go for SOAKTIME (30m), and check that memory stays flat
	@scripts/need redis-server gcc
	$(GO) test -count=1 -timeout 0 -v -run TestSoak ./chaos -chaos.soak $(SOAKTIME)

screenshots: ## have Chromium take the pictures of the console in docs/images, in about four minutes
	@scripts/need redis-server gcc chromium
	$(GO) test -count=1 -timeout 20m -run TestConsoleInChromium ./cmd/proxy -console.screenshots $(CURDIR)/docs/images

dashboards: ## write configs/grafana/dashboards anew, from the tables in scripts/gen-dashboards
	$(GO) run ./scripts/gen-dashboards

dashboard-pictures: ## draw the dashboards of two loaded proxies to docs/images, in about three minutes
	@scripts/need redis-server gcc promtool chromium
	$(GO) test -count=1 -timeout 20m -run 'TestDashboards|TestIncident' ./cmd/proxy -dashboards.pictures $(CURDIR)/docs/images

clients: clients-go clients-ts clients-python ## generate the clients of the management API anew, from docs/openapi.json

clients-go:
	$(GO) test -count=1 -run TestGenerated ./clients/go -update

clients-ts:
	@scripts/need node npm
	cd clients/typescript && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && npm run --silent generate

clients-python:
	$(GO) run ./scripts/gen-python-client

lint: ## vet, format and the rules of .golangci.yml
	@scripts/lint

release-check: ## have goreleaser check .goreleaser.yaml and make all of a release of HEAD that needs no Docker, in dist/
	@scripts/release-check

vulncheck: ## look the dependencies up in Go's vulnerability database, which needs a way to vuln.go.dev
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...

bench: build ## compare with direct Redis and the peers, as one table
	@scripts/need redis-server redis-cli redis-benchmark nutcracker haproxy
	$(GO) run ./bench

bench-smoke: build ## everything that bench does, once and small, in about a minute
	@scripts/need redis-server redis-cli redis-benchmark nutcracker haproxy
	$(GO) run ./bench -smoke

microbench: ## compare the Go benchmarks with those of the commit BASE (HEAD)
	@scripts/microbench $(or $(BASE),HEAD)

fuzz: ## run every fuzz target for FUZZTIME (30s) each
	@scripts/fuzz $(FUZZTIME)

clean: ## remove what the other targets made (not the store in var/)
	rm -rf bin dist clients/typescript/dist clients/typescript/node_modules

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
