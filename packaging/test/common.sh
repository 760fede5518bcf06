# shellcheck shell=bash
# To be sourced by the tests of the packages, from the root of the repository:
# a Debian in $root, and how to ask it. $work is a folder of the test's own.
# shellcheck disable=SC2154 # both are set by who sources this

step() { printf -- '-- %3d s  %s\n' "$SECONDS" "$*"; }
fail() {
	echo "$(basename "$0" .sh): FAILED: $*" >&2
	exit 1
}

# in_root COMMAND... runs a command in the Debian.
in_root() { env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive chroot "$root" "$@"; }

# is PATH "MODE USER GROUP" holds what a file is against what it should be.
is() {
	local found
	found=$(in_root stat -c '%a %U %G' "$1") || fail "$1 is missing"
	[[ $found == "$2" ]] || fail "$1 is $found, not $2"
}
here() { [[ -e $root$1 || -L $root$1 ]] || fail "$1 is missing"; }
gone() { [[ ! -e $root$1 && ! -L $root$1 ]] || fail "$1 is still there"; }
# says TEXT FILE
says() { grep -qF -- "$1" "$2" || fail "no \"$1\" in: $(cat "$2")"; }
silent() { ! grep -qF -- "$1" "$2" || fail "\"$1\" in: $(cat "$2")"; }

# debian ARCH makes the Debian, or unpacks it from ROOT_TAR.
debian() {
	mkdir -p "$root"
	if [[ -n ${ROOT_TAR:-} && -f $ROOT_TAR ]]; then
		tar xf "$ROOT_TAR" -C "$root"
	else
		local suite
		suite=$(awk -F= '$1 == "VERSION_CODENAME" {print $2}' /etc/os-release)
		debootstrap --variant=minbase --arch="$1" --include=systemd,rpm,ca-certificates,sudo "${suite:-bookworm}" "$root" >"$work/debootstrap.log" ||
			fail "debootstrap: $(tail -5 "$work/debootstrap.log")"
		if [[ -n ${ROOT_TAR:-} ]]; then tar cf "$ROOT_TAR" -C "$root" .; fi
	fi
	rm -f "$root/usr/sbin/policy-rc.d"
	# No manual pages or documents are left away here, as a slim image does.
	rm -f "$root"/etc/dpkg/dpkg.cfg.d/*
}
