#!/usr/bin/env bash
# Lays dist/packages out as an apt and a yum repository: plain folders for any web
# server, dist/apt and dist/yum. EDGEHOLD_REPO_KEY, an OpenPGP secret key without
# pass phrase, signs them; without it they are dist/apt-unsigned, dist/yum-unsigned.
# PACKAGES and OUT are other folders than dist/packages and dist.
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/version.sh

key=${EDGEHOLD_REPO_KEY:+$(realpath "$EDGEHOLD_REPO_KEY")}
suffix=$([[ -n $key ]] || echo -unsigned)
out=$(realpath "${OUT:-dist}")
apt=$out/apt$suffix
yum=$out/yum$suffix
packages=$(realpath "${PACKAGES:-dist/packages}")
rm -rf "$out"/{apt,yum}{,-unsigned}

if [[ -n $key ]]; then
	GNUPGHOME=$(mktemp -d)
	export GNUPGHOME GPG_TTY=/dev/null # rpmsign looks for a terminal else
	trap 'gpgconf --kill all; rm -rf "$GNUPGHOME"' EXIT
	gpg --batch --quiet --import "$key"
	fingerprint=$(gpg --batch --with-colons --list-secret-keys | awk -F: '$1 == "fpr" && !found++ {print $10}')
fi
sign() { gpg --batch --yes --quiet --pinentry-mode loopback "$@"; }

# suite NAME FILE... puts packages into a suite of the apt repository.
suite() {
	local name=$1 pool=pool/$1/e/edgehold arch
	shift
	mkdir -p "$apt/$pool"
	cp "$@" "$apt/$pool/"
	cd "$apt"
	local -a archs
	mapfile -t archs < <(for file in "$@"; do dpkg-deb -f "$file" Architecture; done | sort -u)
	for arch in "${archs[@]}"; do
		mkdir -p "dists/$name/main/binary-$arch"
		dpkg-scanpackages --multiversion --arch "$arch" "$pool" >"dists/$name/main/binary-$arch/Packages" 2>/dev/null
		gzip -9nk "dists/$name/main/binary-$arch/Packages"
	done
	# Release must not be there while it is written: it would list itself.
	local release
	release=$(apt-ftparchive -o APT::FTPArchive::Release::Origin=Edgehold -o APT::FTPArchive::Release::Label=Edgehold \
		-o APT::FTPArchive::Release::Suite="$name" -o APT::FTPArchive::Release::Codename="$name" \
		-o APT::FTPArchive::Release::Components=main -o APT::FTPArchive::Release::Architectures="${archs[*]}" \
		release "dists/$name" |
		sed "s/^Date: .*/Date: $(LC_ALL=C TZ=UTC date -d "@$SOURCE_DATE_EPOCH" '+%a, %d %b %Y %H:%M:%S UTC')/")
	echo "$release" >"dists/$name/Release"
	if [[ -n $key ]]; then
		sign --clearsign --output "dists/$name/InRelease" "dists/$name/Release"
		sign --armor --detach-sign --output "dists/$name/Release.gpg" "dists/$name/Release"
	fi
	cd - >/dev/null
}

# Debian knows one armhf; what runs on the older kind has a suite of its own.
mapfile -t newer < <(find "$packages" -name '*.deb' ! -name '*-armv6.deb' | LC_ALL=C sort)
mapfile -t older < <(find "$packages" -name '*-armv6.deb' | LC_ALL=C sort)
suite stable "${newer[@]}"
if ((${#older[@]})); then suite armv6 "${older[@]}"; fi

mkdir -p "$yum"
cp "$packages"/*.rpm "$yum/"
if [[ -n $key ]]; then
	rpmsign --define "_gpg_name $fingerprint" --define "__gpg $(command -v gpg)" --addsign "$yum"/*.rpm >/dev/null
fi
createrepo_c --quiet --no-database --revision "$SOURCE_DATE_EPOCH" --set-timestamp-to-revision "$yum"

if [[ -n $key ]]; then
	sign --armor --detach-sign --output "$yum/repodata/repomd.xml.asc" "$yum/repodata/repomd.xml"
	sign --export --output "$apt/edgehold-archive-keyring.gpg"
	sign --armor --export --output "$yum/edgehold.asc"
fi
cat >"$apt/README" <<TEXT
An apt repository${suffix:+, UNSIGNED}. With it at URL:
  deb [${key:+signed-by=/usr/share/keyrings/edgehold-archive-keyring.gpg}${suffix:+trusted=yes}] URL stable main
The suite is armv6 in place of stable for a Raspberry Pi 1 or Zero.
TEXT
cat >"$yum/edgehold.repo" <<TEXT
# A yum repository${suffix:+, UNSIGNED}. Put its address in the place of URL.
[edgehold]
name=Edgehold
baseurl=URL
enabled=1
gpgcheck=$([[ -n $key ]] && echo 1 || echo 0)
repo_gpgcheck=$([[ -n $key ]] && echo 1 || echo 0)
$([[ -n $key ]] && echo "gpgkey=URL/edgehold.asc")
TEXT
echo "repo: $(basename "$apt"), $(basename "$yum")"
