#!/usr/bin/env bash
# Packs a directory into a container image, without an engine and without root.
#
#   image/archive.sh OUTPUT NAME ROOT CONFIG
#
# OUTPUT  the archive, both an OCI image layout and what `docker save` writes, so that `docker load`, `podman load`,
#         `ctr images import`, `kind load image-archive` and skopeo (oci-archive:) take it
# NAME    the image's name and tag
# ROOT    the directory that becomes the image's one layer
# CONFIG  how it runs: the `config` of an OCI image configuration, in JSON
#
# The same input gives the same bytes: files belong to root and are as old as SOURCE_DATE_EPOCH says (1970 by default).
set -euo pipefail

[[ $# == 4 ]] || { sed -n 's/^# \{0,1\}//; 2,4p' "$0" >&2; exit 2; }
output=$1 name=$2 root=$3 config=$4

case $(uname -m) in
  x86_64) architecture=amd64 ;;
  aarch64 | arm64) architecture=arm64 ;;
  *) architecture=$(uname -m) ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/blobs/sha256"

# Two archives of the same files must not differ.
pack() {
  tar --create --sort=name --format=posix --pax-option=delete=atime,delete=ctime --mtime="@${SOURCE_DATE_EPOCH:-0}" \
    --owner=0 --group=0 --numeric-owner "$@"
}

digest() { sha256sum "$1" | cut -d ' ' -f 1; }

# Moves file $1 among the blobs; leaves its digest in $blob and its size in $size.
store() {
  blob=$(digest "$1")
  size=$(stat --format %s "$1")
  mv "$1" "$work/blobs/sha256/$blob"
}

pack --file "$work/layer.tar" --directory "$root" .
diff_id=$(digest "$work/layer.tar")
gzip --no-name --best "$work/layer.tar"
store "$work/layer.tar.gz"
layer=$blob layer_size=$size

printf '{"architecture":"%s","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
  "$architecture" "$(<"$config")" "$diff_id" > "$work/config.json"
store "$work/config.json"
image=$blob image_size=$size

oci=application/vnd.oci.image
printf '{"schemaVersion":2,"mediaType":"%s.manifest.v1+json",
 "config":{"mediaType":"%s.config.v1+json","digest":"sha256:%s","size":%s},
 "layers":[{"mediaType":"%s.layer.v1.tar+gzip","digest":"sha256:%s","size":%s}]}' \
  "$oci" "$oci" "$image" "$image_size" "$oci" "$layer" "$layer_size" > "$work/manifest"
store "$work/manifest"

printf '{"imageLayoutVersion":"1.0.0"}' > "$work/oci-layout"
printf '{"schemaVersion":2,"mediaType":"%s.index.v1+json","manifests":[
 {"mediaType":"%s.manifest.v1+json","digest":"sha256:%s","size":%s,"platform":{"architecture":"%s","os":"linux"},
  "annotations":{"io.containerd.image.name":"%s","org.opencontainers.image.ref.name":"%s"}}]}' \
  "$oci" "$oci" "$blob" "$size" "$architecture" "$name" "$name" > "$work/index.json"
printf '[{"Config":"blobs/sha256/%s","RepoTags":["%s"],"Layers":["blobs/sha256/%s"]}]' \
  "$image" "$name" "$layer" > "$work/manifest.json"

mkdir -p "$(dirname "$output")"
pack --file "$work/archive.tar" --directory "$work" blobs index.json manifest.json oci-layout
mv "$work/archive.tar" "$output"
