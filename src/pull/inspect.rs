//! What a reference names, and which ways of delivery can make a skill of it. Pure.
//!
//! The manifest and an image's configuration tell; layers are not looked into.

use serde::{Deserialize, Serialize};

use super::artifact::Artifact;
use super::manifest::{Descriptor, Manifest};
use super::package::{IMAGE_CONFIGS, Reading, TAR_TYPES, TITLE, UNPACK, needed};
use super::select::SKILL_MD;
use crate::inject::delivery::Delivery;
use crate::names::{Listed, Shown};

/// What a reference names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// The digest that it stands for.
    pub digest: String,
    /// Whether it is an image, or another artifact.
    pub kind: Kind,
    /// How many manifests its index has, if it names one.
    pub index: Option<usize>,
    /// What kind of artifact it says that it is.
    pub artifact_type: Option<String>,
    /// How many layers it has.
    pub layers: usize,
    /// How many bytes these have, packed.
    pub bytes: u64,
    /// How the skill is packed, if it is.
    pub packing: Option<&'static str>,
    /// What each way of delivery can do with it.
    pub deliveries: [Verdict; 3],
}

/// What an artifact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A container image.
    Image,
    /// Any other artifact.
    Artifact,
}

/// What one way of delivery can do with an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The way.
    pub delivery: Delivery,
    /// Why it cannot deliver it; nothing where it can.
    pub problem: Option<String>,
}

/// What is needed of an image's configuration.
#[derive(Debug, Deserialize)]
pub struct ImageConfig {
    rootfs: RootFs,
}

#[derive(Debug, Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<String>,
}

/// Whether an artifact calls itself an image: then its configuration is worth reading.
#[must_use]
pub fn is_image(manifest: &Manifest) -> bool {
    IMAGE_CONFIGS.contains(&manifest.config.media_type.as_str())
}

impl Inspection {
    /// Judges an artifact. `config` is its configuration, if it is an image's and can be read.
    #[must_use]
    pub fn of(artifact: &Artifact, config: Option<&ImageConfig>) -> Self {
        let manifest = &artifact.manifest;
        let package = needed(manifest);
        let verdict = |delivery, problem| Verdict { delivery, problem };
        // Images and Helm charts say what they are by their configuration.
        let config_type =
            Some(&manifest.config.media_type).filter(|kind| !kind.contains(".empty."));
        Self {
            digest: artifact.digest.to_string(),
            kind: if is_image(manifest) {
                Kind::Image
            } else {
                Kind::Artifact
            },
            index: artifact.index,
            artifact_type: manifest.artifact_type.as_ref().or(config_type).cloned(),
            layers: manifest.layers.len(),
            bytes: manifest
                .layers
                .iter()
                .fold(0, |sum: u64, layer| sum.saturating_add(layer.size)),
            packing: package.as_ref().ok().map(|package| {
                let has = |wanted: fn(&Reading) -> bool| {
                    package.parts.iter().any(|part| wanted(&part.reading))
                };
                let files = has(|reading| matches!(reading, Reading::File(_)));
                let image = has(|reading| matches!(reading, Reading::ImageLayer));
                match (files, image, package.parts.len()) {
                    (_, true, _) => "layers of an image",
                    (true, false, _) if has(|reading| matches!(reading, Reading::Archive)) => {
                        "files and archives"
                    }
                    (true, false, _) => "files",
                    (false, false, 1) => "an archive",
                    (false, false, _) => "archives",
                }
            }),
            deliveries: [
                verdict(Delivery::Oras, oras(artifact)),
                verdict(
                    Delivery::Puller,
                    package.err().map(|problem| problem.to_string()),
                ),
                verdict(Delivery::Image, image(manifest, config)),
            ],
        }
    }

    /// Whether a way of delivery can make a skill of it.
    #[must_use]
    pub fn is_possible(&self, delivery: Delivery) -> bool {
        let mut verdicts = self.deliveries.iter();
        verdicts.any(|verdict| verdict.delivery == delivery && verdict.problem.is_none())
    }
}

/// Why `oras pull` does not give a skill's directory.
fn oras(artifact: &Artifact) -> Option<String> {
    if artifact.index.is_some_and(|manifests| manifests > 1) {
        return Some(
            "it is an index, and oras pulls what is for every platform at once".to_owned(),
        );
    }
    let title = |layer: &Descriptor| layer.annotations.get(TITLE).cloned().unwrap_or_default();
    let is_unpacked = |layer: &Descriptor| {
        layer
            .annotations
            .get(UNPACK)
            .is_some_and(|value| value == "true")
    };
    let titled: Vec<_> = artifact
        .manifest
        .layers
        .iter()
        .filter(|layer| !title(layer).is_empty())
        .collect();
    let found = titled.iter().any(|layer| match title(layer).as_str() {
        "." | "./" => is_unpacked(layer),
        other => other == SKILL_MD && !is_unpacked(layer),
    });
    if found {
        return None;
    }
    if titled.is_empty() {
        return Some(
            "its layers have no title: oras skips them, and succeeds with an empty directory"
                .to_owned(),
        );
    }
    let nested = titled.iter().find(|layer| is_unpacked(layer));
    Some(match nested {
        Some(layer) => format!(
            "the skill would come out below {}, where no agent looks for it; push it with `oras push REF .` from inside its directory",
            Shown(&title(layer))
        ),
        None => format!(
            "oras would write {} and no {SKILL_MD}",
            Listed(titled.iter().map(|layer| format!("{:?}", title(layer))))
        ),
    })
}

