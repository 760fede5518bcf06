#!/usr/bin/env bash
# Packs dist/edgehold-linux-* into dist/packages: a .deb and an .rpm of each
# architecture named (default: all). Fails when one is above 5 MB, or for amd64
# above 5.3 MB.
#   packages.sh [amd64|arm64|armv7|armv6|386]...
# OUT is another folder than dist/packages, FORMATS=deb leaves the .rpm out.
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/version.sh
. packaging/tools.sh

# The aim is 5 MB. The program for amd64 is the largest and goes beyond it.
bar=5000000
bar_amd64=5300000
out=${OUT:-dist/packages}
tool nfpm github.com/goreleaser/nfpm/v2/cmd/nfpm v2.45.0 # later ones do not resolve

# What the package managers and nfpm call the kinds of machines. Debian knows one
# armhf for both kinds of 32-bit ARM, so the older one says so in its file name.
declare -A arch=([amd64]=amd64 [arm64]=arm64 [armv7]=arm7 [armv6]=arm6 [386]=386)
declare -A deb=([amd64]=amd64 [arm64]=arm64 [armv7]=armhf [armv6]=armhf-armv6 [386]=i386)
declare -A rpm=([amd64]=x86_64 [arm64]=aarch64 [armv7]=armv7hl [armv6]=armv6hl [386]=i386)

# pack NAME PACKAGER FILE
pack() {
	BINARY=dist/edgehold-linux-$1 ARCH=${arch[$1]} "$bin/nfpm" package --config dist/stage/nfpm.yaml --packager "$2" --target "$out/$3" >/dev/null
	"$repack" "$1" "$out/$3"
	local size most=$bar
	if [[ $1 == amd64 ]]; then most=$bar_amd64; fi
	size=$(stat -c %s "$out/$3")
	printf '%-52s %9d bytes\n' "$3" "$size"
	if ((size > most)); then
		echo "packages: $3 is above the bar of $most bytes" >&2
		return 1
	fi
}

# documents lists what rpm is to take for documentation: nfpm marks single files.
documents() {
	local file
	(cd dist/stage && find man doc -type f) | LC_ALL=C sort | while read -r file; do
		printf '  - {src: dist/stage/%s, dst: /usr/share/%s, type: doc, file_info: {mode: 0644}}\n' \
			"$file" "${file/#doc/doc\/edgehold}"
	done
}

repack=$(mktemp)
trap 'rm -f "$repack"' EXIT
(cd packaging/tools && "$go" build -o "$repack" ./repack)

packaging/stage.sh
{ cat nfpm.yaml && documents; } >dist/stage/nfpm.yaml
rm -rf "$out"
mkdir -p "$out"
if (($# == 0)); then set -- amd64 arm64 armv7 armv6 386; fi
for name in "$@"; do
	for format in ${FORMATS:-deb rpm}; do
		case $format in
		deb) pack "$name" deb "edgehold_${PACKAGE_VERSION}-1_${deb[$name]}.deb" ;;
		rpm) pack "$name" rpm "edgehold-${PACKAGE_VERSION}-1.${rpm[$name]}.rpm" ;;
		esac
	done
done
