//! What a manifest packs, and how. Pure: nothing is downloaded to find out.
//!
//! Nobody agreed on how skills are packed, so what is there decides, and not what the artifact is called:
//!
//! | layers | are read as |
//! |---|---|
//! | titled, with the annotation `io.deis.oras.content.unpack: "true"` | archives (`oras push DIR`) |
//! | titled `*.tar`, `*.tar.gz`, `*.tgz`, `*.tar.zst`, and nothing titled `SKILL.md` or with that annotation | archives (ToolHive) |
//! | titled | files (`oras push FILE`, agentskills-oci) |
//! | untitled tar, where the configuration is that of an image | layers of an image, one upon the other (kagent, agentregistry) |
//! | untitled tar | archives (Agent Skills OCI, ACR, Flux) |
//!
//! What the archives are compressed with is found in the bytes.

use std::collections::HashMap;

use thiserror::Error;

use super::manifest::{Descriptor, Manifest};
use super::path::{EntryPath, InvalidPath};
use crate::names::{Listed, Shown};

/// The name that a layer has in the file system.
pub const TITLE: &str = "org.opencontainers.image.title";

/// Says that a layer is a directory, packed.
pub const UNPACK: &str = "io.deis.oras.content.unpack";

/// What an image's configuration is called.
pub(super) const IMAGE_CONFIGS: [&str; 2] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
];

/// What the media types of archives end with, whosoever's they are.
pub(super) const TAR_TYPES: [&str; 5] =
    [".tar", ".tar+gzip", ".tar.gzip", ".tar+zstd", ".tar.zstd"];

/// What archives are called.
const TAR_NAMES: [&str; 4] = [".tar", ".tar.gz", ".tgz", ".tar.zst"];

/// The layers that make a skill, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// The layers that are needed.
    pub parts: Vec<Part>,
    /// The media types of the layers that are not.
    pub left_out: Vec<String>,
}

/// A layer that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which of the manifest's layers it is.
    pub layer: usize,
    /// What it is.
    pub reading: Reading,
}

/// How a layer is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It is a file, at this path.
    File(EntryPath),
    /// It is a tar archive.
    Archive,
    /// It is a tar archive that is laid upon those before it.
    ImageLayer,
}

/// Why a manifest is no package of a skill.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidPackage {
    /// Nothing in it.
    #[error(
        "the artifact has no layers; push the skill with `oras push REF .` from inside its directory"
    )]
    Empty,
    /// Nothing in it that is known.
    #[error(
        "no layer of the artifact has a title or is a known kind of archive, but {}; push the skill with `oras push REF .` from inside its directory",
        Listed(.0.iter().map(|kind| Shown(kind)))
    )]
    Unknown(Vec<String>),
    /// A layer of an image that is none.
    #[error(
        "layer {index} of the image is no tar archive, but {}",
        Shown(media_type)
    )]
    ImageLayer {
        /// Which, from 0.
        index: usize,
        /// What it is.
        media_type: String,
    },
    /// A title that is no path below the skill.
    #[error(
        "a layer's title is {}, and it cannot be written there: {problem}",
        Shown(title)
    )]
    Title {
        /// The title.
        title: String,
        /// What is wrong with it.
        problem: InvalidPath,
    },
    /// A file titled as the skill itself.
    #[error("a layer's title is {}, which is no name of a file", Shown(.0))]
    FileTitle(String),
    /// Two layers with one title.
    #[error("two layers have the title {}", Shown(.0))]
    Duplicate(String),
    /// Two titles that are one where case is not told apart.
    #[error("the layers' titles {} and {} differ in upper and lower case only", Shown(.0), Shown(.1))]
    Case(String, String),
}

/// Which layers of a manifest are needed, and how each is to be read.
///
/// # Errors
/// When it packs nothing that is known, or layers that could not stand beside each other.
pub fn needed(manifest: &Manifest) -> Result<Package, InvalidPackage> {
    if manifest.layers.is_empty() {
        return Err(InvalidPackage::Empty);
    }
    let titles = titles(&manifest.layers)?;
    let is_image = IMAGE_CONFIGS.contains(&&*manifest.config.media_type);
    if titles.iter().all(Option::is_none) {
        return untitled(&manifest.layers, is_image);
    }
    let holds_skill = manifest.layers.iter().zip(&titles).any(|(layer, title)| {
        title.as_ref().is_some_and(|title| {
            is_unpacked(layer)
                || title
                    .split_last()
                    .is_some_and(|(_, name)| name == "SKILL.md")
        })
    });
    let mut package = Package::default();
    for (index, (layer, title)) in manifest.layers.iter().zip(titles).enumerate() {
        let Some(title) = title else {
            package.left_out.push(layer.media_type.clone());
            continue;
        };
        let reading = if is_unpacked(layer) || (!holds_skill && is_archive(&title)) {
            Reading::Archive
        } else if title.is_root() {
            return Err(InvalidPackage::FileTitle(title.to_string()));
        } else {
            Reading::File(title)
        };
        package.add(index, reading);
    }
    Ok(package)
}