/// Why it cannot be mounted as an image.
fn image(manifest: &Manifest, config: Option<&ImageConfig>) -> Option<String> {
    if !is_image(manifest) {
        return Some("it is no image, and only images can be mounted".to_owned());
    }
    let Some(config) = config else {
        return Some("its configuration cannot be read, as an image's could".to_owned());
    };
    let (layers, unpacked) = (manifest.layers.len(), config.rootfs.diff_ids.len());
    if layers != unpacked {
        return Some(format!(
            "it has {layers} layers and its configuration names {unpacked}: it calls itself an image and is none"
        ));
    }
    let is_tar = |layer: &&Descriptor| TAR_TYPES.iter().any(|end| layer.media_type.ends_with(end));
    let other = manifest.layers.iter().find(|layer| !is_tar(layer))?;
    Some(format!(
        "it has a layer that is no tar archive, but {}",
        Shown(&other.media_type)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pull::digest::Digest;
    use crate::pull::manifest::Document;
    use serde_json::{Value, json};

    const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    const TAR: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

    fn inspect(
        config: &str,
        layers: &[Value],
        diff_ids: usize,
        index: Option<usize>,
    ) -> Inspection {
        let digest = Digest::of(b"");
        let descriptor = |media_type: &str, annotations: &Value| json!({"mediaType": media_type, "digest": digest.as_str(), "size": 10, "annotations": annotations});
        let layers: Vec<_> = layers
            .iter()
            .map(|layer| descriptor(layer["type"].as_str().unwrap(), &layer["annotations"]))
            .collect();
        let manifest =
            json!({"schemaVersion": 2, "config": descriptor(config, &json!({})), "layers": layers});
        let Ok(Document::Manifest(manifest)) = Document::read(manifest.to_string().as_bytes(), &[])
        else {
            panic!("it is a manifest")
        };
        let config = is_image(&manifest).then(|| ImageConfig {
            rootfs: RootFs {
                diff_ids: vec![String::new(); diff_ids],
            },
        });
        let artifact = Artifact {
            digest,
            index,
            manifest: *manifest,
        };
        Inspection::of(&artifact, config.as_ref())
    }

    fn titled(title: &str, unpack: bool) -> Value {
        json!({"type": TAR, "annotations": {TITLE: title, UNPACK: unpack.to_string()}})
    }

    fn possible(inspection: &Inspection) -> [bool; 3] {
        [Delivery::Oras, Delivery::Puller, Delivery::Image]
            .map(|delivery| inspection.is_possible(delivery))
    }

    #[test]
    fn each_way_of_packing_has_its_ways_of_delivery() {
        let empty = "application/vnd.oci.empty.v1+json";
        let untitled = json!({"type": TAR, "annotations": {}});
        let cases = [
            (
                empty,
                vec![titled(".", true)],
                0,
                "an archive",
                [true, true, false],
            ),
            (
                empty,
                vec![titled("web", true)],
                0,
                "an archive",
                [false, true, false],
            ),
            (
                empty,
                vec![titled("SKILL.md", false), titled("x.sh", false)],
                0,
                "files",
                [true, true, false],
            ),
            (
                empty,
                vec![titled("skill.tar.gz", false)],
                0,
                "an archive",
                [false, true, false],
            ),
            (
                empty,
                vec![untitled.clone()],
                0,
                "an archive",
                [false, true, false],
            ),
            (
                OCI_CONFIG,
                vec![untitled.clone(); 2],
                2,
                "layers of an image",
                [false, true, true],
            ),
            (
                OCI_CONFIG,
                vec![untitled.clone(); 2],
                1,
                "layers of an image",
                [false, true, false],
            ),
        ];
        for (config, layers, diff_ids, packing, expected) in cases {
            let inspection = inspect(config, &layers, diff_ids, None);
            assert_eq!(inspection.packing, Some(packing), "{layers:?}");
            assert_eq!(possible(&inspection), expected, "{inspection:?}");
        }
        let unknown = json!({"type": "text/plain", "annotations": {}});
        assert_eq!(possible(&inspect(empty, &[unknown], 0, None)), [false; 3]);
        assert_eq!(
            possible(&inspect(empty, &[titled(".", true)], 0, Some(2))),
            [false, true, false]
        );
        assert_eq!(
            possible(&inspect(empty, &[titled(".", true)], 0, Some(1))),
            [true, true, false]
        );
    }

    #[test]
    fn what_cannot_be_is_said_with_what_to_do() {
        let nested = inspect("x", &[titled("web", true)], 0, None);
        let problem = nested.deliveries[0].problem.as_deref().unwrap();
        assert!(
            problem.contains("below \"web\"") && problem.contains("oras push REF ."),
            "{problem}"
        );
    }
}
