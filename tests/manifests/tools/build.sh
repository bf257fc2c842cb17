#!/usr/bin/env bash
# Makes sure that what others made and the tests of the manifests need exists; prints the directory that holds it: `helm`,
# `cainjector`, and in `crds/` the definitions of cert-manager's and the Prometheus Operator's objects that we ship.
# Built once (4 minutes on two cores) and cached as tests/cluster/assets/build.sh does it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
what="manifest tools"
programs=(helm cainjector)
# shellcheck source=tests/assets.sh
. "$here/../../assets.sh"

flags=(-trimpath -ldflags "-s -w")
# For its definitions alone, so it is not in go.mod.
prometheus_operator=github.com/prometheus-operator/prometheus-operator@v0.85.0
definitions=(
  deploy/crds/cert-manager.io_{certificates,issuers}.yaml
  example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml
)

# Where the source of a module lies, MODULE as in go.mod or MODULE@VERSION.
source_of() {
  (cd "$here" && GOTOOLCHAIN=local GOWORK=off "$go" mod download -json "$1") | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p'
}

build() {
  find_go "$(go_of "$here")"
  say "building ${programs[*]} (4 minutes on two cores)"
  build_in "$here" "${flags[@]}" -o "$work/bin/" helm.sh/helm/v4/cmd/helm ./cainjector
  local module definition
  mkdir "$work/bin/crds"
  for module in "$(source_of github.com/cert-manager/cert-manager)" "$(source_of "$prometheus_operator")"; do
    for definition in "${definitions[@]}"; do
      [[ ! -f $module/$definition ]] || install -m 0644 "$module/$definition" "$work/bin/crds/"
    done
  done
}

cached "manifests-$({
  uname -sm
  cat "$here"/go.mod "$here"/go.sum "$here"/*/*.go
  printf '%s\n' "${flags[@]}" "$prometheus_operator" "${definitions[@]}"
} | key)"
