# shellcheck shell=bash
# To be sourced from the root of the repository: tools at pinned versions, in
# .tools/bin.

go=${GO:-go}
bin=$PWD/.tools/bin

# tool installs PACKAGE@VERSION unless .tools/bin holds that very version.
tool() {
	local name=$1 package=$2 version=$3
	if "$go" version -m "$bin/$name" 2>/dev/null |
		awk -v v="$version" '$1 == "mod" && $3 == v {found = 1} END {exit !found}'; then
		return
	fi
	echo "installing $name $version"
	GOBIN=$bin "$go" install "$package@$version"
}
