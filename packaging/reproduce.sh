#!/usr/bin/env bash
# Builds one commit twice, in two folders of different length, under different
# umasks, the second time with nothing from Go's cache, and compares all bytes:
# program, .deb, .rpm, image, bill of materials.
#   reproduce.sh [NAME...]     for some architectures (default: all)
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/version.sh

if (($# == 0)); then set -- amd64 arm64 armv7 armv6 386; fi
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# build FOLDER UMASK NAME... builds the last commit there, with the tools of here.
build() (
	umask "$2"
	git clone -q --no-hardlinks . "$1"
	mkdir -p .tools "$1/.tools"
	ln -s "$PWD/.tools/bin" "$1/.tools/bin"
	cd "$1"
	env -u VERSION -u BUILT -u COMMIT make -s artefacts TARGETS="${*:3}" >/dev/null
)

build "$work/a" 022 "$@"
GOCACHE=$work/cache build "$work/another-folder" 077 "$@"
(cd "$work/a/dist" && find . -maxdepth 2 -type f ! -path './stage/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) >"$work/a.sums"
(cd "$work/another-folder/dist" && sha256sum --quiet --check "$work/a.sums") || {
	echo "reproduce: two builds of $VERSION differ" >&2
	exit 1
}
cat "$work/a.sums"
echo "reproduce: two builds of $VERSION are the same, $(wc -l <"$work/a.sums") files"
