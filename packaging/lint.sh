#!/usr/bin/env bash
# The linters, at pinned versions, installed into .tools/bin when missing.
set -euo pipefail
cd "$(dirname "$0")/.."

. packaging/tools.sh
tags=${TAGS:-gosnmp_nodebug}

tool gofumpt mvdan.cc/gofumpt v0.12.0
tool staticcheck honnef.co/go/tools/cmd/staticcheck v0.8.2
tool golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint v2.15.0 # a minute on two cores

failed=0
say() {
	echo "lint: $*"
	failed=1
}

# sources lists the files of the project, committed or not, that are there.
sources() {
	git ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do
		[[ ! -e $file ]] || echo "$file"
	done
}

mapfile -t gofiles < <(sources '*.go')
unformatted=$("$bin/gofumpt" -l "${gofiles[@]}")
[[ -z $unformatted ]] || say "run gofumpt -w on:"$'\n'"$unformatted"

"$go" vet -tags "$tags" ./... || say "go vet"
"$bin/staticcheck" -tags "$tags" ./... || say "staticcheck"
"$bin/golangci-lint" run --build-tags "$tags" ./... || say "golangci-lint"

mapfile -t scripts < <(sources '*.sh' .ci/run)
shellcheck "${scripts[@]}" || say "shellcheck"

# Unfinished work and the paths of one developer's machine stay out.
if git grep --untracked -nE '\b(TODO|FIXME|XXX)\b|/(home/[a-z]+|work)/' -- . ':!packaging/lint.sh'; then
	say "unfinished work or a path of one machine"
fi

exit "$failed"
