#!/usr/bin/env bash
# Static stripped binaries into dist/, for every target or for those named. Prints
# their sizes and fails when one is above the bar.
set -euo pipefail
cd "$(dirname "$0")/.."

go=${GO:-go}
tags=${TAGS:-gosnmp_nodebug}

read -ra inline <<<"${INLINE:-}"

# build NAME GOARCH [GOARM]
build() {
	local align=
	if [ "$2" = amd64 ]; then align=-funcalign=8; fi # as in the Makefile
	CGO_ENABLED=0 GOOS=linux GOARCH=$2 GOARM=${3:-} "$go" build -trimpath -buildvcs=false "${inline[@]}" \
		-tags "$tags" -ldflags "-s -w $align -X main.version=${VERSION:-dev} -X main.commit=${COMMIT:-} -X main.built=${BUILT:-}" \
		-o "dist/edgehold-linux-$1" ./cmd/edgehold
}

mkdir -p dist
declare -A machine=([amd64]=amd64 [arm64]=arm64 [armv7]="arm 7" [armv6]="arm 6" [386]=386)
if (($# == 0)); then set -- amd64 arm64 armv7 armv6 386; fi
for name in "$@"; do
	read -r arch arm <<<"${machine[$name]}"
	build "$name" "$arch" "$arm"
done
packaging/bench/size.sh "${@/#/dist/edgehold-linux-}"
