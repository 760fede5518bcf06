#!/usr/bin/env bash
# Measures the store against naive layouts and prints the tables of
# BENCHMARKS.md. As root it makes an ext4 file system on a loop device, so that
# bytes and flushes are counted at the block device; else those columns say why
# they are empty. Arguments go on: `buffer.sh space` measures what growing a
# file and giving space back cost.
#
#   BENCH_DAYS    days of the long outage (30)
#   BENCH_ROUNDS  rounds of each recording (240)
#   BENCH_DIR     folder for the disk image, 4 GB (/dev/shm, else TMPDIR)
set -euo pipefail
cd "$(dirname "$0")/../.."

go=${GO:-go}
command=${1:-table}
[[ $# -eq 0 ]] || shift
scratch=$(mktemp -d)
image='' loop='' mounted=''

finish() {
	[[ -z $mounted ]] || umount "$mounted" || umount --lazy "$mounted"
	[[ -z $loop ]] || losetup --detach "$loop"
	[[ -z $image ]] || rm -f "$image"
	rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

(cd buffer/storebench && CGO_ENABLED=0 "$go" build -tags "${TAGS:-gosnmp_nodebug}" -o "$scratch/storebench" .)

# room tells whether a folder has 4 GB to spare.
room() { (($(df --output=avail -k "$1" 2>/dev/null | tail -n 1) > 4 << 20)); }

place=${BENCH_DIR:-}
if [[ -z $place ]]; then
	place=${TMPDIR:-/tmp}
	if [[ -d /dev/shm && -w /dev/shm ]] && room /dev/shm; then place=/dev/shm; fi
fi

# device makes the file system, or sets why there is none.
why=''
device() {
	if [[ $(id -u) -ne 0 ]]; then
		why="needs root for a loop device"
		return 1
	fi
	if ! room "$place"; then
		why="needs 4 GB in $place"
		return 1
	fi
	image=$(mktemp "$place/storebench.XXXXXX")
	truncate -s 4G "$image"
	# Nothing is left to the background, where it would be counted.
	if ! mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 "$image" ||
		! loop=$(losetup --find --show "$image" 2>"$scratch/losetup"); then
		why="no loop device: $(tail -n 1 "$scratch/losetup" 2>/dev/null)"
		return 1
	fi
	mkdir "$scratch/disk"
	if ! mount -o noatime "$loop" "$scratch/disk"; then
		why="the loop device cannot be mounted"
		return 1
	fi
	mounted=$scratch/disk
}

flags=()
if device; then
	flags+=(-dir "$mounted" -device "$(basename "$loop")")
else
	mkdir -p "$scratch/plain"
	flags+=(-dir "$scratch/plain" -why "$why")
fi
if [[ $command == table ]]; then
	flags+=(-scratch "$scratch" -days "${BENCH_DAYS:-30}" -rounds "${BENCH_ROUNDS:-240}")
fi
"$scratch/storebench" "$command" "${flags[@]}" "$@"
