#!/usr/bin/env bash
# The life of a gateway under a systemd that really runs, step by step: install,
# init, poll an snmpd, cut, upgrade with a backlog, rollback, a store of a newer
# format, reload, the watchdog, drop-ins, remove, purge. What the agent had accepted
# is compared, line by line, with what a stand-in for the environment took.
#
# The versions are builds of this tree, the one before of the commit that PREVIOUS
# names if that is set. Needs root, debootstrap, snmpd. Everything runs in namespaces
# of its own, and ends with them. ROOT_TAR keeps the Debian for the next time.
set -euo pipefail
cd "$(dirname "$0")/../.."
if ((EUID != 0)); then exec sudo -n --preserve-env=GO,TAGS,INLINE,BUILT,COMMIT,ROOT_TAR,PREVIOUS "$0" "$@"; fi
. packaging/test/common.sh
. packaging/test/systemd/world.sh

go=${GO:-go}

# program VERSION builds the program.
program() { VERSION=$1 packaging/cross.sh amd64 >/dev/null; }

# package VERSION packs it.
package() { VERSION=$1 OUT=$work/packages/$1 FORMATS=deb packaging/packages.sh amd64 >/dev/null; }

# like VERSION makes a package of the program which is else like the one of today.
like() {
	rm -rf "$work/unpacked"
	dpkg-deb --raw-extract "$work/packages/0.2.0/edgehold_0.2.0-1_amd64.deb" "$work/unpacked"
	cp dist/edgehold-linux-amd64 "$work/unpacked/usr/bin/edgehold"
	sed -i "s/^Version: .*/Version: $1-1/" "$work/unpacked/DEBIAN/control"
	mkdir -p "$work/packages/$1"
	dpkg-deb -Zgzip -z1 --build "$work/unpacked" "$work/packages/$1/edgehold_$1-1_amd64.deb" >/dev/null
}

# changed FILE NAME VALUE has the compiler see another value of a constant.
changed() {
	grep -q "^	$2 *= " "$1" || fail "$1 does not say what $2 is"
	sed "s/^	$2 *= .*/	$2 = $3/" "$1" >"$work/changed.go"
	printf '{"Replace": {"%s": "%s"}}' "$PWD/$1" "$work/changed.go" >"$work/overlay.json"
}

# build makes the version that is tested (0.2.0), one before it, and one to come
# whose store has another format.
build() {
	step "packages: one of today, one from before${PREVIOUS:+ ($PREVIOUS)}, one to come"
	local GOFLAGS=
	export GOFLAGS
	program 0.2.0
	package 0.2.0
	if [[ -n ${PREVIOUS:-} ]]; then
		git clone -q --no-hardlinks . "$work/previous"
		git -C "$work/previous" checkout -q "$PREVIOUS"
		mkdir "$work/previous/.tools"
		ln -s "$PWD/.tools/bin" "$work/previous/.tools/bin"
		# The packages of that commit may lack FORMATS, and put .rpm files beside.
		(cd "$work/previous" && program 0.1.0 && package 0.1.0)
	else
		program 0.1.0
		like 0.1.0
	fi
	GOFLAGS=-overlay=$work/overlay.json
	changed buffer/file.go format 99
	program 0.9.0
	like 0.9.0
	# One whose store says after seconds, not after ten minutes, that a commit hangs.
	changed buffer/commit.go longestTry '5 * time.Second'
	program 0.2.0-impatient
	cp dist/edgehold-linux-amd64 "$work/impatient"
	GOFLAGS=
	program 0.2.0
	(cd packaging/test/standin && "$go" build -o "$work/standin" .)
}

