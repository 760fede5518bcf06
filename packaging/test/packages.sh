#!/usr/bin/env bash
# Installs, upgrades, takes back, removes and purges the packages in a Debian that
# debootstrap makes, and asserts each step: the .deb with dpkg, then the .rpm with
# rpm. No systemd runs there; one that notes what it is asked stands in for it.
#   packages.sh [amd64|arm64|armv7]     another machine's programs run under qemu-user
# Needs root. ROOT_TAR keeps the Debian for the next time.
set -euo pipefail
cd "$(dirname "$0")/../.."
if ((EUID != 0)); then exec sudo -n --preserve-env=GO,TAGS,BUILT,COMMIT,ROOT_TAR "$0" "$@"; fi
. packaging/test/common.sh

machine=${1:-amd64}
declare -A deb_arch=([amd64]=amd64 [arm64]=arm64 [armv7]=armhf)
declare -A rpm_arch=([amd64]=x86_64 [arm64]=aarch64 [armv7]=armv7hl)
declare -A emulator=([arm64]=qemu-aarch64 [armv7]=qemu-arm)
work=$(mktemp -d)
root=$work/root
formats=/proc/sys/fs/binfmt_misc
registered='' mounted=''
trap 'away' EXIT
away() {
	umount -q "$root/proc" || true
	if [[ -n $registered ]]; then echo -1 >"$registered"; fi
	if [[ -n $mounted ]]; then umount "$formats"; fi
	rm -rf --one-file-system "$work"
}

# emulate lets the kernel run another machine's programs, as long as this runs. The
# F has it open the emulator now, outside of the Debian.
emulate() {
	local name=$1 magic
	local mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
	case $name in
	qemu-aarch64) magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00' ;;
	qemu-arm) magic='\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x28\x00' ;;
	esac
	command -v "$name-static" >/dev/null || fail "no $name-static: install qemu-user-static"
	if [[ ! -e $formats/register ]]; then
		mount -t binfmt_misc binfmt_misc "$formats"
		mounted=yes
	fi
	if [[ -e $formats/$name ]]; then return; fi
	printf ':%s:M::%s:%s:%s:F' "$name" "$magic" "$mask" "$(command -v "$name-static")" >"$formats/register"
	registered=$formats/$name
}

# systemd_stand_in notes what systemctl is asked. Units in /run/running are active;
# those in /run/broken do not start.
systemd_stand_in() {
	mkdir -p "$root/run/systemd/system" "$root/run/running" "$root/run/broken"
	mv "$root/usr/bin/systemctl" "$root/usr/bin/systemctl.real"
	cat >"$root/usr/bin/systemctl" <<'SCRIPT'
#!/bin/sh
echo "$*" >>/run/asked
action= unit=
for word in "$@"; do
	case $word in
	-*) ;;
	*.service | *.socket) unit=$word ;;
	*) action=${action:-$word} ;;
	esac
done
case $action in
is-active) if [ -e "/run/running/$unit" ]; then echo active; else echo inactive; exit 3; fi ;;
is-enabled) if [ -e "/run/running/$unit" ]; then echo enabled; else echo disabled; exit 1; fi ;;
restart) [ ! -e "/run/broken/$unit" ] ;;
disable) SYSTEMD_OFFLINE=1 exec /usr/bin/systemctl.real "$@" ;;
esac
SCRIPT
	printf '#!/bin/sh\necho "udevadm $*" >>/run/asked\n' >"$root/usr/bin/udevadm" # this Debian has none
	chmod 755 "$root/usr/bin/systemctl" "$root/usr/bin/udevadm"
	: >"$root/run/asked"
}
systemd_away() {
	mv "$root/usr/bin/systemctl.real" "$root/usr/bin/systemctl"
	rm "$root/usr/bin/udevadm"
	rm -rf "$root"/run/{systemd/system,asked,running,broken}
}