impl Package {
    fn add(&mut self, layer: usize, reading: Reading) {
        self.parts.push(Part { layer, reading });
    }
}

/// The layers of a manifest none of which has a title.
fn untitled(layers: &[Descriptor], is_image: bool) -> Result<Package, InvalidPackage> {
    let mut package = Package::default();
    for (index, layer) in layers.iter().enumerate() {
        let media_type = layer.media_type.clone();
        match (is_tar(&media_type), is_image) {
            (true, true) => package.add(index, Reading::ImageLayer),
            (true, false) => package.add(index, Reading::Archive),
            (false, true) => return Err(InvalidPackage::ImageLayer { index, media_type }),
            (false, false) => package.left_out.push(media_type),
        }
    }
    if package.parts.is_empty() {
        return Err(InvalidPackage::Unknown(package.left_out));
    }
    Ok(package)
}

/// The title of each layer that has one.
fn titles(layers: &[Descriptor]) -> Result<Vec<Option<EntryPath>>, InvalidPackage> {
    let mut seen = HashMap::new();
    let mut titles = Vec::new();
    for layer in layers {
        let Some(text) = layer.annotations.get(TITLE) else {
            titles.push(None);
            continue;
        };
        let title = EntryPath::parse(text.as_bytes()).map_err(|problem| InvalidPackage::Title {
            title: text.clone(),
            problem,
        })?;
        let same = seen.insert(title.as_str().to_lowercase(), title.to_string());
        match same {
            Some(same) if same == title.to_string() => return Err(InvalidPackage::Duplicate(same)),
            Some(same) => return Err(InvalidPackage::Case(same, title.to_string())),
            None => titles.push(Some(title)),
        }
    }
    Ok(titles)
}

fn is_unpacked(layer: &Descriptor) -> bool {
    layer
        .annotations
        .get(UNPACK)
        .is_some_and(|unpack| unpack == "true")
}

fn is_tar(media_type: &str) -> bool {
    let (kind, _) = media_type.split_once(';').unwrap_or((media_type, ""));
    TAR_TYPES.iter().any(|end| kind.trim_end().ends_with(end))
}

