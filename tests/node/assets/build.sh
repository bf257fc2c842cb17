#!/usr/bin/env bash
# Makes sure that the programs of a node exist, from the kubelet down to the shell of the Pods' own image; prints the
# directory that holds them. etcd, kube-apiserver and kubectl are those of tests/cluster/assets.
#
# Built once (5 minutes on two cores, where these three are built already) and cached as tests/cluster/assets/build.sh does
# it. Two things are no Go modules, and are installed on Debian and Ubuntu: libseccomp-dev, without which runc knows no
# seccomp profiles, and busybox-static.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
what="test node"
programs=(
  kubelet kube-controller-manager kube-scheduler
  containerd containerd-shim-runc-v2 ctr runc bridge host-local loopback
  pause busybox
)
# shellcheck source=tests/assets.sh
. "$here/../../assets.sh"

kube_version=$(required k8s.io/kubernetes "$here/kubernetes/go.mod")
[[ $kube_version == "$(required k8s.io/kubernetes "$here/../../cluster/assets/go.mod")" ]] ||
  die "kubelet $kube_version is not of the API server's version: let kubernetes/go.mod and" \
    "tests/cluster/assets/go.mod name the same."

IFS=. read -r kube_major kube_minor _ <<<"${kube_version#v}"
component=k8s.io/component-base/version
flags=(-trimpath -ldflags "-s -w")
kube_flags=(-trimpath -ldflags "-s -w -X $component.gitVersion=$kube_version \
-X $component.gitMajor=$kube_major -X $component.gitMinor=$kube_minor")

# Installs packages $2… unless command $1 says that they are there.
need() {
  local check=$1
  shift
  eval "$check" >/dev/null 2>&1 && return
  command -v apt-get >/dev/null || die "install what Debian calls $*, and run this again."
  say "installing $* with apt-get"
  { apt-get update --quiet && apt-get install --quiet --yes --no-install-recommends "$@"; } >&2 ||
    die "apt-get could not install $*: run this as root, or install them."
}

build() {
  local containerd=github.com/containerd/containerd/v2 plugins=github.com/containernetworking/plugins/plugins
  need "pkg-config --exists libseccomp && cc --version" libseccomp-dev pkg-config gcc libc6-dev
  need "! ldd /bin/busybox && test -x /bin/busybox" busybox-static
  find_go "$(go_of "$here/runtime")"
  say "using $(cd / && "$go" version)"
  say "building kubelet, kube-controller-manager and kube-scheduler $kube_version (2 minutes on two cores)"
  build_in "$here/kubernetes" "${kube_flags[@]}" -o "$work/bin/" k8s.io/kubernetes/cmd/{kubelet,kube-controller-manager,kube-scheduler}
  say "building containerd, runc and CNI plugins (3 minutes)"
  build_in "$here/runtime" "${flags[@]}" -o "$work/bin/" \
    $containerd/cmd/{containerd,containerd-shim-runc-v2,ctr} $plugins/{main/bridge,main/loopback,ipam/host-local} ./pause
  CGO_ENABLED=1 build_in "$here/runtime" "${flags[@]}" -tags seccomp -o "$work/bin/" github.com/opencontainers/runc
  cp -L /bin/busybox "$work/bin/busybox"
}

key=$({
  uname -sm
  cd "$here"
  cat ./*/go.mod ./*/go.sum runtime/pause/*.go
  printf '%s\n' "${flags[@]}" "${kube_flags[@]}"
} | key)
cached "node-$kube_version-$key"
