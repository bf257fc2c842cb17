//! Manifests and indexes, read strictly: what could mean two things to two readers is refused.

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;

use super::digest::Digest;
use crate::json::{self, Object};
use crate::names::Shown;

/// The largest manifest that registries must take, and the largest that is read.
pub const SIZE_MAX: usize = 4 << 20;

/// The most layers of a manifest.
pub const LAYERS_MAX: usize = 128;

/// An OCI image manifest: an image, or any other artifact.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI index of manifests.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's name of the manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's name of the index.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// What stands behind a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// One artifact.
    Manifest(Box<Manifest>),
    /// Several, of which one is to be chosen.
    Index(Index),
}

/// One artifact: an image, or files packed in another way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// What kind of artifact it says that it is. Images say nothing.
    pub artifact_type: Option<String>,
    /// The configuration; its media type says what kind of artifact this is where `artifact_type` does not.
    pub config: Descriptor,
    /// The content, in order. At most [`LAYERS_MAX`].
    pub layers: Vec<Descriptor>,
    /// What is said of the artifact.
    pub annotations: BTreeMap<String, String>,
}

/// Several artifacts, usually the same for several platforms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The artifacts, or indexes of more.
    pub manifests: Vec<Descriptor>,
}

/// A blob or a manifest as another document names it. Its `urls` are not read: content comes from the registry.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// The digest of its content.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
    /// What is said of it.
    #[serde(default, deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
    /// The platform that it is for.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// What kind of artifact it is.
    #[serde(default)]
    pub artifact_type: Option<String>,
}

/// A platform that an image is for.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Platform {
    /// As Go names it: amd64, arm64.
    #[serde(default)]
    pub architecture: String,
    /// As Go names it: linux.
    #[serde(default)]
    pub os: String,
    /// A variant of the architecture, such as v8.
    #[serde(default)]
    pub variant: Option<String>,
}

/// Why a document is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidManifest {
    /// It is too large.
    #[error("the manifest has more than {SIZE_MAX} bytes")]
    Size,
    /// It is not JSON, or a field is not what the specification says.
    #[error("the manifest cannot be read: {0}")]
    Json(String),
    /// It is of a version that is not known.
    #[error(
        "the manifest is of schema version {0}, and only 2 is known; push it anew with a newer client"
    )]
    Version(u64),
    /// It is neither a manifest nor an index.
    #[error("the manifest has neither layers nor manifests")]
    Neither,
    /// It is both.
    #[error(
        "the manifest has both layers and manifests, and means different things to different clients"
    )]
    Both,
    /// It is called something that it is not.
    #[error("the manifest is called {}, and is {what}", Shown(found))]
    MediaType {
        /// What it is called.
        found: String,
        /// What it is.
        what: &'static str,
    },
    /// It is called by two names.
    #[error("the manifest is called both {} and {}", Shown(.0), Shown(.1))]
    Names(String, String),
    /// A manifest without `config`.
    #[error("the manifest has no config")]
    NoConfig,
    /// It has too many layers.
    #[error("the manifest has {0} layers, and at most {LAYERS_MAX} are read")]
    Layers(usize),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    schema_version: Option<u64>,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    config: Option<Object<Descriptor>>,
    #[serde(default)]
    layers: Option<Vec<Object<Descriptor>>>,
    #[serde(default)]
    manifests: Option<Vec<Object<Descriptor>>>,
    #[serde(default, deserialize_with = "or_default")]
    annotations: BTreeMap<String, String>,
}

impl Document {
    /// Reads a document. `called` are the media types that others give it: the answer's content type, the descriptor
    /// in an index.
    ///
    /// # Errors
    /// When it is not what the specification says, or not what it is called.
    pub fn read(content: &[u8], called: &[&str]) -> Result<Self, InvalidManifest> {
        if content.len() > SIZE_MAX {
            return Err(InvalidManifest::Size);
        }
        let Object(raw) = serde_json::from_slice::<Object<Raw>>(content)
            .map_err(|error| InvalidManifest::Json(json::problem(&error)))?;
        match raw.schema_version {
            Some(2) => {}
            other => return Err(InvalidManifest::Version(other.unwrap_or_default())),
        }
        let (what, names) = match (&raw.layers, &raw.manifests) {
            (Some(_), None) => ("a manifest with layers", [OCI_MANIFEST, DOCKER_MANIFEST]),
            (None, Some(_)) => ("an index of manifests", [OCI_INDEX, DOCKER_INDEX]),
            (Some(_), Some(_)) => return Err(InvalidManifest::Both),
            (None, None) => return Err(InvalidManifest::Neither),
        };
        let called = called.iter().copied().filter(|name| is_significant(name));
        let mut own = None;
        for name in raw.media_type.as_deref().into_iter().chain(called) {
            if !names.contains(&name) {
                return Err(InvalidManifest::MediaType {
                    found: name.to_owned(),
                    what,
                });
            }
            let own = *own.get_or_insert(name);
            if own != name {
                return Err(InvalidManifest::Names(own.to_owned(), name.to_owned()));
            }
        }
        if let Some(manifests) = raw.manifests {
            let manifests = manifests.into_iter().map(|Object(one)| one).collect();
            return Ok(Self::Index(Index { manifests }));
        }
        let layers: Vec<_> = raw
            .layers
            .into_iter()
            .flatten()
            .map(|Object(one)| one)
            .collect();
        if layers.len() > LAYERS_MAX {
            return Err(InvalidManifest::Layers(layers.len()));
        }
        let Object(config) = raw.config.ok_or(InvalidManifest::NoConfig)?;
        Ok(Self::Manifest(Box::new(Manifest {
            artifact_type: raw.artifact_type.filter(|kind| !kind.is_empty()),
            config,
            layers,
            annotations: raw.annotations,
        })))
    }
}

