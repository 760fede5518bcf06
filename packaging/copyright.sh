#!/usr/bin/env bash
# Prints who owns what is in the binary: its own licence, that of Go, and the
# words of every module that is linked in, as their licences ask for.
set -euo pipefail
cd "$(dirname "$0")/.."

go=${GO:-go}

# licence NAME FOLDER
licence() {
	printf '\n%s\n%s\n\n' "$1" "${1//?/-}"
	local file found=
	for file in "$2"/{LICENSE,LICENCE,COPYING,NOTICE}{,.txt,.md}; do
		if [[ -f $file ]]; then
			found=1
			cat "$file"
			echo
		fi
	done
	if [[ -z $found ]]; then
		echo "copyright: no licence in $2" >&2
		exit 1
	fi
}

cat <<'TEXT'
Edgehold: polls, holds and drains measurements
https://github.com/edgehold/edgehold

Copyright 2026 The Edgehold authors
License: Apache-2.0

Licensed under the Apache License, Version 2.0; you may not use this program
except in compliance with the License. On Debian systems its complete text is in
/usr/share/common-licenses/Apache-2.0; it is also at
https://www.apache.org/licenses/LICENSE-2.0. Unless required by applicable law
or agreed to in writing, software distributed under the License is distributed
on an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either
express or implied.

The program holds parts of the following, under the licences that follow.
TEXT
licence "The Go runtime and standard library" "$("$go" env GOROOT)"
CGO_ENABLED=0 GOOS=linux "$go" list -deps -tags "${TAGS:-gosnmp_nodebug}" \
	-f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/edgehold |
	LC_ALL=C sort -u | while read -r path version dir; do licence "$path $version" "$dir"; done
