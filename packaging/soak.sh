#!/usr/bin/env bash
# Runs every package that has a long form of a test with EDGEHOLD_SOAK set.
# SOAK_TIMEOUT bounds each package (default 30m).
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t packages < <(grep -rl --include='*_test.go' EDGEHOLD_SOAK . | xargs -r dirname | sort -u)
if ((${#packages[@]} == 0)); then
	echo "soak: no test looks at EDGEHOLD_SOAK" >&2
	exit 1
fi
EDGEHOLD_SOAK=1 "${GO:-go}" test -count=1 -tags "${TAGS:-gosnmp_nodebug}" \
	-timeout "${SOAK_TIMEOUT:-30m}" "${packages[@]}"
