//! The parts of a Pod that injection looks at, borrowed from the JSON that came.
//!
//! This is a view and never written back: a patch is made against the JSON itself, so that fields which this view
//! does not know survive byte for byte.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::api::MIRROR_ANNOTATION;
use crate::json::Object;

/// A Pod, or the Pod template of a workload.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod<'a> {
    /// `kind`, which a template has not.
    #[serde(borrow)]
    pub kind: Option<Str<'a>>,
    /// `metadata`
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub metadata: Metadata<'a>,
    /// `spec`
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub spec: Spec<'a>,
}

/// `metadata`
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata<'a> {
    /// The name, which is empty where the API server makes one.
    #[serde(borrow)]
    pub name: Option<Str<'a>>,
    /// What the API server makes a name from.
    #[serde(borrow)]
    pub generate_name: Option<Str<'a>>,
    /// The namespace.
    #[serde(borrow)]
    pub namespace: Option<Str<'a>>,
    /// The labels.
    #[serde(borrow, default)]
    pub labels: Option<Pairs<'a>>,
    /// The annotations.
    #[serde(borrow, default)]
    pub annotations: Option<Pairs<'a>>,
}

/// `spec`
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec<'a> {
    /// `containers`
    #[serde(borrow, default)]
    pub containers: Option<Vec<Container<'a>>>,
    /// `initContainers`
    #[serde(borrow, default)]
    pub init_containers: Option<Vec<Container<'a>>>,
    /// `volumes`
    #[serde(borrow, default)]
    pub volumes: Option<Vec<Volume<'a>>>,
    /// `imagePullSecrets`
    #[serde(borrow, default)]
    pub image_pull_secrets: Option<Vec<Named<'a>>>,
    /// `restartPolicy`
    #[serde(borrow)]
    pub restart_policy: Option<Str<'a>>,
    /// `os`
    #[serde(borrow)]
    pub os: Option<Named<'a>>,
    /// `nodeSelector`
    #[serde(borrow, default)]
    pub node_selector: Option<Pairs<'a>>,
    /// `hostNetwork`
    pub host_network: Option<bool>,
    /// `securityContext`
    pub security_context: Option<SecurityContext>,
}

/// A container or init container.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container<'a> {
    /// `name`
    #[serde(borrow, default)]
    pub name: Str<'a>,
    /// `image`
    #[serde(borrow)]
    pub image: Option<Str<'a>>,
    /// `command`
    #[serde(borrow, default)]
    pub command: Option<Vec<Str<'a>>>,
    /// `args`
    #[serde(borrow, default)]
    pub args: Option<Vec<Str<'a>>>,
    /// `restartPolicy`, which makes an init container a sidecar when it is `Always`.
    #[serde(borrow)]
    pub restart_policy: Option<Str<'a>>,
    /// `securityContext`
    pub security_context: Option<SecurityContext>,
    /// `volumeMounts`
    #[serde(borrow, default)]
    pub volume_mounts: Option<Vec<Mount<'a>>>,
}

/// The user of a Pod or container.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityContext {
    /// `runAsUser`
    pub run_as_user: Option<i64>,
}

/// `volumeMounts[]`
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount<'a> {
    /// The volume's name.
    #[serde(borrow, default)]
    pub name: Str<'a>,
    /// Where it is mounted.
    #[serde(borrow, default)]
    pub mount_path: Str<'a>,
}

/// Anything that has a name.
#[derive(Debug, Default, Deserialize)]
pub struct Named<'a> {
    /// `name`
    #[serde(borrow, default)]
    pub name: Option<Str<'a>>,
}

/// `volumes[].configMap`
#[derive(Debug, Default, Deserialize)]
struct ConfigMapSource<'a> {
    #[serde(borrow, default)]
    name: Option<Str<'a>>,
    #[serde(default)]
    items: Option<IgnoredAny>,
}

