#!/usr/bin/env bash
# Holds the units, alone and with every drop-in, against systemd-analyze: they
# are correct, and their exposure is at most 2.0.
set -euo pipefail
cd "$(dirname "$0")/.."

bar=20 # tenths

if ! command -v systemd-analyze >/dev/null; then
	echo "units: systemd-analyze is MISSING (package systemd): nothing was tested" >&2
	if [ "${CI:-}" = true ]; then exit 1; fi
	exit 0
fi
version=$(systemd-analyze --version | awk 'NR == 1 {print $2}')

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# place UNIT DROP-IN... lays a unit with its drop-ins into a folder of its own.
# The program need not be installed.
place() {
	local unit=$1 dropin
	shift
	rm -rf "$work/units"
	mkdir -p "$work/units/$unit.d"
	sed 's|/usr/bin/edgehold|/bin/true|' "$unit" >"$work/units/$unit"
	for dropin; do cp "dropins/$dropin" "$work/units/$unit.d/"; done
}

# verify UNIT: no word from systemd, but that it is too old for the back-off.
verify() {
	local said
	said=$(SYSTEMD_UNIT_PATH="$work/units:" systemd-analyze verify --man=no "$work/units/$1" 2>&1) || said+=$'\n'"verify failed"
	if ((version < 254)); then
		said=$(grep -vE "Unknown key( name)? '(RestartSteps|RestartMaxDelaySec)'" <<<"$said" || true)
	fi
	if [ -n "${said//[$' \n']/}" ]; then
		printf 'units: %s:\n%s\n' "$2" "$said" >&2
		failed=1
	fi
}

# exposure UNIT NAME
exposure() {
	local said
	if ! said=$(SYSTEMD_UNIT_PATH="$work/units:" systemd-analyze security --offline=true --threshold=$bar "$work/units/$1" 2>&1); then
		printf 'units: %s is above %s tenths:\n%s\n' "$2" "$bar" "$(grep '✗' <<<"$said")" >&2
		failed=1
	fi
	printf '%-64s %s\n' "$2" "$(sed -n 's/.*Overall exposure level[^:]*: //p' <<<"$said")"
}

# try UNIT DROP-IN...
try() {
	place "$@"
	verify "$1" "$*"
	exposure "$1" "$*"
}

mapfile -t dropins < <(cd dropins && ls -- *.conf)
for unit in edgehold.service edgehold-relay.service; do
	try "$unit"
	try "$unit" credentials.conf
done
for dropin in "${dropins[@]}"; do try edgehold.service "$dropin"; done
try edgehold.service gpio.conf i2c.conf serial.conf
# All at once is 2.1 only because of the two that give a capability.
mapfile -t others < <(printf '%s\n' "${dropins[@]}" | grep -vxE '(ping|trap-port)\.conf')
try edgehold.service "${others[@]}"
try edgehold.service ping.conf trap-port.conf credentials.conf usb-export.conf

# The socket belongs to the service and verifies beside it.
place edgehold.service
cp edgehold-snmptrap.socket "$work/units/"
verify edgehold-snmptrap.socket edgehold-snmptrap.socket

exit $failed