/// Whether a content type says anything: some registries call everything JSON, or bytes.
fn is_significant(name: &str) -> bool {
    !matches!(
        name,
        "" | "application/json" | "application/octet-stream" | "text/plain"
    )
}

/// What is null counts as absent.
fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: serde::Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn descriptor(media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": Digest::of(b"").as_str(), "size": 0, "urls": ["https://evil.example/"]})
    }

    fn manifest() -> Value {
        json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": "application/vnd.kagents.skill.v1",
            "config": descriptor("application/vnd.oci.empty.v1+json"),
            "layers": [descriptor("text/markdown")],
            "annotations": {"a": "b"},
        })
    }

    fn read(document: &Value) -> Result<Document, InvalidManifest> {
        Document::read(document.to_string().as_bytes(), &[])
    }

    fn with(field: &str, value: Value) -> Value {
        let mut document = manifest();
        document[field] = value;
        document
    }

    #[test]
    fn a_manifest_is_read() {
        let Ok(Document::Manifest(read)) = read(&manifest()) else {
            panic!("it is a manifest")
        };
        assert_eq!(
            read.artifact_type.as_deref(),
            Some("application/vnd.kagents.skill.v1")
        );
        assert_eq!(read.layers.len(), 1);
        assert_eq!(read.layers[0].media_type, "text/markdown");
        assert_eq!(read.annotations["a"], "b");
        for empty in ["annotations", "mediaType", "artifactType"] {
            assert!(
                super::tests::read(&with(empty, json!(null))).is_ok(),
                "{empty}"
            );
        }
    }

    #[test]
    fn an_index_is_read() {
        let mut one = descriptor(OCI_MANIFEST);
        one["platform"] = json!({"architecture": "arm64", "os": "linux", "variant": "v8"});
        let index = json!({"schemaVersion": 2, "manifests": [one, descriptor(OCI_MANIFEST)]});
        let Ok(Document::Index(index)) = read(&index) else {
            panic!("it is an index")
        };
        let platform = index.manifests[0].platform.as_ref().unwrap();
        assert_eq!(platform.architecture, "arm64");
        assert_eq!(index.manifests[1].platform, None);
    }

    #[test]
    fn what_means_two_things_is_refused() {
        let refused = [
            (with("manifests", json!([])), InvalidManifest::Both),
            (with("layers", json!(null)), InvalidManifest::Neither),
            (with("schemaVersion", json!(1)), InvalidManifest::Version(1)),
            (
                with("schemaVersion", json!(null)),
                InvalidManifest::Version(0),
            ),
            (with("config", json!(null)), InvalidManifest::NoConfig),
            (
                with("layers", json!(vec![descriptor("x"); 129])),
                InvalidManifest::Layers(129),
            ),
        ];
        for (document, problem) in refused {
            assert_eq!(read(&document), Err(problem));
        }
        let twice = manifest().to_string().replacen('{', r#"{"layers":[],"#, 1);
        assert!(matches!(
            Document::read(twice.as_bytes(), &[]),
            Err(InvalidManifest::Json(_))
        ));
        for bad in ["", "[]", "[2]", "7", "{", "\u{0}"] {
            assert!(matches!(
                Document::read(bad.as_bytes(), &[]),
                Err(InvalidManifest::Json(_))
            ));
        }
        for field in [json!([1]), json!({"mediaType": "x"}), json!(7)] {
            assert!(read(&with("config", field.clone())).is_err(), "{field}");
        }
    }

    #[test]
    fn a_manifest_is_what_it_is_called() {
        let bytes = manifest().to_string();
        let read = |called: &[&str]| Document::read(bytes.as_bytes(), called);
        assert!(read(&[OCI_MANIFEST, OCI_MANIFEST]).is_ok());
        assert!(read(&["application/json"]).is_ok());
        for bad in [OCI_INDEX, DOCKER_MANIFEST, "text/html"] {
            let refused = read(&[bad]);
            assert!(refused.is_err(), "{bad}");
        }
        assert!(matches!(
            super::tests::read(&with("mediaType", json!(OCI_INDEX))),
            Err(InvalidManifest::MediaType { .. })
        ));
    }

    #[test]
    fn a_manifest_of_more_than_4_mib_is_not_read() {
        assert_eq!(
            Document::read(&vec![b' '; SIZE_MAX + 1], &[]),
            Err(InvalidManifest::Size)
        );
    }

    #[test]
    fn a_digest_is_not_shown_where_it_is_none() {
        let mut layer = descriptor("x");
        layer["digest"] = json!("sha256:hunter2");
        let problem = read(&with("layers", json!([layer]))).unwrap_err();
        assert!(!problem.to_string().contains("hunter2"), "{problem}");
    }
}
