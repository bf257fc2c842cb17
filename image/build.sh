#!/usr/bin/env bash
# Builds the product's image without an engine: one static program and nothing else, as Containerfile beside it builds it
# with one. Prints the path of the archive; see archive.sh for what reads it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=$(rustc --version --verbose | sed -n 's/^host: //p')
package=$(cargo pkgid --locked)
version=${package##*[#@]}
archive=${CARGO_TARGET_DIR:-target}/image/agentteam-webhook.tar
# What the image consists of, which `make guard` counts instructions in.
root=${CARGO_TARGET_DIR:-target}/image/root

# With the target named, the flag is for the program alone and not for build scripts, which must stay dynamic.
RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release --target "$target" >&2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
install -D --mode 0755 "${CARGO_TARGET_DIR:-target}/$target/release/agentteam-webhook" "$root/agentteam-webhook"
size=$(stat --format %s "$root/agentteam-webhook")
if ((size > 25 * 1024 * 1024)); then
  echo "the image has $size bytes, and 25 MiB is what it may have" >&2
  exit 1
fi
cat > "$work/config.json" <<CONFIG
{"Entrypoint":["/agentteam-webhook"],"Cmd":["serve"],"User":"65532:65532","WorkingDir":"/",
 "ExposedPorts":{"8443/tcp":{},"8080/tcp":{}},
 "Labels":{"org.opencontainers.image.title":"agentteam-webhook",
  "org.opencontainers.image.description":"A mutating admission webhook that gives AI-agent Pods their skills",
  "org.opencontainers.image.licenses":"Apache-2.0",
  "org.opencontainers.image.version":"$version"}}
CONFIG
image/archive.sh "$archive" "localhost/agentteam-webhook:$version" "$root" "$work/config.json"
printf '%s\n' "$archive"
