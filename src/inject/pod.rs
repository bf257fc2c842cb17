//! The parts of a Pod that injection looks at, borrowed from the JSON that came.
//!
//! This is a view and never written back: a patch is made against the JSON itself, so that fields which this view
//! does not know survive byte for byte.

mod read;

use std::borrow::Cow;

use crate::api::MIRROR_ANNOTATION;
use crate::json::reader::Unread;

/// A Pod, or the Pod template of a workload.
#[derive(Debug, Default)]
pub struct Pod<'a> {
    /// `kind`, which a template has not.
    pub kind: Option<&'a str>,
    /// `metadata`
    pub metadata: Metadata<'a>,
    /// `spec`
    pub spec: Spec<'a>,
}

/// `metadata`
#[derive(Debug, Default)]
pub struct Metadata<'a> {
    /// The name, which is empty where the API server makes one.
    pub name: Option<&'a str>,
    /// What the API server makes a name from.
    pub generate_name: Option<&'a str>,
    /// The namespace.
    pub namespace: Option<&'a str>,
    /// The labels.
    pub labels: Option<Pairs<'a>>,
    /// The annotations.
    pub annotations: Option<Pairs<'a, Unread<'a>>>,
}

/// `spec`
#[derive(Debug, Default)]
pub struct Spec<'a> {
    /// `containers`
    pub containers: Option<Vec<Container<'a>>>,
    /// `initContainers`
    pub init_containers: Option<Vec<Container<'a>>>,
    /// `volumes`
    pub volumes: Option<Vec<Volume<'a>>>,
    /// `imagePullSecrets`
    pub image_pull_secrets: Option<Vec<Named<'a>>>,
    /// `restartPolicy`
    pub restart_policy: Option<&'a str>,
    /// `os`
    pub os: Option<Named<'a>>,
    /// `nodeSelector`
    pub node_selector: Option<Pairs<'a>>,
    /// `hostNetwork`
    pub host_network: Option<bool>,
    /// `securityContext`
    pub security_context: Option<SecurityContext>,
}

/// A container or init container.
#[derive(Debug, Default)]
pub struct Container<'a> {
    /// `name`
    pub name: &'a str,
    /// `image`
    pub image: Option<&'a str>,
    /// `command`
    pub command: Option<Vec<&'a str>>,
    /// `args`
    pub args: Option<Vec<&'a str>>,
    /// `restartPolicy`, which makes an init container a sidecar when it is `Always`.
    pub restart_policy: Option<&'a str>,
    /// `securityContext`
    pub security_context: Option<SecurityContext>,
    /// `volumeMounts`
    pub volume_mounts: Option<Vec<Mount<'a>>>,
}

/// The user of a Pod or container.
#[derive(Clone, Copy, Debug, Default)]
pub struct SecurityContext {
    /// `runAsUser`
    pub run_as_user: Option<i64>,
}

/// `volumeMounts[]`
#[derive(Debug, Default)]
pub struct Mount<'a> {
    /// The volume's name.
    pub name: &'a str,
    /// Where it is mounted.
    pub mount_path: &'a str,
}

/// Anything that has a name.
#[derive(Debug, Default)]
pub struct Named<'a> {
    /// `name`
    pub name: Option<&'a str>,
}

/// `volumes[]`: a name, and one more key that tells the kind of its source.
#[derive(Debug, Default)]
pub struct Volume<'a> {
    /// `name`
    pub name: &'a str,
    /// The key of the source, `emptyDir` for example; empty where there is none.
    pub kind: &'a str,
    /// The name of the `ConfigMap`, when the source is one.
    pub config_map: Option<&'a str>,
    /// Whether the source says which keys of the `ConfigMap` become which files.
    pub has_items: bool,
    /// The reference of the OCI image, when the source is one.
    pub image: Option<&'a str>,
}

impl<'a> Pod<'a> {
    /// The value of a label.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        let labels = self.metadata.labels.as_ref()?;
        labels.get(key).copied()
    }

    /// The value of an annotation.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<Cow<'a, str>> {
        let annotations = self.metadata.annotations.as_ref()?;
        annotations.get(key).map(|value| value.string())
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
        all.any(|container| container.name == name)
    }

    /// The volume of this name.
    #[must_use]
    pub fn volume(&self, name: &str) -> Option<&Volume<'a>> {
        self.spec
            .volumes
            .iter()
            .flatten()
            .find(|volume| volume.name == name)
    }

    /// Whether this is the API server's picture of a static Pod, which the kubelet made already.
    #[must_use]
    pub fn is_mirror(&self) -> bool {
        self.annotation(MIRROR_ANNOTATION).is_some()
    }

    /// Whether the Pod says that it runs on Windows.
    #[must_use]
    pub fn is_windows(&self) -> bool {
        let os = self.spec.os.as_ref().and_then(|os| os.name);
        let selected = self
            .spec
            .node_selector
            .as_ref()
            .and_then(|labels| labels.get("kubernetes.io/os"));
        os == Some("windows") || selected == Some(&"windows")
    }

    /// What to call the Pod in a message.
    #[must_use]
    pub fn display_name(&self) -> &str {
        let names = [self.metadata.name, self.metadata.generate_name];
        names
            .into_iter()
            .flatten()
            .find(|name| !name.is_empty())
            .unwrap_or_default()
    }
}

