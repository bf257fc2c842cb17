#!/usr/bin/env bash
# Makes sure that valgrind is there, which counts the instructions of `make guard`.
set -euo pipefail
! command -v valgrind > /dev/null || exit 0
if command -v apt-get > /dev/null && [[ $(id -u) == 0 ]]; then
  echo "installing valgrind" >&2
  apt-get update --quiet --quiet
  DEBIAN_FRONTEND=noninteractive apt-get install --quiet --quiet --yes --no-install-recommends valgrind > /dev/null
else
  echo "valgrind is not there and cannot be installed by this user: install it (apt-get install valgrind)" >&2
  exit 1
fi