/// `volumes[].image`
#[derive(Debug, Default, Deserialize)]
struct ImageSource<'a> {
    #[serde(borrow, default)]
    reference: Option<Str<'a>>,
}

/// `volumes[]`: a name, and one more key that tells the kind of its source.
#[derive(Debug, Default)]
pub struct Volume<'a> {
    /// `name`
    pub name: Str<'a>,
    /// The key of the source, `emptyDir` for example; empty where there is none.
    pub kind: Str<'a>,
    /// The name of the `ConfigMap`, when the source is one.
    pub config_map: Option<Str<'a>>,
    /// Whether the source says which keys of the `ConfigMap` become which files.
    pub has_items: bool,
    /// The reference of the OCI image, when the source is one.
    pub image: Option<Str<'a>>,
}

impl<'a> Pod<'a> {
    /// The value of a label.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata.labels.as_ref()?.get(key)
    }

    /// The value of an annotation.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(key)
    }

    /// `spec.containers`
    #[must_use]
    pub fn containers(&self) -> &[Container<'a>] {
        self.spec.containers.as_deref().unwrap_or_default()
    }

    /// `spec.initContainers`
    #[must_use]
    pub fn init_containers(&self) -> &[Container<'a>] {
        self.spec.init_containers.as_deref().unwrap_or_default()
    }

    /// Whether a container or init container has this name.
    #[must_use]
    pub fn has_container(&self, name: &str) -> bool {
        let mut all = self.containers().iter().chain(self.init_containers());
        all.any(|container| &*container.name == name)
    }

    /// The volume of this name.
    #[must_use]
    pub fn volume(&self, name: &str) -> Option<&Volume<'a>> {
        self.spec
            .volumes
            .iter()
            .flatten()
            .find(|volume| &*volume.name == name)
    }

    /// Whether this is the API server's picture of a static Pod, which the kubelet made already.
    #[must_use]
    pub fn is_mirror(&self) -> bool {
        self.annotation(MIRROR_ANNOTATION).is_some()
    }

    /// Whether the Pod says that it runs on Windows.
    #[must_use]
    pub fn is_windows(&self) -> bool {
        let os = self.spec.os.as_ref().and_then(|os| os.name.as_deref());
        let selected = self
            .spec
            .node_selector
            .as_ref()
            .and_then(|labels| labels.get("kubernetes.io/os"));
        os == Some("windows") || selected == Some("windows")
    }

    /// What to call the Pod in a message.
    #[must_use]
    pub fn display_name(&self) -> &str {
        let names = [&self.metadata.name, &self.metadata.generate_name];
        names
            .into_iter()
            .flatten()
            .map(|name| &**name)
            .find(|name| !name.is_empty())
            .unwrap_or_default()
    }
}

impl Container<'_> {
    /// Whether this init container is a native sidecar.
    #[must_use]
    pub fn is_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }

    /// `volumeMounts`
    pub fn mounts(&self) -> impl Iterator<Item = &Mount<'_>> {
        self.volume_mounts.iter().flatten()
    }

    /// The command and its arguments.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        let words = self.command.iter().chain(&self.args).flatten();
        words.map(|word| &**word)
    }
}

/// A string, borrowed where the JSON has no escapes in it. `null` is the empty string, as the API server reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Str<'a>(Cow<'a, str>);

impl Deref for Str<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Str<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StrVisitor;

        impl<'de> Visitor<'de> for StrVisitor {
            type Value = Str<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Str(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Str(Cow::Owned(text.to_owned())))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(Str::default())
            }
        }

        deserializer.deserialize_any(StrVisitor)
    }
}

/// A map from string to string, in the order that it came in. A key that comes twice counts by its last value, as the
/// API server reads it.
#[derive(Debug, Default)]
pub struct Pairs<'a>(Vec<(Str<'a>, Str<'a>)>);