# install VERSION [OPTION...] as the manual has it.
install() {
	cp "$work/packages/$1"/*.deb "$root/root/"
	gw apt-get install -q -y "${@:2}" "/root/edgehold_$1-1_amd64.deb" >"$work/apt" 2>&1 || fail "apt-get install $1: $(cat "$work/apt")"
	[[ $(gw edgehold version) == *"$1"* ]] || fail "$(gw edgehold version) is not $1"
}

# once asserts that points did not come anew in whole. What was on the wire when the
# link was cut may come twice: its answer is lost.
once() { (($(ledger duplicates) * 10 < $(ledger distinct))) || fail "$(ledger duplicates) of $(ledger distinct) points arrived twice"; }

# account KEY is a sum of the running agent's account.
account() { gw edgehold status --json | sed -n '/"account": {/,/}/p' | sed -nE "s/^ *\"$1\": ([0-9]+),?$/\1/p"; }
active() { [[ $(gw systemctl is-active edgehold) == active ]]; }
pid() { gw systemctl show -P MainPID edgehold; }
sum() { gw sha256sum /var/lib/edgehold/edgehold.db; }

# more SECONDS KEY NUMBER waits until a sum of the account is above a number.
more() { await "$1" "$2 above $3" eval "((\$(account $2) > $3))"; }

# backlog lets the link be cut and waits until points have gathered.
backlog() {
	cut_link
	local before
	before=$(account buffered)
	more 60 buffered $((before + 100))
}

# remember notes every point that the agent has accepted so far.
remember() {
	accepted=$(account accepted)
	gw edgehold buffer export --delivered >>"$work/accepted" || fail "edgehold buffer export"
}

# continued asserts that the account goes on where it was.
continued() {
	await 20 "the service" active
	local now
	now=$(account accepted)
	((now >= accepted)) || fail "the account went back from $accepted to $now"
	[[ $(account damaged) == 0 && $(account evicted) == 0 ]] || fail "points are damaged or evicted"
}

# drained mends the link and waits until every point that was ever noted is at the
# environment.
drained() {
	mend_link
	local lines
	lines=$(sort -u "$work/accepted" | wc -l)
	((lines > 100)) || fail "only $lines points were noted"
	await 150 "all $lines points at the environment" none_missing
	echo "   $lines accepted points noted, all arrived; the environment took $(ledger distinct), $(ledger duplicates) of them twice"
	once
}
none_missing() {
	sort -u "$work/accepted" | ask POST /_missing >"$work/missing"
	head -3 "$work/missing"
	[[ ! -s $work/missing ]]
}

# journal TEXT waits for a text in what the service said since the last mark.
mark() { gw journalctl --sync && since=$(gw journalctl -u edgehold -n 1 --show-cursor -q | sed -n 's/^-- cursor: //p'); }
journal() { await "${2:-20}" "\"$1\" in the journal" eval "gw journalctl -q -u edgehold --after-cursor '$since' -o cat | grep -F -- '$1'"; }

test_install() {
	step "install: nothing starts"
	install 0.1.0
	says 'edgehold: installed and not started. Next: edgehold init' "$work/apt"
	[[ $(gw systemctl is-enabled edgehold) == disabled ]] || fail "it is enabled"
	! active || fail "it runs"

	step "started without a configuration it says what to write, and stays down"
	! gw systemctl start edgehold >"$work/log" 2>&1 || fail "it starts without a configuration"
	[[ $(gw systemctl show -P ExecMainStatus edgehold) == 78 ]] || fail "exit status $(gw systemctl show -P ExecMainStatus edgehold)"
	gw journalctl -q -u edgehold -o cat >"$work/log"
	says 'edgehold init' "$work/log"
	[[ $(gw systemctl show -P NRestarts edgehold) == 0 ]] || fail "it was tried again"

	step "edgehold init, by script as the manual has it"
	cp "$work/token" "$work/community" "$root/root/"
	chmod 600 "$root/root/token" "$root/root/community"
	gw edgehold init --yes --site plant-7 --url "$environment" --token-file /root/token --subnet 192.0.2.10 \
		--community-file /root/community >"$work/log" 2>&1 || fail "edgehold init: $(cat "$work/log")"
	says 'The first point was accepted after' "$work/log"
	active || fail "it does not run"
	[[ $(gw systemctl is-enabled edgehold) == enabled ]] || fail "it does not start at boot"
	for file in edgehold.yaml secrets/token secrets/snmp-v2c.community; do is "/etc/edgehold/$file" "640 root edgehold"; done
	(($(ledger distinct) > 0)) || fail "no point arrived"
	[[ $(gw stat -c %U "/proc/$(pid)") == edgehold ]] || fail "it runs as $(gw stat -c %U "/proc/$(pid)")"

	step "reload: what only a start can change is named"
	# Each point as a line of its own, so that they can be compared.
	printf 'uplink: {dynatrace: {resolution: full}}\nbuffer: {commit_interval: 1s}\n' >"$root/etc/edgehold/config.d/test.yaml"
	mark
	! gw systemctl reload edgehold >/dev/null 2>&1 || fail "the reload says nothing"
	journal 'uplink.dynatrace.resolution: changed in the file; takes effect at the next start'
	gw systemctl restart edgehold

	step "reload: a good configuration is taken, a bad one is refused and the old one stays"
	local before
	before=$(pid)
	sed -i 's/^    profile: auto/&\n    interval: 1s/' "$root/etc/edgehold/edgehold.yaml"
	says 'interval: 1s' "$root/etc/edgehold/edgehold.yaml"
	gw systemctl reload edgehold || fail "reload: $(gw journalctl -u edgehold -n 5)"
	more 30 accepted 100
	sed -i 's/^site: .*/&\nprobez: []/' "$root/etc/edgehold/edgehold.yaml"
	! gw systemctl reload edgehold >/dev/null 2>&1 || fail "a bad configuration was taken"
	gw edgehold status --json >"$work/log"
	says probez "$work/log"
	sed -i '/^probez/d' "$root/etc/edgehold/edgehold.yaml"
	gw systemctl reload edgehold || fail "reload: $(gw journalctl -u edgehold -n 5)"
	[[ $(pid) == "$before" ]] || fail "a reload started another process"
	remember
	more 30 accepted $((accepted + 100))
}

