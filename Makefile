# Edgehold: `make` alone lists what can be made.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
TAGS    := gosnmp_nodebug
# The moment of the last commit: no time before it is believed.
BUILT   ?= $(shell git log -1 --format=%ct 2>/dev/null)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null)
GO      ?= go
# Functions of amd64 begin at 32 bytes unless told otherwise, which costs 190 kB.
ALIGN   := $(if $(filter amd64,$(shell $(GO) env GOARCH)),-funcalign=8)
LDFLAGS := -s -w $(ALIGN) -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.built=$(BUILT)
# Inlining makes the binary 5 % larger. Only what is busy all day is worth it.
HOT     := runtime/... internal/... crypto/internal/fips140/aes/... crypto/internal/fips140/bigmod \
	crypto/internal/fips140/sha256 crypto/internal/fips140/sha512 crypto/internal/fips140/subtle \
	crypto/internal/fips140deps/... bufio bytes cmp encoding/binary hash/... io math math/... \
	slices sort strconv strings sync sync/... go.etcd.io/... github.com/gosnmp/... github.com/klauspost/... \
	github.com/edgehold/edgehold/agent/drain github.com/edgehold/edgehold/agent/mint \
	github.com/edgehold/edgehold/buffer/... github.com/edgehold/edgehold/probes github.com/edgehold/edgehold/probes/plan \
	github.com/edgehold/edgehold/probes/snmp
INLINE  := -gcflags=all=-l $(HOT:%=-gcflags=%=)
BUILD   := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false $(INLINE) -tags $(TAGS) -ldflags "$(LDFLAGS)"

# How long each fuzz target runs, how many seconds the idle measurement waits.
FUZZTIME     ?= 10s
IDLE_SECONDS ?= 20
# What is built: all of amd64 arm64 armv7 armv6 386, or some of them.
TARGETS      ?=
export GO TAGS BUILT COMMIT INLINE FUZZTIME IDLE_SECONDS

.DEFAULT_GOAL := help
.PHONY: help build demo test setup lint bench bench-buffer bench-drain bench-relay bench-snmp score profiles golden powercut emulated cross packages lint-packages test-packages test-systemd artefacts dist reproduce soak e2e fuzz clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/edgehold for this machine
	$(BUILD) -o bin/edgehold ./cmd/edgehold

demo: build ## simulated devices, an outage, a kill, and the drain: about a minute
	bin/edgehold demo

setup: ## install what the tests need: snmpd, snmpsim, openssl, chrony, gcc
	packaging/setup.sh test

test: setup ## vet, then every test with the race detector
	$(GO) vet -tags $(TAGS) ./...
	$(GO) test -race -tags $(TAGS) -timeout 15m ./...
	cd packaging/tools && $(GO) vet ./... && $(GO) test ./...
	cd packaging/test/standin && $(GO) vet ./...
	packaging/test/units.sh
	cd agent/mint/oracle && $(GO) vet ./... && $(GO) test ./...
	cd agent/otlp/oracle && $(GO) vet ./... && $(GO) test ./...
	cd agent/otlp/collectortest && $(GO) vet ./... && $(GO) test ./...
	cd buffer/storebench && $(GO) vet ./...

lint: ## formatting, vet, staticcheck, golangci-lint, shellcheck
	packaging/setup.sh lint
	packaging/lint.sh

bench: build cross ## benchmarks, binary sizes, idle memory, the demo's figures
	$(GO) test -run '^$$' -bench . -benchmem -tags $(TAGS) ./...
	packaging/bench/size.sh dist/edgehold-linux-*
	packaging/bench/idle.sh bin/edgehold
	bin/edgehold demo </dev/null

bench-buffer: ## the store against simpler layouts: bytes on disk and at the device, flushes, memory, a month
	packaging/bench/buffer.sh

bench-drain: ## the drain against plain gzip: processor time, bytes on the wire, memory
	packaging/bench/drain.sh

bench-relay: ## the way over a relay: points a second, processor, bytes on the wire, recovery, 500 sites
	packaging/bench/relay.sh

bench-snmp: build ## polling: processor time, memory, punctuality beside dead and slow devices
	packaging/bench/snmp.sh

profiles: ## pack agent/extension/profiles for the binary
	EDGEHOLD_UPDATE_GOLDEN=1 $(GO) test ./agent/extension -run '^TestPack$$' -count=1

score: ## the profiles against recordings of real devices; the table goes to BENCHMARKS.md
	EDGEHOLD_SCORE=1 EDGEHOLD_SCORE_WRITE=1 $(GO) test ./cmd/edgehold -run '^TestScore$$' -v -count=1 -tags $(TAGS)

powercut: setup ## power cuts at random moments on a disk of our own, on ext4 and xfs (root)
	cd buffer/powercut && $(GO) vet ./... && $(GO) test -count=1 -timeout 15m ./...

golden: setup ## the codec's golden test on five kinds of processor, under qemu-user
	packaging/golden.sh

cross: ## static stripped binaries for five targets, each at most 18 MB
	VERSION="$(VERSION)" packaging/cross.sh $(TARGETS)

packages: cross ## .deb and .rpm in dist/packages (TARGETS="amd64 armv7" for some)
	packaging/setup.sh packages
	VERSION="$(VERSION)" packaging/packages.sh $(TARGETS)

lint-packages: packages ## lintian, rpmlint and more over the packages
	packaging/lint-packages.sh

test-packages: ## install, upgrade, rollback, remove, purge, in a fresh Debian (root)
	packaging/setup.sh packages
	VERSION="$(VERSION)" packaging/cross.sh amd64
	packaging/test/packages.sh

test-systemd: ## a gateway's life under a real systemd, and a new user's first page (root)
	packaging/setup.sh systemd
	packaging/test/systemd.sh
	VERSION="$(VERSION)" packaging/cross.sh amd64
	VERSION="$(VERSION)" packaging/test/newuser.sh

artefacts: cross
	VERSION="$(VERSION)" packaging/packages.sh $(TARGETS)
	VERSION="$(VERSION)" packaging/oci.sh $(TARGETS)
	VERSION="$(VERSION)" packaging/sbom.sh

dist: ## all of a release: packages, image, bills of materials, checksums, repositories
	packaging/setup.sh packages
	rm -rf dist
	$(MAKE) artefacts
	VERSION="$(VERSION)" packaging/dist.sh

reproduce: ## two builds in two folders give the same bytes (TARGETS=amd64 for one)
	packaging/setup.sh packages
	packaging/reproduce.sh $(TARGETS)

soak: setup ## the long forms of the tests that have one (they look at EDGEHOLD_SOAK)
	packaging/soak.sh

e2e: setup ## the end-to-end tests (TestE2E...) alone, and the packages of ARM under qemu-user (root)
	$(GO) test -run '^TestE2E' -count=1 -tags $(TAGS) -timeout 20m ./...
	packaging/setup.sh foreign
	VERSION="$(VERSION)" packaging/cross.sh arm64 armv7
	packaging/test/packages.sh arm64
	packaging/test/packages.sh armv7

emulated: ## the ARM binaries in emulated machines: the demo in 64 MB, power cuts, boards and sensors
	packaging/setup.sh emulated
	VERSION="$(VERSION)" packaging/cross.sh armv7 arm64
	cd packaging/emulated && $(GO) vet ./... && $(GO) test -count=1 -timeout 30m ./...

fuzz: ## every fuzz target for FUZZTIME (10s) each
	packaging/fuzz.sh

clean: ## remove what was built; .tools stays
	rm -rf bin dist
