#!/usr/bin/env bash
# lintian, rpmlint and the checks of systemd over dist/packages. What they may not
# complain about is listed with its reason in lintian-overrides and rpmlint.toml.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
say() {
	echo "lint-packages: $*" >&2
	failed=1
}

# rpmlint unpacks with cpio, and the names in a package are absolute: as root it
# would write into this machine.
cpio=$(type -P cpio)
apart=$(mktemp -d)
trap 'rm -rf "$apart"' EXIT
printf '#!/bin/sh\nexec %s --no-absolute-filenames "$@"\n' "$cpio" >"$apart/cpio"
chmod 755 "$apart/cpio"

lintian --fail-on error,warning --allow-root dist/packages/*.deb || say lintian
# One at a time: in a set rpmlint takes the same file of two architectures for a
# mistake. Its exit status knows errors only.
for package in dist/packages/*.rpm; do
	findings=$(PATH=$apart:$PATH rpmlint --config packaging/rpmlint.toml "$package" | grep -E ': [EW]: ' || true)
	[[ -z $findings ]] || say "rpmlint"$'\n'"$findings"
	rpm --checksig --nosignature "$package" >/dev/null || say "checksums of $package"
done

for script in dist/stage/scripts/*; do
	shellcheck "$script" || say "shellcheck $script"
done
for page in dist/stage/man/*/*.gz; do
	warnings=$(man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null)
	[[ -z $warnings ]] || say "$page: $warnings"
done

root=$(mktemp -d)
trap 'rm -rf "$root" "$apart"' EXIT
mkdir -p "$root/etc" "$root/usr/bin" "$root/usr/lib/systemd/system"
(cd packaging/tools && "${GO:-go}" vet ./... && "${GO:-go}" test ./...) || say "the tools"
systemd-sysusers --root="$root" "$PWD/packaging/sysusers/edgehold.conf" >/dev/null || say sysusers
grep -q '^edgehold:' "$root/etc/passwd" || say "sysusers made no account"
systemd-tmpfiles --root="$root" --create "$PWD/packaging/tmpfiles/edgehold.conf" || say tmpfiles
[[ -d $root/var/lib/edgehold ]] || say "tmpfiles made no folder"
exit "$failed"
