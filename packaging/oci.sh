#!/usr/bin/env bash
# The image of all architectures, from an empty base, as a tar file with an OCI
# layout: dist/edgehold_VERSION.oci.tar. Nothing is pushed.
#   oci.sh [NAME...]     for some architectures only
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/version.sh

go=${GO:-go}
declare -A platform=([amd64]=linux/amd64 [arm64]=linux/arm64 [armv7]=linux/arm/v7 [armv6]=linux/arm/v6 [386]=linux/386)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

# What all architectures share.
mkdir -p "$root"/etc/{edgehold/{secrets,certificates,extensions,config.d,mibs,profiles},ssl/certs} \
	"$root"/{run/edgehold,tmp,usr/bin,var/lib/edgehold}
cp packaging/edgehold.yaml "$root/etc/edgehold/"
(cd packaging/tools && "$go" run ./roots) >"$root/etc/ssl/certs/ca-certificates.crt"
printf 'root:x:0:0:root:/:/sbin/nologin\nedgehold:x:64801:64801:Edgehold:/var/lib/edgehold:/sbin/nologin\n' >"$root/etc/passwd"
printf 'root:x:0:\nedgehold:x:64801:\n' >"$root/etc/group"
find "$root" -type d -exec chmod 755 {} + -o -type f -exec chmod 644 {} +
chmod 750 "$root"/etc/edgehold/{secrets,extensions,config.d} "$root/run/edgehold" "$root/var/lib/edgehold"
chmod 640 "$root/etc/edgehold/edgehold.yaml"
chmod 1777 "$root/tmp"

if (($# == 0)); then set -- amd64 arm64 armv7 armv6 386; fi
pairs=()
for name in "$@"; do pairs+=("${platform[$name]}=$PWD/dist/edgehold-linux-$name"); done
out=$PWD/dist/edgehold_${PACKAGE_VERSION}.oci.tar
(cd packaging/tools && "$go" run ./oci "$out" "$PACKAGE_VERSION" "$root" "${pairs[@]}")
printf '%-52s %9d bytes\n' "$(basename "$out")" "$(stat -c %s "$out")"
