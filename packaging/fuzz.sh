#!/usr/bin/env bash
# Runs every fuzz target for FUZZTIME (default 10s), one after another.
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t targets < <(grep -rnoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sort)
for target in "${targets[@]}"; do
	package=$(dirname "${target%%:*}")
	name=${target##*func }
	echo "==> $package $name"
	# From its folder, which may be in a module of its own.
	(cd "$package" && "${GO:-go}" test -run '^$' -fuzz "^$name\$" -fuzztime "${FUZZTIME:-10s}" -fuzzminimizetime 5x \
		-tags "${TAGS:-gosnmp_nodebug}" .)
done
