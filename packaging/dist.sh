#!/usr/bin/env bash
# The last steps of a release, over what `make artefacts` left in dist: the apt and
# yum repositories, and the checksums of all files.
#   EDGEHOLD_RELEASE_KEY   an Ed25519 private key (PEM), signs the checksums:
#                          openssl genpkey -algorithm ed25519 -out release.key
#   EDGEHOLD_REPO_KEY      an OpenPGP secret key (gpg --armor --export-secret-keys),
#                          signs the repositories and the .rpm files in them
# What is not signed says so in its name.
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/version.sh

if [[ -n ${EDGEHOLD_RELEASE_KEY:-} && ! -r $EDGEHOLD_RELEASE_KEY ]]; then
	echo "dist: EDGEHOLD_RELEASE_KEY names $EDGEHOLD_RELEASE_KEY, which cannot be read" >&2
	exit 1
fi

packaging/repo.sh

cd dist
rm -f SHA256SUMS*
mapfile -t files < <(find . -maxdepth 2 -type f ! -path './stage/*' ! -path './apt*' ! -path './yum*' -printf '%P\n' | LC_ALL=C sort)
if [[ -z ${EDGEHOLD_RELEASE_KEY:-} ]]; then
	sha256sum "${files[@]}" >SHA256SUMS.unsigned
	echo "dist: no EDGEHOLD_RELEASE_KEY: the checksums are in SHA256SUMS.unsigned"
	exit
fi
sha256sum "${files[@]}" >SHA256SUMS
openssl pkey -in "$EDGEHOLD_RELEASE_KEY" -pubout -out SHA256SUMS.pub
openssl pkeyutl -sign -rawin -inkey "$EDGEHOLD_RELEASE_KEY" -in SHA256SUMS -out SHA256SUMS.sig
openssl pkeyutl -verify -pubin -inkey SHA256SUMS.pub -rawin -in SHA256SUMS -sigfile SHA256SUMS.sig >/dev/null
cat <<'TEXT'
dist: the checksums are signed. To verify, with the public key from another place than the files:
  openssl pkeyutl -verify -pubin -inkey SHA256SUMS.pub -rawin -in SHA256SUMS -sigfile SHA256SUMS.sig
  sha256sum --check --ignore-missing SHA256SUMS
TEXT