impl Pairs<'_> {
    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(name, _)| &**name == key)
            .map(|(_, value)| &**value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;

        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(map.size_hint().unwrap_or(8));
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(PairsVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Volume<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VolumeVisitor;

        impl<'de> Visitor<'de> for VolumeVisitor {
            type Value = Volume<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a volume")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut volume = Volume::default();
                while let Some(key) = map.next_key::<Str<'de>>()? {
                    match &*key {
                        "name" => volume.name = map.next_value()?,
                        "configMap" => {
                            let source: Option<ConfigMapSource<'de>> = map.next_value()?;
                            if let Some(source) = source {
                                volume.kind = key;
                                volume.config_map = source.name;
                                volume.has_items = source.items.is_some();
                            }
                        }
                        "image" => {
                            let source: Option<ImageSource<'de>> = map.next_value()?;
                            if let Some(source) = source {
                                volume.kind = key;
                                volume.image = source.reference;
                            }
                        }
                        _ => {
                            if map.next_value::<Option<IgnoredAny>>()?.is_some() {
                                volume.kind = key;
                            }
                        }
                    }
                }
                Ok(volume)
            }
        }

        deserializer.deserialize_map(VolumeVisitor)
    }
}

/// `null` where an object is expected is an absent object, as the API server reads it.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    let object: Option<Object<T>> = Option::deserialize(deserializer)?;
    Ok(object.map(|Object(value)| value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(text: &str) -> Pod<'_> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn absent_null_and_empty_are_the_same() {
        for text in [
            "{}",
            r#"{"metadata": null, "spec": null}"#,
            r#"{"metadata": {}, "spec": {}}"#,
            r#"{"metadata": {"labels": null, "annotations": {}}, "spec": {"containers": null, "volumes": [], "initContainers": null}}"#,
        ] {
            let pod = pod(text);
            assert!(
                pod.containers().is_empty() && pod.init_containers().is_empty(),
                "{text}"
            );
            assert_eq!(pod.label("x"), None);
            assert!(!pod.is_windows() && !pod.is_mirror());
        }
    }

    #[test]
    fn strings_are_borrowed_unless_they_have_escapes() {
        let pod = pod(r#"{"metadata": {"labels": {"plain": "a", "escaped": "\u0061\"b"}}}"#);
        assert_eq!(pod.label("plain"), Some("a"));
        assert_eq!(pod.label("escaped"), Some("a\"b"));
        let borrowed = |(_, value): &(Str<'_>, Str<'_>)| matches!(value.0, Cow::Borrowed(_));
        let labels = pod.metadata.labels.unwrap().0;
        assert_eq!(
            labels.iter().map(borrowed).collect::<Vec<_>>(),
            [true, false]
        );
    }

    #[test]
    fn a_volume_is_known_by_the_kind_of_its_source() {
        let pod = pod(r#"{"spec": {"volumes": [
            {"name": "a", "emptyDir": {}}, {"configMap": {"name": "c"}, "name": "b"}, {"name": "d", "emptyDir": null, "futureKind": {"x": [1]}}, {"name": "e"},
            {"name": "f", "image": {"pullPolicy": "Always", "reference": "x/y:1"}},
            {"name": "g", "configMap": {"items": [{"key": "k", "path": "p"}], "name": "c"}}
        ]}}"#);
        let kinds: Vec<_> = pod
            .spec
            .volumes
            .iter()
            .flatten()
            .map(|volume| &*volume.kind)
            .collect();
        assert_eq!(
            kinds,
            [
                "emptyDir",
                "configMap",
                "futureKind",
                "",
                "image",
                "configMap"
            ]
        );
        assert_eq!(pod.volume("b").unwrap().config_map.as_deref(), Some("c"));
        let with_items = ["b", "g"].map(|name| pod.volume(name).unwrap().has_items);
        assert_eq!(with_items, [false, true]);
        assert_eq!(pod.volume("f").unwrap().image.as_deref(), Some("x/y:1"));
    }
}
