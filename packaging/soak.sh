#!/usr/bin/env bash
# Runs every package that has a long form of a test with EDGEHOLD_SOAK set, then
# the modules of their own that have one. SOAK_TIMEOUT bounds each package
# (default 90m). SOAK_PACKAGES=1 leaves those modules out, and the measurements
# that take many minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

go=${GO:-go}
flags=(-count=1 -tags "${TAGS:-gosnmp_nodebug}" -timeout "${SOAK_TIMEOUT:-90m}")
export EDGEHOLD_SOAK=1
if [[ -n ${SOAK_PACKAGES:-} ]]; then EDGEHOLD_SOAK=short; fi

mapfile -t folders < <(grep -rl --include='*.go' EDGEHOLD_SOAK . | xargs -r dirname | sort -u)
packages=() modules=()
for folder in "${folders[@]}"; do
	if [[ -f $folder/go.mod ]]; then modules+=("$folder"); else packages+=("$folder"); fi
done
if ((${#packages[@]} == 0)); then
	echo "soak: no test looks at EDGEHOLD_SOAK" >&2
	exit 1
fi
"$go" test "${flags[@]}" "${packages[@]}"
if [[ -n ${SOAK_PACKAGES:-} ]]; then exit 0; fi
for module in "${modules[@]}"; do
	(cd "$module" && "$go" test "${flags[@]}" ./...)
done
