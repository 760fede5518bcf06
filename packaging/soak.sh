#!/usr/bin/env bash
# Runs every package that has a long form of a test with EDGEHOLD_SOAK set, then
# the modules of their own that have one. SOAK_TIMEOUT bounds each package
# (default 90m). SOAK_PACKAGES=1 leaves those modules out, and the measurements
# that take many minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

go=${GO:-go}
flags=(-count=1 -tags "${TAGS:-gosnmp_nodebug}" -timeout "${SOAK_TIMEOUT:-90m}")
if [[ ${1:-} == one ]]; then # PACKAGE and TESTS, for the bounded form
	exec "$go" test "${flags[@]}" -run "$3" "$2"
fi
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
if [[ -n ${SOAK_PACKAGES:-} ]]; then
	# Only the tests of the files that have a long form; of a package that asks in
	# its helpers, all.
	for folder in "${packages[@]}"; do
		names=$(grep -l EDGEHOLD_SOAK "$folder"/*_test.go | xargs grep -hoP '^func \K(Test|Fuzz)\w+' | paste -sd '|' || true)
		printf '%s\0^(%s)$\0' "$folder" "${names:-.*}"
	done | xargs -0 -n 2 -P 4 "$0" one # they mostly wait
	exit
fi
"$go" test "${flags[@]}" "${packages[@]}"
for module in "${modules[@]}"; do
	(cd "$module" && "$go" test "${flags[@]}" ./...)
done