impl Container<'_> {
    /// Whether this init container is a native sidecar.
    #[must_use]
    pub fn is_sidecar(&self) -> bool {
        self.restart_policy == Some("Always")
    }

    /// `volumeMounts`
    pub fn mounts(&self) -> impl Iterator<Item = &Mount<'_>> {
        self.volume_mounts.iter().flatten()
    }

    /// The command and its arguments.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        let words = self.command.iter().chain(&self.args).flatten();
        words.copied()
    }
}

/// A map from string to string, in the order that it came in. A key that comes twice counts by its last value, as the
/// API server reads it.
#[derive(Debug, Default)]
pub struct Pairs<'a, V = &'a str>(Vec<(&'a str, V)>);

impl<V> Pairs<'_, V> {
    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&V> {
        self.0
            .iter()
            .rev()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use bumpalo::Bump;

    use super::*;
    use crate::json::reader::{Error, Reader};

    fn read(text: &str) -> Result<Pod<'_>, Error> {
        Pod::read(&mut Reader::new(text, Box::leak(Box::default())))
    }

    fn pod(text: &str) -> Pod<'_> {
        read(text).unwrap()
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
    fn strings_are_copied_where_they_have_escapes() {
        let labels = |labels: &str| format!(r#"{{"metadata": {{"labels": {labels}}}}}"#);
        for (text, value, is_copied) in [
            (labels(r#"{"a": "b"}"#), "b", false),
            (labels(r#"{"a": "\u0061\"b"}"#), "a\"b", true),
            (labels(r#"{"\u0061": "b"}"#), "b", true),
        ] {
            let arena = Bump::new();
            let pod = Pod::read(&mut Reader::new(&text, &arena)).unwrap();
            assert_eq!(pod.label("a"), Some(value));
            assert_eq!(arena.allocated_bytes() > 0, is_copied, "{text}");
        }
    }

    #[test]
    fn annotations_are_read_when_they_are_asked_for() {
        let pod = pod(
            r#"{"metadata": {"annotations": {"plain": "a", "escaped": "\u0061\"b", "null": null, "half": "a\ud83d", "plain": "b\"\\"}}}"#,
        );
        for (key, value) in [
            ("plain", "b\"\\"),
            ("escaped", "a\"b"),
            ("null", ""),
            ("half", r"a\ud83d"),
        ] {
            assert_eq!(pod.annotation(key).as_deref(), Some(value), "{key}");
        }
        assert_eq!(pod.annotation("other"), None);
        for text in ["7", "[]", r#""a"#, r#""\x""#] {
            let text = format!(r#"{{"metadata": {{"annotations": {{"a": {text}}}}}}}"#);
            assert!(read(&text).is_err(), "{text}");
        }
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
            .map(|volume| volume.kind)
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
        assert_eq!(pod.volume("b").unwrap().config_map, Some("c"));
        let with_items = ["b", "g"].map(|name| pod.volume(name).unwrap().has_items);
        assert_eq!(with_items, [false, true]);
        assert_eq!(pod.volume("f").unwrap().image, Some("x/y:1"));
    }

    #[test]
    fn what_is_looked_at_and_comes_twice_is_refused() {
        for text in [
            r#"{"spec": {}, "spec": {}}"#,
            r#"{"metadata": {"labels": {}, "labels": {}}}"#,
            r#"{"spec": {"containers": [], "containers": []}}"#,
            r#"{"spec": {"containers": [{"name": "a", "name": "a"}]}}"#,
            r#"{"spec": {"containers": [{"volumeMounts": [{"mountPath": "a", "mountPath": "a"}]}]}}"#,
            r#"{"spec": {"volumes": [{"name": "a", "name": "a"}]}}"#,
        ] {
            let problem = read(text).unwrap_err();
            assert!(
                problem.what().ends_with(" comes twice"),
                "{text}: {problem}"
            );
        }
        pod(r#"{"status": 1, "status": 1, "spec": {"tolerations": 1, "tolerations": 1}}"#);
    }

    #[test]
    fn managed_fields_of_any_shape_are_skipped() {
        for fields in [
            "null",
            "7",
            "[7]",
            r#"[{"fieldsV1": null}]"#,
            r#"[{"fieldsV1": {"f:spec": {}}}]"#,
        ] {
            let text = format!(r#"{{"metadata": {{"managedFields": {fields}, "name": "a"}}}}"#);
            assert_eq!(pod(&text).display_name(), "a");
        }
        let text = r#"{"metadata": {"managedFields": [{"fieldsV1": {"f:spec": }}]}}"#;
        assert!(read(text).is_err());
    }
}
