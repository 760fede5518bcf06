#!/usr/bin/env bash
# Runs the codec's golden test on every kind of CPU that qemu-user can stand in
# for: the same points must give the same bytes everywhere. What cannot be run
# here is skipped aloud.
set -euo pipefail
cd "$(dirname "$0")/.."

go=${GO:-go}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0 skipped=0

# golden GOARCH [EMULATOR]
golden() {
	local arch=$1 emulator=${2:-}
	if [[ -n $emulator ]] && ! command -v "$emulator" >/dev/null 2>&1; then
		echo "golden: SKIPPED $arch: $emulator is missing (package qemu-user)" >&2
		skipped=$((skipped + 1))
		return
	fi
	CGO_ENABLED=0 GOOS=linux GOARCH=$arch "$go" test -c -o "$dir/$arch.test" ./buffer/arc
	# shellcheck disable=SC2086 # no emulator is no word
	if (cd buffer/arc && $emulator "$dir/$arch.test" -test.run '^TestGolden' >"$dir/$arch.log" 2>&1) &&
		grep -qx PASS "$dir/$arch.log"; then
		echo "golden: $arch ok"
	else
		echo "golden: $arch FAILED" >&2
		cat "$dir/$arch.log" >&2
		failed=1
	fi
}

golden "$("$go" env GOHOSTARCH)"
golden 386 "$([[ $(uname -m) =~ ^(x86_64|i.86)$ ]] || echo qemu-i386)"
golden arm qemu-arm
golden arm64 qemu-aarch64
golden mips qemu-mips
((skipped == 0)) || echo "golden: $skipped kinds of CPU were not tried" >&2
exit "$failed"
