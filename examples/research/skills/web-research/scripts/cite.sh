#!/bin/sh
# Prints a quotation from standard input with its source and the date.
set -eu
printf '> %s\n> — %s, read on %s\n' "$(cat)" "$1" "$(date -u +%Y-%m-%d)"