test_upgrade() {
	step "the link is cut, a backlog grows"
	backlog
	remember
	step "upgrade with the backlog: the service restarts, nothing is lost"
	local before
	before=$(pid)
	install 0.2.0
	silent 'did not start' "$work/apt"
	continued
	[[ $(pid) != "$before" ]] || fail "the old program still runs"
	(($(account buffered) >= 100)) || fail "the backlog is gone: $(account buffered)"
	more 30 accepted "$accepted"
	remember
	step "the link comes back, the backlog drains"
	drained

	step "rollback with a backlog"
	backlog
	remember
	install 0.1.0 --allow-downgrades
	silent 'did not start' "$work/apt"
	continued
	more 30 accepted "$accepted"
	remember
	drained
	install 0.2.0
	continued
}

test_rights() {
	step "the group edgehold-status may ask, and changes nothing; others may not ask"
	gw useradd --create-home --groups edgehold-status technician
	gw useradd --create-home stranger
	as technician edgehold status >"$work/log" 2>&1 || fail "status: $(cat "$work/log")"
	says 'site plant-7' "$work/log"
	local before
	before=$(account accepted)
	refused technician edgehold reload
	refused technician edgehold buffer purge --before 2020-01-01 --yes
	refused technician edgehold dead-letter retry --all
	refused technician cat /etc/edgehold/secrets/token
	refused technician cat /var/lib/edgehold/edgehold.db
	refused stranger edgehold status
	(($(account accepted) >= before)) || fail "something was purged"
}
as() { gw setpriv --reuid "$1" --regid "$1" --init-groups env HOME=/tmp "${@:2}"; }
refused() {
	! as "$@" >"$work/log" 2>&1 || fail "$* was allowed: $(cat "$work/log")"
	grep -qiE 'permission denied|this needs root|this user may not' "$work/log" || fail "$*: $(cat "$work/log")"
}

test_newer() {
	step "a store of a newer format is refused in a line, and left alone"
	gw systemctl stop edgehold
	gw mv /var/lib/edgehold /var/lib/edgehold.kept
	install 0.9.0
	gw systemctl start edgehold
	more 30 accepted 0
	mark
	install 0.2.0 --allow-downgrades
	says 'edgehold.service did not start' "$work/apt"
	journal 'written by a newer edgehold (format 99'
	local before
	before=$(sum)
	mark
	journal 'written by a newer edgehold (format 99' # tried again
	[[ $(sum) == "$before" ]] || fail "the store was touched"
	step "with the newer package it goes on"
	install 0.9.0
	await 20 "the service" active
	more 30 accepted 0
	gw systemctl stop edgehold
	gw rm -rf /var/lib/edgehold
	gw mv /var/lib/edgehold.kept /var/lib/edgehold
	install 0.2.0 --allow-downgrades
	gw systemctl start edgehold
	continued
}

