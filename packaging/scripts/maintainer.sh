#!/bin/sh
# What the packages do on a machine. packaging/stage.sh makes four scripts of
# this file, one for each phase: before and after the files come, before and
# after they go. dpkg says in $1 what happens (configure, upgrade, remove,
# purge); rpm says how many packages of this name stay (0, 1 or 2).
set -e

phase=@PHASE@
services="edgehold.service edgehold-relay.service"
units="$services edgehold-snmptrap.socket"

has() { command -v "$1" >/dev/null 2>&1; }

# booted tells whether systemd runs here; in a chroot or an image it does not.
booted() { [ -d /run/systemd/system ] && has systemctl; }

# invoke lets Debian's policy-rc.d have its say.
invoke() {
	if has deb-systemd-invoke; then deb-systemd-invoke "$@"; else systemctl "$@"; fi
}

# account makes the user and the group that the services run as.
account() {
	if has systemd-sysusers; then
		systemd-sysusers --replace=/usr/lib/sysusers.d/edgehold.conf - <<'LINES'
@SYSUSERS@
LINES
	elif ! getent passwd edgehold >/dev/null; then
		getent group edgehold >/dev/null || groupadd --system edgehold
		useradd --system --gid edgehold --no-create-home --home-dir /var/lib/edgehold \
			--shell /usr/sbin/nologin --comment Edgehold edgehold
		for group in edgehold-status i2c gpio; do
			getent group "$group" >/dev/null || groupadd --system "$group"
		done
		usermod --append --groups edgehold-status edgehold
	fi
}

# folders gives the group what it has to read, where the files came before the
# group, and makes the place of the state.
folders() {
	for path in edgehold.yaml secrets config.d extensions; do
		path=/etc/edgehold/$path
		if [ -e "$path" ] && [ "$(stat -c %g "$path")" = 0 ]; then
			chgrp edgehold "$path"
		fi
	done
	if [ ! -d /var/lib/edgehold ]; then
		install -d -o edgehold -g edgehold -m 0750 /var/lib/edgehold
	fi
}

# rules has udev read its rules again: it came upon them before their groups were
# there. A device that is there already keeps its owner until the next start, or
# until somebody runs udevadm trigger.
rules() {
	if booted && has udevadm; then udevadm control --reload || true; fi
}

# wanted tells whether a service runs, or would if it had not failed.
wanted() {
	case $(systemctl is-active "$1" 2>/dev/null) in
	active | activating | reloading) true ;;
	failed) systemctl --quiet is-enabled "$1" 2>/dev/null ;;
	*) false ;;
	esac
}

# restart puts the new program in the place of the old one where it runs. A
# service that does not start is no reason to leave the package half installed.
restart() {
	booted || return 0
	systemctl daemon-reload || true
	for service in $services; do
		if wanted "$service" && ! invoke restart "$service"; then
			echo "edgehold: $service did not start; journalctl -u $service tells why" >&2
		fi
	done
}

stop() {
	# shellcheck disable=SC2086 # the units are words
	if booted; then invoke stop $units || true; fi
	# shellcheck disable=SC2086
	if has systemctl; then systemctl --quiet --no-reload disable $units 2>/dev/null || true; fi
}

# erase empties a folder, also one that is a link or a disk of its own, and
# takes it away where it can be. Nothing that is mounted further down is touched.
erase() {
	if [ -d "$1" ]; then find "$1/" -xdev -mindepth 1 -delete || true; fi
	if [ -L "$1" ]; then rm -f "$1"; elif [ -d "$1" ]; then rmdir "$1" || true; fi
}

# purge leaves nothing but the account: its number must not pass to another user
# who would then own what a backup holds.
purge() {
	for path in /etc/edgehold /var/lib/edgehold /var/lib/edgehold-relay /run/edgehold /run/edgehold-relay; do
		erase "$path"
	done
	for unit in $units; do
		rm -rf "/etc/systemd/system/$unit.d"
	done
}

case $phase:$1 in
preinstall:1 | preinstall:2) # rpm looks for the group while it unpacks
	account
	;;
postinstall:configure | postinstall:1 | postinstall:2)
	account
	folders
	rules
	restart
	# dpkg names the version before this one, if any.
	if [ "$1$2" = configure ] || [ "$1" = 1 ]; then
		echo "edgehold: installed and not started. Next: edgehold init"
	fi
	;;
preremove:remove | preremove:0)
	stop
	;;
postremove:remove | postremove:0)
	if booted; then systemctl daemon-reload || true; fi
	;;
postremove:purge)
	purge
	;;
esac