build() {
	[[ -x dist/edgehold-linux-$machine ]] || fail "no dist/edgehold-linux-$machine: make cross first"
	local version
	for version in 0.1.0 0.2.0; do
		VERSION=$version OUT=$root/packages/$version packaging/packages.sh "$machine" >/dev/null
	done
}

# fresh asserts what both families leave after a first install.
fresh() {
	is /usr/bin/edgehold "755 root root"
	is /etc/edgehold "755 root root"
	is /etc/edgehold/edgehold.yaml "640 root edgehold"
	is /etc/edgehold/secrets "750 root edgehold"
	is /etc/edgehold/config.d "750 root edgehold"
	is /etc/edgehold/extensions "750 root edgehold"
	is /etc/edgehold/certificates "755 root root"
	is /var/lib/edgehold "750 edgehold edgehold"
	local path
	for path in /usr/lib/systemd/system/edgehold{,-relay}.service /usr/lib/systemd/system/edgehold-snmptrap.socket \
		/usr/lib/sysusers.d/edgehold.conf /usr/lib/tmpfiles.d/edgehold.conf /usr/lib/udev/rules.d/60-edgehold.rules \
		/usr/share/edgehold/dropins/README \
		/usr/share/edgehold/edgehold.schema.json /usr/share/man/man1/edgehold.1.gz /usr/share/man/man5/edgehold.yaml.5.gz \
		/usr/share/man/man7/edgehold.7.gz /usr/share/bash-completion/completions/edgehold \
		/usr/share/doc/edgehold/manual/README.md /usr/share/doc/edgehold/examples/edgehold.yaml \
		/usr/share/doc/edgehold/dynatrace/extension.yaml /usr/share/doc/edgehold/copyright /usr/share/doc/edgehold/changelog.gz; do
		here "$path"
	done
	in_root getent group edgehold-status i2c gpio >/dev/null || fail "a group is missing"
	in_root getent passwd edgehold | grep -q ':/var/lib/edgehold:/usr/sbin/nologin$' || fail "the account is another"
	[[ -z $(find "$root/etc/systemd/system" -name 'edgehold*') ]] || fail "something is enabled"
	[[ $(in_root edgehold version) == "edgehold "* ]] || fail "the program does not run"
	local status=0
	in_root setpriv --reuid edgehold --regid edgehold --clear-groups \
		edgehold run --config /etc/edgehold/edgehold.yaml >"$work/run" 2>&1 || status=$?
	[[ $status == 78 ]] || fail "run without a configuration ended with $status: $(cat "$work/run")"
	[[ $(wc -l <"$work/run") == 1 ]] || fail "run without a configuration says more than a line: $(cat "$work/run")"
}

# live puts in place what a person and the service would have made.
live() {
	echo 'site: edited' >>"$root/etc/edgehold/edgehold.yaml"
	echo secret >"$root/etc/edgehold/secrets/token"
	in_root chgrp edgehold /etc/edgehold/secrets/token
	chmod 640 "$root/etc/edgehold/secrets/token"
	in_root setpriv --reuid edgehold --regid edgehold --clear-groups sh -c 'echo points >/var/lib/edgehold/store'
	mkdir -p "$root/etc/systemd/system/edgehold.service.d"
	echo '[Service]' >"$root/etc/systemd/system/edgehold.service.d/own.conf"
	in_root systemctl --quiet enable edgehold.service
	here /etc/systemd/system/multi-user.target.wants/edgehold.service
}

# lived asserts that it is still there.
lived() {
	says 'site: edited' "$root/etc/edgehold/edgehold.yaml"
	is /etc/edgehold/edgehold.yaml "640 root edgehold"
	is /etc/edgehold/secrets/token "640 root edgehold"
	is /var/lib/edgehold/store "644 edgehold edgehold"
	here /etc/systemd/system/edgehold.service.d/own.conf
}

