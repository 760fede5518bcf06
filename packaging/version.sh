# shellcheck shell=bash
# To be sourced from the root of the repository: VERSION as git tells it, the
# moment of its commit, and the version of packages, in the order that dpkg and
# rpm give them.
#   v1.2.3                1.2.3
#   v1.2.3-4-gabcdef0     1.2.3+4.gabcdef0
#   abcdef0 (no tag yet)  0~git20261122013652.abcdef0

VERSION=${VERSION:-$(git describe --tags --always --dirty)}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
BUILT=${BUILT:-$SOURCE_DATE_EPOCH}
COMMIT=${COMMIT:-$(git rev-parse HEAD)}
if [[ ${VERSION#v} =~ ^([0-9]+\.[0-9]+\.[0-9]+[^-]*)(-(.*))?$ ]]; then
	PACKAGE_VERSION=${BASH_REMATCH[1]}
	if [[ -n ${BASH_REMATCH[3]} ]]; then PACKAGE_VERSION+=+${BASH_REMATCH[3]//-/.}; fi
else
	PACKAGE_VERSION=0~git$(TZ=UTC date -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S).${VERSION//-/.}
fi
export VERSION BUILT COMMIT SOURCE_DATE_EPOCH PACKAGE_VERSION
