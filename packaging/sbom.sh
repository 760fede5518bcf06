#!/usr/bin/env bash
# A CycloneDX bill of materials beside each artefact of dist: FILE.cdx.json.
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/version.sh

go=${GO:-go}
sbom=$(mktemp)
trap 'rm -f "$sbom"' EXIT
(cd packaging/tools && "$go" build -o "$sbom" ./sbom)

# write FILE BINARY...
write() { "$sbom" "$1" "$PACKAGE_VERSION" "${@:2}" >"$1.cdx.json"; }

rm -f dist/*.cdx.json dist/packages/*.cdx.json
declare -A binary=([amd64]=amd64 [x86_64]=amd64 [arm64]=arm64 [aarch64]=arm64 [armhf]=armv7 [armv7hl]=armv7
	[armhf-armv6]=armv6 [armv6hl]=armv6 [i386]=386)
for file in dist/edgehold-linux-*; do write "$file" "$file"; done
for file in dist/packages/*.deb dist/packages/*.rpm; do
	arch=${file%.*}
	arch=${arch##*[_.]}
	if [[ $file == *_x86_64.* || $file == *.x86_64.rpm ]]; then arch=x86_64; fi
	write "$file" "dist/edgehold-linux-${binary[$arch]}"
done
mapfile -t binaries < <(find dist -maxdepth 1 -name 'edgehold-linux-*' ! -name '*.json' | LC_ALL=C sort)
write "dist/edgehold_$PACKAGE_VERSION.oci.tar" "${binaries[@]}"
