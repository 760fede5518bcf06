#!/usr/bin/env bash
# Runs the agent named with a small configuration against nothing and prints
# what it holds in memory when idle. IDLE_SECONDS (default 20) is how long it
# idles before the reading. Fails above 25 MB resident or 15 MB anonymous.
set -euo pipefail

binary=$(realpath "${1:?usage: idle.sh BINARY}")
seconds=${IDLE_SECONDS:-20}
work=$(mktemp -d)
agent=

finish() {
	if [[ -n $agent ]]; then
		kill "$agent" 2>/dev/null || true
		wait "$agent" 2>/dev/null || true
	fi
	rm -rf "$work"
}
trap finish EXIT

(umask 077 && echo "dt0c01.BENCH.not-a-token" >"$work/token")
cat >"$work/edgehold.yaml" <<YAML
site: bench
state_dir: $work/state
socket: $work/control.sock
uplink:
  dynatrace:
    url: http://127.0.0.1:9
    token_file: $work/token
YAML
mkdir "$work/state"

"$binary" run --config "$work/edgehold.yaml" >"$work/log" 2>&1 &
agent=$!

# The control socket is there once the agent is up.
for ((i = 0; i < 100; i++)); do
	[[ ! -S $work/control.sock ]] || break
	if ! kill -0 "$agent" 2>/dev/null; then
		echo "the agent ended:" >&2
		cat "$work/log" >&2
		exit 1
	fi
	sleep 0.1
done
if [[ ! -S $work/control.sock ]]; then
	echo "the agent opened no control socket within 10 s" >&2
	cat "$work/log" >&2
	exit 1
fi
sleep "$seconds"

# The kernel counts in KiB; the bars are in MB of 1,000,000 bytes.
awk -v seconds="$seconds" '
	/^(VmHWM|VmRSS|RssAnon|RssFile):/ {bytes[$1] = $2 * 1024}
	function row(name, key, bar) {
		over = bar && bytes[key] > bar * 1e6
		failed = failed || over
		printf "%-28s %8.1f MB%s\n", name, bytes[key] / 1e6, bar ? sprintf("   bar %d MB%s", bar, over ? ": above" : "") : ""
	}
	END {
		printf "idle for %d s\n", seconds
		row("resident (VmRSS)", "VmRSS:", 25)
		row("anonymous (RssAnon)", "RssAnon:", 15)
		row("file pages (RssFile)", "RssFile:", 0)
		row("peak resident (VmHWM)", "VmHWM:", 0)
		exit failed
	}' "/proc/$agent/status"