# restarted asserts that the service that runs was restarted, and no other.
restarted() {
	says daemon-reload "$root/run/asked"
	says 'udevadm control --reload' "$root/run/asked"
	says 'restart edgehold.service' "$root/run/asked"
	silent 'restart edgehold-relay.service' "$root/run/asked"
	here /etc/systemd/system/multi-user.target.wants/edgehold.service
}

deb() { in_root dpkg --force-confold -i "/packages/$1/edgehold_$1-1_${deb_arch[$machine]}.deb" >"$work/log" 2>&1 || fail "dpkg -i $1: $(cat "$work/log")"; }

test_deb() {
	step "deb: first install"
	deb 0.1.0
	says 'edgehold: installed and not started. Next: edgehold init' "$work/log"
	fresh
	[[ $(in_root dpkg --verify edgehold) == "" ]] || fail "dpkg --verify: $(in_root dpkg --verify edgehold)"
	live

	step "deb: upgrade with a service that runs"
	systemd_stand_in
	touch "$root/run/running/edgehold.service"
	deb 0.2.0
	silent 'not started' "$work/log"
	restarted
	lived

	step "deb: rollback, and a service that does not start any more"
	: >"$root/run/asked"
	touch "$root/run/broken/edgehold.service"
	deb 0.1.0
	restarted
	says 'edgehold.service did not start' "$work/log"
	lived
	# shellcheck disable=SC2016 # dpkg-query fills them in
	[[ $(in_root dpkg-query -W -f '${db:Status-Status} ${Version}' edgehold) == "installed 0.1.0-1" ]] || fail "not installed in whole"

	step "deb: remove keeps data"
	: >"$root/run/asked"
	in_root dpkg -r edgehold >"$work/log" 2>&1
	says 'stop edgehold.service' "$root/run/asked"
	gone /usr/bin/edgehold
	gone /etc/systemd/system/multi-user.target.wants/edgehold.service
	lived

	step "deb: it comes back"
	systemd_away
	deb 0.2.0
	lived

	step "deb: purge erases all, also behind a link"
	mkdir -p "$root/data"
	mv "$root/var/lib/edgehold" "$root/data/edgehold"
	ln -s /data/edgehold "$root/var/lib/edgehold"
	mkdir -p "$root/var/lib/edgehold-relay/deep"
	echo 'site: late' >"$root/etc/edgehold/config.d/own.yaml"
	in_root dpkg -P edgehold >"$work/log" 2>&1 || fail "purge: $(cat "$work/log")"
	local path
	for path in /etc/edgehold /var/lib/edgehold /var/lib/edgehold-relay /data/edgehold/store \
		/etc/systemd/system/edgehold.service.d /usr/share/edgehold /usr/share/doc/edgehold; do
		gone "$path"
	done
	in_root getent passwd edgehold >/dev/null || fail "the account is gone"

	step "deb: without systemd-sysusers"
	in_root userdel edgehold
	for group in edgehold-status i2c gpio; do in_root groupdel "$group"; done
	mv "$root/usr/bin/systemd-sysusers" "$root/usr/bin/systemd-sysusers.away"
	deb 0.1.0
	fresh
	in_root dpkg -P edgehold >"$work/log" 2>&1
	mv "$root/usr/bin/systemd-sysusers.away" "$root/usr/bin/systemd-sysusers"
	in_root userdel edgehold
}

rpm_() { in_root rpm "${rpm_options[@]}" "${@:2}" "/packages/$1/edgehold-$1-1.${rpm_arch[$machine]}.rpm" >"$work/log" 2>&1 || fail "rpm ${*:2} $1: $(cat "$work/log")"; }