test_watchdog() {
	step "watchdog: the process is stopped, with a backlog"
	dropin quick '[Service]' WatchdogSec=6s RestartSec=1s
	backlog
	remember
	bite "$(pid)" "gw sh -c 'kill -STOP $(pid)'"
	remember

	step "watchdog: the disk of the store hangs"
	disk
	await 20 "the service" active
	more 30 accepted "$accepted"
	remember
	bite "$(pid)" 'gw fsfreeze --freeze /var/lib/edgehold' 'gw fsfreeze --unfreeze /var/lib/edgehold' 'buffer.(*Store).committer'
	journal 'parts of the agent hang'
	remember
	drained
}

# dropin NAME LINE... puts a drop-in in force.
dropin() {
	mkdir -p "$root/etc/systemd/system/edgehold.service.d"
	printf '%s\n' "${@:2}" >"$root/etc/systemd/system/edgehold.service.d/$1.conf"
	gw systemctl daemon-reload
	gw systemctl restart edgehold || fail "restart with $1: $(gw journalctl -u edgehold -n 10)"
}

# disk puts the state onto a disk of its own, and a program in place that does not
# wait ten minutes for it.
disk() {
	gw systemctl stop edgehold
	truncate -s 64M "$work/disk"
	mkfs.ext4 -q "$work/disk"
	local loop
	loop=$(losetup --find --show "$work/disk")
	gw mknod "$loop" b 7 "${loop#/dev/loop}"
	gw mv /var/lib/edgehold /var/lib/edgehold.before
	gw mkdir /var/lib/edgehold
	gw mount "$loop" /var/lib/edgehold
	losetup --detach "$loop" # when it is unmounted
	gw rmdir /var/lib/edgehold/lost+found
	gw chown edgehold: /var/lib/edgehold
	gw sh -c 'cp -a /var/lib/edgehold.before/. /var/lib/edgehold/ && rm -rf /var/lib/edgehold.before'
	gw systemctl stop edgehold
	cp "$work/impatient" "$root/usr/bin/edgehold.new"
	chmod 755 "$root/usr/bin/edgehold.new"
	mv "$root/usr/bin/edgehold.new" "$root/usr/bin/edgehold"
	gw systemctl start edgehold
}

# bite PID HANG [RELEASE [FUNCTION]] makes the process hang and waits for the watchdog,
# the states of the goroutines in the journal, the one of FUNCTION among them, and a
# process that goes on.
bite() {
	local old=$1 restarts
	restarts=$(gw systemctl show -P NRestarts edgehold)
	mark
	eval "$2"
	journal 'Watchdog timeout' 90
	journal 'SIGABRT: abort'
	journal "${4:-goroutine 1 }"
	eval "${3:-}"
	await 60 "another process" eval "[[ \$(pid) != $old && \$(pid) != 0 ]]"
	continued
	(($(gw systemctl show -P NRestarts edgehold) > restarts)) || fail "it was not restarted"
	local before
	before=$(account accepted)
	more 30 accepted "$before"
}

test_profiles() {
	step "exposure of the running service, alone and with each drop-in: at most 2.0"
	mkdir -p "$root/etc/systemd/system/edgehold.service.d"
	exposure alone
	local path
	for path in "$root"/usr/share/edgehold/dropins/*.conf; do
		cp "$path" "$root/etc/systemd/system/edgehold.service.d/"
		exposure "$(basename "$path")"
		rm "$root/etc/systemd/system/edgehold.service.d/$(basename "$path")"
	done
	gw systemctl daemon-reload
	gw systemctl restart edgehold
	continued
}

# exposure NAME restarts the service as it is set up now.
exposure() {
	gw systemctl daemon-reload
	gw systemctl restart edgehold || fail "it does not run with $1: $(gw journalctl -u edgehold -n 10)"
	local level
	level=$(gw systemd-analyze security --no-pager edgehold.service | sed -nE 's/.*Overall exposure level for edgehold.service: ([0-9.]+).*/\1/p')
	printf '   %-20s %s\n' "$1" "$level"
	[[ $level =~ ^[0-9]\.[0-9]$ ]] || fail "systemd-analyze security tells no level"
	((${level/./} <= 20)) || fail "$1: exposure $level"
	account accepted >/dev/null || fail "it does not answer with $1"
}