fn is_archive(title: &EntryPath) -> bool {
    TAR_NAMES.iter().any(|end| title.as_str().ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pull::manifest::Document;
    use serde_json::{Value, json};

    const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    const EMPTY: &str = "application/vnd.oci.empty.v1+json";
    const IMAGE: &str = "application/vnd.oci.image.config.v1+json";
    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn layer(media_type: &str, title: Option<&str>, unpack: bool) -> Value {
        let mut annotations = json!({});
        if let Some(title) = title {
            annotations[TITLE] = title.into();
        }
        if unpack {
            annotations[UNPACK] = "true".into();
        }
        json!({"mediaType": media_type, "digest": DIGEST, "size": 0, "annotations": annotations})
    }

    fn package(config: &str, layers: &[Value]) -> Result<Package, InvalidPackage> {
        let manifest = json!({
            "schemaVersion": 2,
            "config": {"mediaType": config, "digest": DIGEST, "size": 0},
            "layers": layers,
        });
        match Document::read(manifest.to_string().as_bytes(), &[]) {
            Ok(Document::Manifest(manifest)) => needed(&manifest),
            other => panic!("{other:?}"),
        }
    }

    fn readings(config: &str, layers: &[Value]) -> Vec<Reading> {
        let parts = package(config, layers).unwrap().parts;
        parts.into_iter().map(|part| part.reading).collect()
    }

    fn file(path: &str) -> Reading {
        Reading::File(EntryPath::parse(path.as_bytes()).unwrap())
    }

    #[test]
    fn titled_layers_are_files_whatever_their_media_type() {
        let tar = "application/vnd.oci.image.layer.v1.tar"; // what oras gives files by default
        let layers = [
            layer(tar, Some("SKILL.md"), false),
            layer(tar, Some("scripts/run.sh"), false),
        ];
        for config in [EMPTY, IMAGE] {
            assert_eq!(
                readings(config, &layers),
                [file("SKILL.md"), file("scripts/run.sh")]
            );
        }
    }

    #[test]
    fn titled_layers_with_the_annotation_are_archives() {
        for title in [".", "my-skill", "skill"] {
            assert_eq!(
                readings(EMPTY, &[layer(GZIP, Some(title), true)]),
                [Reading::Archive]
            );
        }
        let mixed = [
            layer(GZIP, Some("scripts"), true),
            layer("text/markdown", Some("SKILL.md"), false),
        ];
        assert_eq!(
            readings(EMPTY, &mixed),
            [Reading::Archive, file("SKILL.md")]
        );
    }

    #[test]
    fn a_titled_tarball_is_the_skill_where_nothing_else_is() {
        for name in ["skill.tar.gz", "skill.tgz", "skill.tar", "skill.tar.zst"] {
            assert_eq!(
                readings(IMAGE, &[layer(GZIP, Some(name), false)]),
                [Reading::Archive]
            );
        }
        let asset = [
            layer("x", Some("SKILL.md"), false),
            layer("x", Some("assets/x.tgz"), false),
        ];
        assert_eq!(
            readings(EMPTY, &asset),
            [file("SKILL.md"), file("assets/x.tgz")]
        );
        let asset = [
            layer(GZIP, Some("."), true),
            layer("x", Some("x.tgz"), false),
        ];
        assert_eq!(readings(EMPTY, &asset), [Reading::Archive, file("x.tgz")]);
    }

    #[test]
    fn untitled_archives_are_layers_of_an_image_or_archives() {
        for media_type in [
            "application/vnd.agentskills.skill.content.v1.tar+gzip",
            "application/vnd.agent.skill.content.v1.tar+gzip",
            "application/vnd.cncf.flux.content.v1.tar+gzip",
            "application/vnd.oci.image.layer.v1.tar+zstd",
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        ] {
            let layers = [layer(media_type, None, false)];
            assert_eq!(readings(EMPTY, &layers), [Reading::Archive], "{media_type}");
            assert_eq!(
                readings(IMAGE, &layers),
                [Reading::ImageLayer],
                "{media_type}"
            );
        }
    }

    #[test]
    fn what_packs_no_skill_is_refused() {
        assert_eq!(package(EMPTY, &[]), Err(InvalidPackage::Empty));
        let unknown = |kind: &str| Err(InvalidPackage::Unknown(vec![kind.to_owned()]));
        for kind in [
            EMPTY,
            "text/markdown",
            "application/vnd.in-toto+json",
            "tar",
        ] {
            assert_eq!(package(EMPTY, &[layer(kind, None, true)]), unknown(kind));
        }
        let image = package(IMAGE, &[layer(GZIP, None, false), layer("x", None, false)]);
        assert!(matches!(
            image,
            Err(InvalidPackage::ImageLayer { index: 1, .. })
        ));
    }

    #[test]
    fn a_layer_without_a_title_beside_titled_ones_is_left_out() {
        let layers = [layer("x", Some("SKILL.md"), false), layer(GZIP, None, true)];
        let package = package(EMPTY, &layers).unwrap();
        assert_eq!(package.parts.len(), 1);
        assert_eq!(package.left_out, [GZIP]);
    }

    #[test]
    fn titles_stay_below_the_skill() {
        for title in ["../x", "/x", "a/../../x", "..", "", "a\nb", "a\0b"] {
            for unpack in [false, true] {
                let refused = package(EMPTY, &[layer("x", Some(title), unpack)]);
                assert!(
                    matches!(refused, Err(InvalidPackage::Title { .. })),
                    "{title:?}"
                );
            }
        }
        let root = package(EMPTY, &[layer("x", Some("."), false)]);
        assert_eq!(root, Err(InvalidPackage::FileTitle(".".into())));
    }

    #[test]
    fn a_title_is_one_layer() {
        let two = |one: &str, other: &str| {
            package(
                EMPTY,
                &[layer("x", Some(one), false), layer("x", Some(other), true)],
            )
        };
        for (one, other) in [("a", "a"), ("a/b", "./a//b")] {
            let refused = Err(InvalidPackage::Duplicate(one.to_owned()));
            assert_eq!(two(one, other), refused, "{one} {other}");
        }
        let refused = Err(InvalidPackage::Case("SKILL.md".into(), "Skill.md".into()));
        assert_eq!(two("SKILL.md", "Skill.md"), refused);
    }
}
