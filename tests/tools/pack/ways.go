package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"os"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/file"
)

// One way to pack a skill: pushes it, and gives what to tag.
type way struct {
	tag  string
	pack func(context.Context, oras.Target) (ocispec.Descriptor, error)
}

const (
	kagents     = "application/vnd.kagents.skill.v1"
	agentskills = "application/vnd.agentskills.skill.v1"
	toolhive    = "dev.toolhive.skills.v1"
	dockerLayer = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

var other = []entry{{name: "SKILL.md", mode: 0o644, content: "---\nname: other\ndescription: Another one.\n---\n"}}

var ways = []way{
	// As `oras push` packs what stands in its arguments.
	{"oras-directory", pushed([]string{"."}, skill)},
	{"oras-nested", pushed([]string{"my-skill"}, below("my-skill", skill))},
	{"oras-files", pushed([]string{"SKILL.md", "references/notes.md", longName, "scripts/run.sh"}, skill)},
	{"oras-mixed", pushed([]string{"SKILL.md", "references", "scripts"}, skill)},
	// PyPI's agentskills-oci titles files, too, and has a type of its own.
	{"agentskills-files", artifact(agentskills, files(skill)...)},
	// Agent Skills OCI 0.1, and others with one untitled archive.
	{"agentskills-gzip", artifact(agentskills, packed("application/vnd.agentskills.skill.content.v1.tar+gzip", tar.FormatPAX, gzipped, below("web-research", skill)))},
	{"agentskills-zstd", artifact(agentskills, packed("application/vnd.agentskills.skill.content.v1.tar+zstd", tar.FormatGNU, zstandard, below("web-research", skill)))},
	{"agentskills-tar", artifact(agentskills, packed("application/vnd.agentskills.skill.content.v1.tar", tar.FormatPAX, plain, below("web-research", skill)))},
	{"acr", artifact("application/vnd.agent.skill.v1+json", packed("application/vnd.agent.skill.content.v1.tar+gzip", tar.FormatPAX, gzipped, skill))},
	// Flux packs several skills.
	{"flux", configured("application/vnd.cncf.flux.config.v1+json", packed("application/vnd.cncf.flux.content.v1.tar+gzip", tar.FormatPAX, gzipped,
		append(append(below("other", other), below("web-research", skill)...), entry{name: "README.md", mode: 0o644})))},
	// A tarball as a file.
	{"tarball-gzip", titled("skill.tar.gz", gzipped)},
	{"tarball-zstd", titled("skill.tar.zst", zstandard)},
	{"tarball-tar", titled("skill.tar", plain)},
	{"toolhive", index(toolhive, []string{"amd64", "arm64"}, configured(ocispec.MediaTypeImageConfig, layerOf("skill.tar.gz", gzipped)))},
	// Images, whose upper layers take away what lower ones hold.
	{"image", image(ocispec.MediaTypeImageLayerGzip, gzipped)},
	{"image-zstd", image(ocispec.MediaTypeImageLayerZstd, zstandard)},
	{"image-tar", image(ocispec.MediaTypeImageLayer, plain)},
	{"image-docker", image(dockerLayer, gzipped)},
	{"image-index", index("", []string{"amd64", "arm64", "unknown"}, image(ocispec.MediaTypeImageLayerGzip, gzipped))},
}

// Pushes a blob and gives its descriptor.
type blob func(context.Context, oras.Target) (ocispec.Descriptor, error)

func layer(mediaType, title string, bytes []byte, err error) blob {
	return func(ctx context.Context, target oras.Target) (ocispec.Descriptor, error) {
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		descriptor, err := push(ctx, target, mediaType, bytes)
		if title != "" {
			descriptor.Annotations = map[string]string{ocispec.AnnotationTitle: title}
		}
		return descriptor, err
	}
}

func packed(mediaType string, format tar.Format, compress func([]byte) ([]byte, error), entries []entry) blob {
	bytes, err := archive(format, entries)
	if err == nil {
		bytes, err = compress(bytes)
	}
	return layer(mediaType, "", bytes, err)
}

func layerOf(title string, compress func([]byte) ([]byte, error)) blob {
	bytes, err := archive(tar.FormatPAX, skill)
	if err == nil {
		bytes, err = compress(bytes)
	}
	return layer(ocispec.MediaTypeImageLayerGzip, title, bytes, err)
}

// Each file as a layer with a title.
func files(entries []entry) []blob {
	var layers []blob
	for _, entry := range entries {
		if entry.content != "" {
			layers = append(layers, layer("text/plain", entry.name, []byte(entry.content), nil))
		}
	}
	return layers
}

type packing = func(context.Context, oras.Target) (ocispec.Descriptor, error)

// As `oras push` with these arguments in a directory with these files.
func pushed(arguments []string, entries []entry) packing {
	return func(ctx context.Context, target oras.Target) (ocispec.Descriptor, error) {
		directory, err := os.MkdirTemp("", "pack-")
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		defer os.RemoveAll(directory)
		if err := write(directory, entries); err != nil {
			return ocispec.Descriptor{}, err
		}
		store, err := file.New(directory)
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		defer store.Close()
		var layers []ocispec.Descriptor
		for _, argument := range arguments {
			layer, err := store.Add(ctx, argument, "", argument)
			if err != nil {
				return ocispec.Descriptor{}, err
			}
			layers = append(layers, layer)
		}
		options := oras.PackManifestOptions{Layers: layers}
		root, err := oras.PackManifest(ctx, store, oras.PackManifestVersion1_1, kagents, options)
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		return root, oras.CopyGraph(ctx, store, target, root, oras.DefaultCopyGraphOptions)
	}
}

// An artifact with a type and an empty configuration.
func artifact(artifactType string, blobs ...blob) packing {
	return func(ctx context.Context, target oras.Target) (ocispec.Descriptor, error) {
		return pack(ctx, target, artifactType, nil, blobs)
	}
}

// An artifact without a type and with a configuration.
func configured(config string, blobs ...blob) packing {
	return func(ctx context.Context, target oras.Target) (ocispec.Descriptor, error) {
		descriptor, err := push(ctx, target, config, []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`))
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		return pack(ctx, target, "", &descriptor, blobs)
	}
}

func titled(title string, compress func([]byte) ([]byte, error)) packing {
	return artifact(kagents, layerOf(title, compress))
}

func image(mediaType string, compress func([]byte) ([]byte, error)) packing {
	lower := []entry{
		{name: "SKILL.md", mode: 0o600, content: "an older one\n"},
		{name: "gone.md", mode: 0o644, content: "gone\n"},
		{name: "gone/", mode: 0o755},
		{name: "gone/too.md", mode: 0o644, content: "gone\n"},
		{name: "references/", mode: 0o755},
		{name: "references/hidden.md", mode: 0o644, content: "hidden\n"},
		{name: "scripts", mode: 0o644, content: "a file that becomes a directory\n"},
	}
	upper := append([]entry{
		{name: ".wh.gone.md", mode: 0o644},
		{name: ".wh.gone", mode: 0o644},
		{name: "references/.wh..wh..opq", mode: 0o644},
	}, skill...)
	return configured(ocispec.MediaTypeImageConfig, packed(mediaType, tar.FormatPAX, compress, lower), packed(mediaType, tar.FormatGNU, compress, upper))
}

// An index of the same for several platforms; the last is what builders call unknown and keep their notes in.
func index(artifactType string, architectures []string, manifest packing) packing {
	return func(ctx context.Context, target oras.Target) (ocispec.Descriptor, error) {
		index := ocispec.Index{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, ArtifactType: artifactType,
		}
		for _, architecture := range architectures {
			pack, system := manifest, "linux"
			if architecture == "unknown" {
				pack, system = configured(ocispec.MediaTypeImageConfig, layer("application/vnd.in-toto+json", "", []byte("{}"), nil)), "unknown"
			}
			descriptor, err := pack(ctx, target)
			if err != nil {
				return ocispec.Descriptor{}, err
			}
			descriptor.Platform = &ocispec.Platform{Architecture: architecture, OS: system}
			index.Manifests = append(index.Manifests, descriptor)
		}
		bytes, err := json.Marshal(index)
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		return push(ctx, target, ocispec.MediaTypeImageIndex, bytes)
	}
}

func pack(ctx context.Context, target oras.Target, artifactType string, config *ocispec.Descriptor, blobs []blob) (ocispec.Descriptor, error) {
	options := oras.PackManifestOptions{ConfigDescriptor: config}
	for _, blob := range blobs {
		layer, err := blob(ctx, target)
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		options.Layers = append(options.Layers, layer)
	}
	return oras.PackManifest(ctx, target, oras.PackManifestVersion1_1, artifactType, options)
}

func push(ctx context.Context, target oras.Target, mediaType string, bytes_ []byte) (ocispec.Descriptor, error) {
	descriptor := content.NewDescriptorFromBytes(mediaType, bytes_)
	descriptor.Digest = digest.FromBytes(bytes_)
	exists, err := target.Exists(ctx, descriptor)
	if err != nil || exists {
		return descriptor, err
	}
	return descriptor, target.Push(ctx, descriptor, bytes.NewReader(bytes_))
}
