#!/usr/bin/env bash
# Runs a command on a machine of its own, as far as a node needs one: with its own network, processes, mounts and cgroup.
#
#   tests/node/machine.sh COMMAND…
#
# Nothing of it is seen outside: no address, no port, no mount, no file in /run, /var/lib or /var/log. When the command ends,
# or when this script is killed, the kernel ends every process in there, and mounts and network go with the last of them.
set -euo pipefail

die() { printf 'test node: %s\n' "$*" >&2; exit 1; }

# The roots of the cgroups: one, or one for each controller.
roots() {
  if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then echo /sys/fs/cgroup; else printf '%s\n' /sys/fs/cgroup/*/; fi
}

# Removes the cgroups of process $1, and of machines that are no more. The number in the name is the process that made it.
remove_groups() {
  local group
  for group in $(roots | sed 's,/*$,/agentteam-node-*,'); do
    if [[ -d $group ]] && { [[ ! -d /proc/${group##*-} ]] || [[ ${group##*-} == "$1" ]]; }; then
      # The processes in there are dead or dying.
      for _ in {1..50}; do
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
        [[ -d $group ]] || break
        sleep 0.1
      done
    fi
  done
}

outside() {
  [[ $(uname -s) == Linux ]] || die "a node needs Linux; run this in a virtual machine or a container that may do all."
  [[ $EUID == 0 ]] || die "a node needs root, for namespaces, mounts and containers: sudo --preserve-env=HOME,PATH make e2e"
  local tool
  for tool in unshare setpriv mount ip find; do
    command -v "$tool" >/dev/null || die "there is no $tool in PATH: install util-linux, iproute2 and findutils."
  done
  remove_groups none
  # shellcheck disable=SC2064
  trap "remove_groups $$" EXIT
  # The first of the two kills `unshare` with this script, the second what it runs.
  setpriv --pdeathsig KILL \
    unshare --net --mount --pid --ipc --uts --fork --kill-child --mount-proc "$0" --inside "agentteam-node-$$" "$@" &
  local machine=$! code=0
  # shellcheck disable=SC2064
  trap "kill -s KILL $machine" INT TERM HUP
  wait "$machine" || code=$?
  exit "$code"
}

inside() {
  local group=$1 directory controller
  shift
  hostname node1
  ip link set lo up
  # Where Pods find the API server, there being no kube-proxy, and where the node is.
  ip address add 10.96.0.1/32 dev lo
  ip address add 10.200.0.1/32 dev lo

  # There is nothing behind them in here.
  unset {http,https,all,HTTP,HTTPS,ALL}_{proxy,PROXY}

  mount --make-rshared /
  mount -t tmpfs -o mode=755 tmpfs /run
  for directory in /var/lib /var/log; do
    mkdir -p "/run/over$directory" "/run/over$directory.work"
    mount -t overlay -o "lowerdir=$directory,upperdir=/run/over$directory,workdir=/run/over$directory.work" overlay "$directory"
  done
  mkdir -m 700 /run/agentteam
  export TMPDIR=/run/agentteam

  if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
    for controller in $(</sys/fs/cgroup/cgroup.controllers); do
      echo "+$controller" > /sys/fs/cgroup/cgroup.subtree_control
    done
  fi
  for directory in $(roots | sed "s,/*\$,/$group,"); do
    mkdir -p "$directory"
    # In the first version, a new group may use no processor until it is told which.
    for controller in cpuset.mems cpuset.cpus; do
      if [[ -e $directory/$controller && $directory == */cpuset/* ]]; then
        cat "${directory%/*}/$controller" > "$directory/$controller"
      fi
    done
  done
  # By this the tests know where they are.
  export AGENTTEAM_NODE_CGROUP=/$group
  "$@"
}

if [[ ${1-} == --inside ]]; then
  shift
  inside "$@"
else
  outside "$@"
fi
