#!/usr/bin/env bash
# A new user follows the manual's first page, packaging/manual/install.md, on a fresh
# Debian with a systemd that runs: the commands and the answers are taken from the
# page as they stand there. Prints the time from the package to the first accepted
# point. Needs root, debootstrap, snmpd. Everything runs in namespaces of its own, and
# ends with them. ROOT_TAR keeps the Debian for the next time.
set -euo pipefail
cd "$(dirname "$0")/../.."
if ((EUID != 0)); then exec sudo -n --preserve-env=GO,TAGS,VERSION,BUILT,COMMIT,ROOT_TAR "$0" "$@"; fi
. packaging/test/common.sh
. packaging/test/systemd/world.sh

page=packaging/manual/install.md
go=${GO:-go}

# block LANGUAGE NUMBER is a fenced block of the page, counted from 1.
block() {
	awk -v open="\`\`\`$1" -v wanted="$2" '
		$0 == "```" && inside {inside = 0; next}
		!inside && $0 ~ /^```/ {inside = ($0 == open && ++n == wanted) ? 2 : 1; next}
		inside == 2 {print}
	' "$page"
}

# told PATTERN is a command that stands in a line of the page, in back quotes.
told() { grep -m1 -oE "\`$1[^\`]*\`" "$page" | tr -d '`'; }

# questions are those of the conversation on the page, with the answer behind a tab.
questions() {
	block text 1 | sed -nE 's/^([A-Z][^…[]*[^…[ ]) ?(…|\[[^]]*\])?: (.*)$/\1\t\3/p'
}

# newcomer COMMAND runs a line of shell as the new user, newly logged in.
newcomer() { gw runuser -l newcomer -c "$1"; }

# terminal COMMAND runs a command of the new user at a terminal whose keys are pressed
# by `press`. What it shows is in $work/screen.
terminal() {
	rm -f "$work/keys" "$work/screen"
	mkfifo "$work/keys"
	newcomer "TERM=dumb script -qfec '$1' /dev/null" <"$work/keys" >"$work/screen" 2>&1 &
	shell=$!
	exec 4>"$work/keys"
	read_to=0
}
ends() {
	exec 4>&-
	wait "$shell" || fail "it ended with $?: $(cat "$work/screen")"
}

# shown TEXT [SECONDS] waits until the terminal shows a text that it has not shown
# before the last key.
shown() { await "${2:-60}" "\"$1\" on the screen" since_key "$1"; }
since_key() {
	tail -c "+$((read_to + 1))" "$work/screen" >"$work/news"
	grep -qF -- "$1" "$work/news" || ! cat "$work/news"
}
press() {
	read_to=$(stat -c %s "$work/screen")
	printf '%s\n' "$1" >&4
}
answer() {
	shown "$1"
	press "$2"
}

follow() {
	local began=$SECONDS question reply count=0
	step "$(told 'sudo apt install')"
	newcomer "$(told 'sudo apt install')" >"$work/log" 2>&1 || fail "apt: $(cat "$work/log")"
	says 'Next: edgehold init' "$work/log"
	local usermod
	usermod=$(told 'sudo usermod')
	step "$usermod"
	newcomer "$usermod" >"$work/log" 2>&1 || fail "$(cat "$work/log")"

	step "$(block sh 1)"
	terminal "$(block sh 1)"
	while IFS=$'\t' read -r question reply; do
		case $question in
		Token*) reply=$(cat "$work/token") ;;
		Community*) reply=$(cat "$work/community") ;;
		esac
		answer "$question" "$reply"
		count=$((count + 1))
	done < <(questions)
	((count == 8)) || fail "$count questions on the page"
	answer 'Start the service now, and at each boot?' ''
	shown 'The first point was accepted after' 240
	ends
	(($(ledger distinct) > 0)) || fail "no point arrived"
	local took=$((SECONDS - began))
	sed -n 's/^.*\(The first point was accepted.*\)\r*$/   \1/p' "$work/screen"
	silent "$(cat "$work/token")" "$work/screen"
	silent "$(cat "$work/community")" "$work/screen"
	((took < 300)) || fail "that took $took s"
	elapsed=$took

	step "status without sudo, as the page promises"
	newcomer 'edgehold status --all' >"$work/log" 2>&1 || fail "status: $(cat "$work/log")"
	says 'site plant-7' "$work/log"
	says ' delivered + ' "$work/log"
}

foreground() {
	local run status
	run=$(block sh 2)
	status=$(block sh 3)
	gw systemctl stop edgehold
	step "$run"
	terminal "$run"
	await 30 "$status" newcomer "$status"
	step "$status"
	newcomer "$status" >"$work/log" 2>&1 || fail "$status: $(cat "$work/log")"
	says 'account ' "$work/log"
	says ' delivered + ' "$work/log"
	printf '\003' >&4
	exec 4>&-
	wait "$shell" || true # Ctrl-C
	step "the service can start after it"
	gw systemctl start edgehold || fail "$(gw journalctl -u edgehold -n 10)"
}

by_script() {
	local command
	command=$(block sh 4)
	step "$command"
	cp "$work/token" "$work/community" "$root/root/"
	chmod 600 "$root/root/token" "$root/root/community"
	newcomer "$command" >"$work/log" 2>&1 || fail "$(cat "$work/log")"
	says 'Nothing is written.' "$work/log"
	says 'site: "plant-7"' "$work/log"
}

inside() {
	boot
	surroundings
	gw useradd --create-home --home-dir /newcomer --shell /bin/bash --groups sudo newcomer
	echo '%sudo ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/newcomer"
	cp "$work"/packages/*.deb "$root/newcomer/"
	follow
	foreground
	by_script
	echo "newuser: from the package to the first accepted point: $elapsed s"
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
step "a package and a Debian"
[[ -x dist/edgehold-linux-amd64 ]] || fail "no dist/edgehold-linux-amd64: make cross first"
OUT=$work/packages FORMATS=deb packaging/packages.sh amd64 >/dev/null
(cd packaging/test/standin && "$go" build -o "$work/standin" .)
debian amd64
unshare -m -n -p --fork --kill-child=KILL --mount-proc "$0" inside "$work"
