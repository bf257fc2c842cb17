//! Manifests, as kubectl makes them from what is shipped.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use agentteam_webhook::yaml;
use serde_json::Value;
use similar::TextDiff;
use tempfile::TempDir;

use crate::rig::Rig;

/// A place in this repository.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The objects in YAML documents, in their order.
pub fn objects(text: &str) -> Vec<Value> {
    let documents = yaml::documents(text).into_iter();
    documents
        .map(|document| document.parse().expect("it is YAML"))
        .filter(|object: &Value| !object.is_null())
        .collect()
}

/// What `kubectl kustomize` makes of a directory.
pub fn kustomize(rig: &Rig, directory: &Path) -> Vec<Value> {
    let directory = directory.display().to_string();
    objects(&rig.kubectl(&["kustomize", &directory], "").success())
}

/// A kustomization such as a person has of their own: a base or an overlay of ours, with components of ours.
pub fn own_kustomization(resource: &str, components: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut text = format!("resources: [{}]\ncomponents:\n", relative(&dir, resource));
    for component in components {
        let component = relative(&dir, &format!("manifests/components/{component}"));
        writeln!(text, "  - {component}").unwrap();
    }
    std::fs::write(dir.path().join("kustomization.yaml"), text).unwrap();
    dir
}

/// The way to a place in this repository: a kustomization takes no absolute path.
pub fn relative(from: &TempDir, name: &str) -> String {
    let from = from.path().canonicalize().unwrap();
    let up = "../".repeat(from.components().count() - 1);
    let target = path(name).canonicalize().unwrap();
    format!("{up}{}", target.strip_prefix("/").unwrap().display())
}

/// That two renderings hold the same objects; in which order does not matter.
#[track_caller]
pub fn assert_same(found: &[Value], expected: &[Value]) {
    let [found, expected] = [found, expected].map(|objects| {
        let keyed: BTreeMap<_, _> = objects.iter().map(|object| (key(object), object)).collect();
        assert_eq!(keyed.len(), objects.len(), "an object comes twice");
        keyed
    });
    let names = |objects: &BTreeMap<String, &Value>| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&expected));
    for (name, object) in found {
        let [found, expected] =
            [object, expected[&name]].map(|object| yaml::to_string(&sorted(object)));
        let difference = TextDiff::from_lines(&expected, &found);
        assert!(found == expected, "{name}:\n{}", difference.unified_diff());
    }
}

/// The same with the keys of every map in order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields.iter().collect();
            let fields = fields.into_iter();
            fields
                .map(|(key, value)| (key.clone(), sorted(value)))
                .collect()
        }
        other => other.clone(),
    }
}

/// What an object is called in its cluster.
pub fn key(object: &Value) -> String {
    let metadata = &object["metadata"];
    format!(
        "{} {} {}",
        object["kind"], metadata["namespace"], metadata["name"]
    )
}

/// The one object of a kind and name.
#[track_caller]
pub fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let mut found = objects
        .iter()
        .filter(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    let object = found
        .next()
        .unwrap_or_else(|| panic!("there is no {kind} {name}"));
    assert!(found.next().is_none(), "there are two of {kind} {name}");
    object
}

/// The Pod that the Deployment makes.
pub fn pod(objects: &[Value]) -> Value {
    let mut pod = find(objects, "Deployment", "agentteam-webhook")["spec"]["template"].clone();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"]["generateName"] = "agentteam-webhook-".into();
    pod["metadata"]["namespace"] = "agentteam-system".into();
    pod
}