test_relay() {
	step "relay: skipped without a configuration, runs with one"
	gw systemctl start edgehold-relay
	[[ $(gw systemctl is-active edgehold-relay) == inactive ]] || fail "it runs without a configuration"
	relay_yaml >"$root/etc/edgehold/relay.yaml"
	chmod 640 "$root/etc/edgehold/relay.yaml"
	gw chgrp edgehold /etc/edgehold/relay.yaml
	gw systemctl start edgehold-relay || fail "the relay: $(gw journalctl -u edgehold-relay -n 10)"
	gw edgehold status --config /etc/edgehold/relay.yaml >"$work/log" 2>&1 || fail "status of the relay: $(cat "$work/log")"
	gw systemctl stop edgehold-relay
}
relay_yaml() {
	cat <<YAML
site: hub
state_dir: /var/lib/edgehold-relay
socket: /run/edgehold-relay/control.sock
relay:
  id: hub-1
  mqtt: {brokers: ["mqtts://127.0.0.1:8883"], user: hub-1, password_file: secrets/token}
uplink:
  dynatrace:
    url: https://$environment
    token_file: secrets/token
YAML
}

test_removal() {
	step "remove: the program goes, the data stays"
	remember
	gw apt-get remove -q -y edgehold >"$work/apt" 2>&1 || fail "apt-get remove: $(cat "$work/apt")"
	gone /usr/bin/edgehold
	! active || fail "it still runs"
	gone /etc/systemd/system/multi-user.target.wants/edgehold.service
	here /etc/edgehold/edgehold.yaml
	here /etc/edgehold/secrets/token
	gw test -s /var/lib/edgehold/edgehold.db || fail "the store is gone"

	step "installed again it goes on"
	install 0.2.0
	gw systemctl --quiet enable --now edgehold || fail "it does not start"
	continued

	step "purge: all goes, also from a disk of its own"
	gw apt-get purge -q -y edgehold >"$work/apt" 2>&1 || fail "apt-get purge: $(cat "$work/apt")"
	gone /etc/edgehold
	gone /usr/bin/edgehold
	gone /etc/systemd/system/edgehold.service.d
	gone /var/lib/edgehold-relay
	[[ -z $(gw find /var/lib/edgehold -mindepth 1) ]] || fail "this stays: $(gw find /var/lib/edgehold)"
	gw umount /var/lib/edgehold
	[[ -z $(gw find / -xdev -name '*edgehold*' ! -path '/root/*' ! -path '/proc/*' ! -path '/var/lib/edgehold' ! -path '/var/log/*') ]] ||
		fail "this stays: $(gw find / -xdev -name '*edgehold*' ! -path '/root/*')"
	gw getent passwd edgehold >/dev/null || fail "the account is gone"
	[[ $(gw systemctl is-system-running) == running ]] || fail "systemd is $(gw systemctl is-system-running)"
}

inside() {
	trap 'gw fsfreeze --unfreeze /var/lib/edgehold 2>/dev/null || true' EXIT
	boot
	surroundings
	test_install
	test_upgrade
	test_rights
	test_newer
	test_profiles
	test_relay
	test_watchdog
	test_removal
}

if [[ ${1:-} == inside ]]; then
	work=$2 root=$2/root
	inside
	exit
fi
work=$(mktemp -d)
root=$work/root
trap 'rm -rf --one-file-system "$work"' EXIT
printf 'dt0c01.GOOD.SECRET' >"$work/token"
printf 'plant-secret' >"$work/community"
build
step "a Debian"
debian amd64
unshare -m -n -p --fork --kill-child=KILL --mount-proc "$0" inside "$work"
echo "systemd: all steps passed in $SECONDS s"
