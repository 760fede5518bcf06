#!/usr/bin/env bash
# Makes what all packages share, in dist/stage: man pages, completions, the
# documents, the changelog, the maintainer scripts.
set -euo pipefail
cd "$(dirname "$0")/.."

go=${GO:-go}
stage=$PWD/dist/stage
: "${VERSION:?}" "${PACKAGE_VERSION:?}" "${SOURCE_DATE_EPOCH:?}"

rm -rf "$stage"
mkdir -p "$stage"/{man,completion,scripts,doc/manual}

# The test that holds the command tree against the pages writes them too.
EDGEHOLD_GENERATE=$stage VERSION=$VERSION "$go" test -tags "${TAGS:-gosnmp_nodebug}" -count=1 \
	-run '^TestGenerate$' ./cmd/edgehold >/dev/null
for section in 1 5 7; do
	mkdir "$stage/man/man$section"
	mv "$stage"/man/*.$section "$stage/man/man$section/"
done
gzip -9nr "$stage/man"

# script PHASE
script() {
	awk -v phase="$1" '
		/@SYSUSERS@/ {while ((getline line < "packaging/sysusers/edgehold.conf") > 0) if (line !~ /^#/) print line; next}
		{sub(/@PHASE@/, phase); print}
	' packaging/scripts/maintainer.sh >"$stage/scripts/$1"
}
for phase in preinstall postinstall preremove postremove; do script $phase; done

# The manual, with its links to the rest of the repository as they are installed.
for page in packaging/manual/*.md; do
	sed -e 's|(\.\./\.\./agent/config/reference\.yaml)|(../reference.yaml)|g' \
		-e 's|(\.\./\.\./BENCHMARKS\.md)|(../BENCHMARKS.md)|g' "$page" >"$stage/doc/manual/$(basename "$page")"
done
if grep -n '](\.\./\.\./' "$stage"/doc/manual/*; then
	echo "stage: the manual links to what no package holds" >&2
	exit 1
fi
cp agent/config/reference.yaml BENCHMARKS.md SECURITY.md "$stage/doc/"
cp -r packaging/examples packaging/dynatrace "$stage/doc/"
cp -r packaging/dropins "$stage/dropins"
packaging/copyright.sh >"$stage/doc/copyright"
packaging/changelog.sh | gzip -9n >"$stage/changelog.Debian.gz"
gzip -9nc CHANGELOG.md >"$stage/doc/changelog.gz"
# The modes of the files are packed as they are here, whatever the umask was.
find "$stage" -type d -exec chmod 755 {} + -o -type f -exec chmod 644 {} +
