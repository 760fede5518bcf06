# shellcheck shell=bash
# To be sourced behind common.sh, in a network, a mount and a process namespace of
# their own: a gateway with a systemd that runs, a network of devices with an
# snmpd on it, and a stand-in for the environment behind a link that can be cut.
#
#   environment 198.51.100.1 -- uplink -- gateway -- plant -- 192.0.2.10 device
# shellcheck disable=SC2154 # work and root are set by who sources this

environment=abc12345.live.dynatrace.com # as the manual calls it
gateway=                                # its systemd, once it runs

# gw COMMAND... runs a command on the gateway.
gw() {
	nsenter -t "$gateway" -m -p -n -u -i -C -r -w \
		env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

# await SECONDS WHAT COMMAND... waits until a command succeeds.
await() {
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >"$work/await" 2>&1; do
		((SECONDS < end)) || fail "waited in vain for $what: $(tail -20 "$work/await")"
		sleep 0.2
	done
}

# cable NAME HERE THERE lays a cable to the gateway and gives both ends an address.
cable() {
	ip link add "$1" type veth peer name "$1" netns "$gateway"
	ip address add "$2/24" dev "$1"
	ip link set "$1" up
	nsenter -t "$gateway" -n ip address add "$3/24" dev "$1"
	nsenter -t "$gateway" -n ip link set "$1" up
}

cut_link() { ip link set uplink down; }
mend_link() { ip link set uplink up; }

boot() {
	unshare -m -p -n -u -i -C --fork --kill-child=KILL packaging/test/systemd/boot.sh "$root" >"$work/boot" 2>&1 &
	local shell=$!
	await 10 "the first process of the gateway" pgrep -P "$shell"
	gateway=$(pgrep -P "$shell")
	# /run is a file system of the Debian's own once its systemd is in charge.
	await 20 "systemd" running
	nsenter -t "$gateway" -n ip link set lo up
}
running() { [[ $(gw systemctl is-system-running) == running ]]; }

# surroundings starts what lies around the gateway. $work/token and
# $work/community are what the environment and the device want.
surroundings() {
	ip link set lo up
	cable uplink 198.51.100.1 198.51.100.2
	cable plant 192.0.2.10 192.0.2.1
	"$work/standin" 198.51.100.1:443 "$environment" "$work/token" "$work/ca.pem" >"$work/standin.log" 2>&1 &
	await 10 "the environment" test -s "$work/ca.pem"
	printf '198.51.100.1 %s\n' "$environment" >>"$root/etc/hosts"
	cp "$work/ca.pem" "$root/usr/local/share/ca-certificates/environment.crt"
	gw update-ca-certificates >"$work/log" 2>&1 || fail "update-ca-certificates: $(cat "$work/log")"

	mkdir -p "$work/snmp"
	printf 'agentAddress udp:192.0.2.10:161\nrocommunity %s\nsysName first-device\n' "$(cat "$work/community")" >"$work/snmp/snmpd.conf"
	SNMPCONFPATH=$work/snmp SNMP_PERSISTENT_DIR=$work/snmp snmpd -f -C -c "$work/snmp/snmpd.conf" -Lf "$work/snmpd.log" &
	await 10 "the device" env SNMPCONFPATH="$work/snmp" snmpget -v2c -c "$(cat "$work/community")" 192.0.2.10 1.3.6.1.2.1.1.5.0
}

# ledger KEY is a sum of what the environment took.
ledger() { ask GET /_ledger </dev/null | grep -oE "\"$1\": ?[0-9]+" | grep -oE '[0-9]+$'; }

# ask METHOD PATH asks the environment's books; the body is read from standard input.
ask() {
	local body reply
	body=$(mktemp -p "$work")
	cat >"$body"
	exec 3<>/dev/tcp/127.0.0.1/8080
	{
		printf '%s %s HTTP/1.0\r\nHost: books\r\nContent-Length: %s\r\n\r\n' "$1" "$2" "$(stat -c %s "$body")"
		cat "$body"
	} >&3
	reply=$(tr -d '\r' <&3)
	exec 3>&-
	rm -f "$body"
	[[ $reply == "HTTP/1."?" 200 OK"* ]] || fail "the books: $reply"
	awk 'found {print} $0 == "" {found = 1}' <<<"$reply"
}
