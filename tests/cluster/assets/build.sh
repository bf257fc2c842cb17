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
what="test cluster"
programs=(etcd kube-apiserver kubectl)
# shellcheck source=tests/assets.sh
. "$here/../../assets.sh"

if [[ -n ${KUBEBUILDER_ASSETS:-} ]]; then
  lacking=$(missing_from "$KUBEBUILDER_ASSETS")
  [[ -z $lacking ]] || die "KUBEBUILDER_ASSETS is $KUBEBUILDER_ASSETS, which lacks $lacking:" \
    "put that there, or unset the variable to have all three built."
  (cd "$KUBEBUILDER_ASSETS" && pwd)
  exit
fi

etcd_version=$(required go.etcd.io/etcd/server/v3)
kube_version=$(required k8s.io/kubernetes)
go_wanted=$(go_of "$here")
[[ -n $etcd_version && -n $kube_version && -n $go_wanted ]] ||
  die "$here/go.mod names no version of etcd, Kubernetes or Go: restore it."

# Without the three -X the server would call itself v0.0.0.
IFS=. read -r kube_major kube_minor _ <<<"${kube_version#v}"
component=k8s.io/component-base/version
common=(-trimpath)
etcd_flags=("${common[@]}" -ldflags "-s -w")
kube_flags=("${common[@]}" -ldflags "-s -w -X $component.gitVersion=$kube_version \
-X $component.gitMajor=$kube_major -X $component.gitMinor=$kube_minor")

build() {
  find_go "$go_wanted"
  say "using $(cd / && "$go" version)"
  say "building etcd $etcd_version (a minute)"
  build_in "$here" "${etcd_flags[@]}" -o "$work/bin/etcd" go.etcd.io/etcd/server/v3
  say "building kube-apiserver and kubectl $kube_version (6 minutes on two cores)"
  build_in "$here" "${kube_flags[@]}" -o "$work/bin/" k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kubectl
}

key=$({ uname -sm; cat "$here/go.mod" "$here/go.sum"; printf '%s\n' "${etcd_flags[@]}" "${kube_flags[@]}"; } | key)
cached "kubernetes-$kube_version-$key"