test_rpm() {
	step "rpm: first install"
	rm -rf "$root"/etc/systemd/system/edgehold*
	rpm_ 0.1.0 -ivh
	says 'edgehold: installed and not started. Next: edgehold init' "$work/log"
	fresh
	[[ -z $(in_root rpm -V --nodeps edgehold) ]] || fail "rpm -V: $(in_root rpm -V --nodeps edgehold)"
	live

	step "rpm: upgrade with a service that runs"
	systemd_stand_in
	touch "$root/run/running/edgehold.service"
	rpm_ 0.2.0 -Uvh
	silent 'not started' "$work/log"
	restarted
	silent 'stop edgehold.service' "$root/run/asked"
	lived

	step "rpm: rollback"
	: >"$root/run/asked"
	rpm_ 0.1.0 -Uvh --oldpackage
	restarted
	lived

	step "rpm: removal keeps data"
	in_root rpm -e edgehold >"$work/log" 2>&1 || fail "rpm -e: $(cat "$work/log")"
	says 'stop edgehold.service' "$root/run/asked"
	gone /usr/bin/edgehold
	gone /etc/systemd/system/multi-user.target.wants/edgehold.service
	here /etc/edgehold/edgehold.yaml.rpmsave
	here /etc/edgehold/secrets/token
	here /var/lib/edgehold/store
	systemd_away
}

# test_repositories installs from the repositories, signed by a key of its own, and
# sees a changed one refused.
test_repositories() {
	step "repositories: laid out and signed"
	local home=$work/gnupg repo=$work/repository
	mkdir -m 700 "$home"
	gpg --homedir "$home" --batch --quiet --passphrase '' --quick-generate-key 'Test <test@example.invalid>' rsa2048 sign never 2>/dev/null
	gpg --homedir "$home" --batch --armor --export-secret-keys >"$work/repo.key"
	gpgconf --homedir "$home" --kill all
	mkdir -p "$repo"
	EDGEHOLD_REPO_KEY=$work/repo.key PACKAGES=$root/packages/0.2.0 OUT=$repo packaging/repo.sh >/dev/null
	cp -r "$repo" "$root/repository"

	step "apt installs from a signed repository"
	local line='deb [signed-by=/repository/apt/edgehold-archive-keyring.gpg] file:/repository/apt stable main'
	echo "$line" >"$root/etc/apt/sources.list"
	in_root apt-get -q update >"$work/log" 2>&1 || fail "apt-get update: $(cat "$work/log")"
	silent 'W:' "$work/log"
	in_root apt-get -q -y install --no-install-recommends edgehold >"$work/log" 2>&1 || fail "apt-get install: $(cat "$work/log")"
	[[ $(in_root edgehold version) == *edgehold* ]] || fail "the program does not run"
	in_root dpkg -P edgehold >/dev/null 2>&1
	sed -i 's/^Description: /Description: forged /' "$root/repository/apt/dists/stable/main/binary-amd64/Packages"
	gzip -9nfk "$root/repository/apt/dists/stable/main/binary-amd64/Packages"
	rm -rf "$root"/var/lib/apt/lists/*
	! in_root apt-get -q update >"$work/log" 2>&1 || fail "apt took a forged list: $(cat "$work/log")"

	step "rpm and gpg take the signatures of the yum repository"
	in_root rpm --import /repository/yum/edgehold.asc
	in_root rpm -K /repository/yum/edgehold-0.2.0-1.x86_64.rpm >"$work/log" || fail "$(cat "$work/log")"
	says 'digests signatures OK' "$work/log"
	gpg --homedir "$home" --batch --quiet --verify "$repo/yum/repodata/repomd.xml.asc" "$repo/yum/repodata/repomd.xml" 2>/dev/null || fail "repomd.xml"
}

if [[ -n ${emulator[$machine]:-} ]]; then emulate "${emulator[$machine]}"; fi
# Debian's rpm knows its machine by another name than Red Hat's.
rpm_options=(--nodeps)
if [[ $machine == armv7 ]]; then rpm_options+=(--ignorearch); fi
debian "${deb_arch[$machine]}"
mount -t proc proc "$root/proc"
build
test_deb
test_rpm
# What the repositories are like does not depend on the machine.
if [[ $machine == amd64 ]]; then test_repositories; fi
echo "packages: all steps passed on $machine in $SECONDS s"
