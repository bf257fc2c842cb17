#!/usr/bin/env bash
# Makes sure that the benchmark's peer in Go exists; prints the directory that holds it.
# Built once (a minute on two cores) and cached as tests/cluster/assets/build.sh does it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
what="benchmark's peer"
programs=(controller-runtime)
# shellcheck source=tests/assets.sh
. "$here/../../../tests/assets.sh"

flags=(-trimpath -ldflags "-s -w")

build() {
  find_go "$(go_of "$here")"
  say "building ${programs[*]} (a minute on two cores)"
  build_in "$here" "${flags[@]}" -o "$work/bin/${programs[0]}" .
}

cached "peer-$({ uname -sm; cd "$here"; cat go.mod go.sum main.go; printf '%s\n' "${flags[@]}"; } | key)"
