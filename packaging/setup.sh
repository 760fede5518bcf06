#!/usr/bin/env bash
# Installs what the tests (`setup.sh test`), the linters (`setup.sh lint`), the
# packages with their repositories and tests (`setup.sh packages`), their run under a
# systemd (`setup.sh systemd`) or for other processors (`setup.sh foreign`), or
# the emulated machines (`setup.sh emulated`) need and
# this machine lacks. Needs root, or sudo without a password, only when
# something is missing; otherwise it says what to install and fails.
set -euo pipefail

has() { command -v "$1" >/dev/null 2>&1 || [[ -x /usr/sbin/$1 ]]; }

# has_race tells whether cgo can compile and link, as the race detector needs.
has_race() {
	has gcc && printf '#include <stdlib.h>\nint main(void){return 0;}\n' |
		gcc -x c -o /dev/null - 2>/dev/null
}

has_python_module() { python3 -c "import $1" 2>/dev/null; }

missing_for_test() {
	has snmpd || echo snmpd
	has snmpget || echo snmp
	# Older packages carry snmpsimd, newer ones snmpsim-command-responder.
	has snmpsimd || has snmpsim-command-responder || echo snmpsim
	has openssl || echo openssl
	has chronyd || echo chrony
	has strace || echo strace
	has qemu-arm || echo qemu-user
	has mkfs.ext4 || echo e2fsprogs
	has mkfs.xfs || echo xfsprogs
	has promtool || echo prometheus
	has prometheus-node-exporter || echo prometheus-node-exporter
	has snmptrap || echo snmp
	has mosquitto || echo mosquitto
	has mosquitto_pub || echo mosquitto-clients
	has rabbitmq-server || echo rabbitmq-server
	has socat || echo socat
	has_python_module pymodbus || echo python3-pymodbus
	has_python_module serial || echo python3-serial
	has_python_module serial_asyncio || echo python3-serial-asyncio
	[[ -d /usr/share/snmp/mibs ]] || echo libsnmp-base
	[[ -d /usr/lib/python3/dist-packages/pysnmp_mibs ]] || echo python3-pysnmp4-mibs
	has_race || printf 'gcc\nlibc6-dev\n'
}

missing_for_lint() {
	has shellcheck || echo shellcheck
}

missing_for_packages() {
	has openssl || echo openssl
	has gpg || echo gnupg
	has lintian || echo lintian
	has rpm || echo rpm
	has rpmlint || echo rpmlint
	has createrepo_c || echo createrepo-c
	has dpkg-deb || echo dpkg
	has xz || echo xz-utils
	has dpkg-scanpackages || echo dpkg-dev
	has apt-ftparchive || echo apt-utils
	has debootstrap || echo debootstrap
	has systemd-sysusers || echo systemd
	has man || echo man-db
}

missing_for_foreign() {
	has qemu-aarch64-static || echo qemu-user-static
}

missing_for_systemd() {
	has ip || echo iproute2
	has snmpd || echo snmpd
	has snmpget || echo snmp
	has pgrep || echo procps
	has mkfs.ext4 || echo e2fsprogs
	has unshare || echo util-linux
}

missing_for_emulated() {
	has qemu-system-aarch64 || echo qemu-system-arm
	has mkfs.ext4 || echo e2fsprogs
	has dpkg-deb || echo dpkg
	[[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]] || echo debian-archive-keyring
}

# warn_of_simulator says when snmpsimd is there but does not start, as with the
# package of Debian 13 (0.4.5), which lacks a Python module of its time. Its
# exit status tells nothing: a working one prints its help and ends with 255.
warn_of_simulator() {
	if has snmpsimd && ! [[ $(snmpsimd --help 2>&1) == *--agent-udpv4-endpoint* ]]; then
		echo "note: this machine's snmpsimd does not start; the tests that replay recordings with it skip" >&2
	fi
}

# as_root runs a command with the rights that installing needs.
as_root() {
	if ((EUID == 0)); then "$@"; else sudo -n "$@"; fi
}

refuse() {
	echo "missing: $*" >&2
	echo "Install them and run make again:  sudo apt-get install --no-install-recommends $*" >&2
	exit 1
}

# without_services runs a command while package scripts may start no service:
# the tests run an snmpd of their own and the machine shall not get another.
# A policy that is already there is left as it is.
without_services() {
	local policy=/usr/sbin/policy-rc.d
	if [[ ! -e $policy ]]; then
		# shellcheck disable=SC2064 # the path is wanted as it is now
		trap "as_root rm -f $policy" EXIT
		printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
		as_root chmod 755 "$policy"
	fi
	"$@"
}

install() {
	as_root apt-get -q update
	as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get -q -y install --no-install-recommends "$@"
}

# provide installs what is missing.
provide() {
	if ! has apt-get || ! as_root true 2>/dev/null; then
		refuse "$@"
	fi
	echo "installing: $*"
	without_services install "$@" || refuse "$@"
	# A service that this script brought must not start with the machine either.
	local service
	for service in snmpd prometheus mosquitto rabbitmq-server; do
		if [[ " $* " == *" $service "* ]]; then
			as_root update-rc.d "$service" disable 2>/dev/null || true
		fi
	done
}

main() {
	local -a missing
	case "${1:-}" in
	test) mapfile -t missing < <(missing_for_test) ;;
	lint) mapfile -t missing < <(missing_for_lint) ;;
	packages) mapfile -t missing < <(missing_for_packages) ;;
	systemd) mapfile -t missing < <(missing_for_packages && missing_for_systemd) ;;
	foreign) mapfile -t missing < <(missing_for_packages && missing_for_foreign) ;;
	emulated) mapfile -t missing < <(missing_for_emulated) ;;
	*)
		echo "usage: setup.sh test|lint|packages|systemd|foreign|emulated" >&2
		exit 2
		;;
	esac
	if ((${#missing[@]})); then provide "${missing[@]}"; fi
	if [[ $1 == test ]]; then warn_of_simulator; fi
}

main "$@"
