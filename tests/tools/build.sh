#!/usr/bin/env bash
# Makes sure that the tools of the tests exist, as `programs` names them; prints the directory that holds them.
# Built once (2 minutes on two cores) and cached as tests/cluster/assets/build.sh does it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
what="test tools"
programs=(oras registry pack tarlist)
# shellcheck source=tests/assets.sh
. "$here/../assets.sh"

flags=(-trimpath -ldflags "-s -w")

build() {
  find_go "$(go_of "$here")"
  say "building ${programs[*]} (2 minutes on two cores)"
  build_in "$here" "${flags[@]}" -o "$work/bin/" "${programs[@]/#/./}"
}

cached "tools-$({ uname -sm; cd "$here"; cat go.mod go.sum ./*/*.go; printf '%s\n' "${flags[@]}"; } | key)"
