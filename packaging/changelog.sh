#!/usr/bin/env bash
# Prints CHANGELOG.md in Debian's form. Its headings are `## Unreleased`, which
# becomes PACKAGE_VERSION, or `## 1.2.0 (2026-11-22)`.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${PACKAGE_VERSION:?}" "${SOURCE_DATE_EPOCH:?}"

stamp() { LC_ALL=C TZ=UTC date -d "$1" '+%a, %d %b %Y %H:%M:%S +0000'; }
by='Edgehold authors <edgehold@users.noreply.github.com>'

# entry_end prints the change that was read, in lines of 80 columns.
entry=
entry_end() {
	if [[ -n $entry && -n $date ]]; then
		fmt -w 74 <<<"$entry" | sed '1s/^/  * /; 2,$s/^/    /'
	fi
	entry=
}

# close ends the version before, if any, with its date.
date=
close() {
	entry_end
	if [[ -n $date ]]; then printf '\n -- %s  %s\n\n' "$by" "$date"; fi
}

while IFS= read -r line; do
	case $line in
	'## Unreleased')
		close
		date=$(stamp "@$SOURCE_DATE_EPOCH")
		printf 'edgehold (%s-1) unstable; urgency=medium\n\n' "$PACKAGE_VERSION"
		;;
	'## '*)
		close
		read -r version day <<<"${line#\#\# }"
		date=$(stamp "$(tr -d '()' <<<"$day")")
		printf 'edgehold (%s-1) unstable; urgency=medium\n\n' "${version#v}"
		;;
	'* '*)
		entry_end
		entry=${line#\* }
		;;
	'  '*) entry+=" ${line#  }" ;;
	esac
done <CHANGELOG.md
close
