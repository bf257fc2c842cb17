//! The `caBundle` of a webhook configuration: what it holds, and the patch that mends it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use json_patch::{AddOperation, Patch, PatchOperation, TestOperation};
use jsonptr::PointerBuf;
use serde_json::{Value, json};

use super::authority::Authority;
use super::secret::authorities_in;

/// The annotations by which cert-manager is told to keep the `caBundle`. Nothing of ours touches it then.
const INJECTED: [&str; 3] = [
    "cert-manager.io/inject-ca-from",
    "cert-manager.io/inject-ca-from-secret",
    "cert-manager.io/inject-apiserver-ca",
];

/// What one look at a configuration of our name found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// There is none, so nobody calls.
    Absent,
    /// Another program keeps its `caBundle`, by this annotation.
    Foreign(&'static str),
    /// It is ours to keep.
    Kept(Configuration),
    /// It could not be read.
    Unknown,
}

/// A configuration whose `caBundle` is ours to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    version: Value,
    /// The `caBundle` of each entry.
    bundles: Vec<Vec<u8>>,
}

impl Look {
    /// Looks at a Mutating- or ValidatingWebhookConfiguration.
    #[must_use]
    pub fn at(configuration: &Value) -> Self {
        let metadata = &configuration["metadata"];
        let annotations = metadata["annotations"].as_object();
        let annotated =
            |key: &&str| annotations.is_some_and(|annotations| annotations.contains_key(*key));
        if let Some(annotation) = INJECTED.into_iter().find(annotated) {
            return Self::Foreign(annotation);
        }
        let entries = configuration["webhooks"].as_array();
        let bundle = |entry: &Value| {
            let bundle = entry
                .pointer("/clientConfig/caBundle")
                .and_then(Value::as_str);
            STANDARD
                .decode(bundle.unwrap_or_default())
                .unwrap_or_default()
        };
        Self::Kept(Configuration {
            version: metadata["resourceVersion"].clone(),
            bundles: entries.into_iter().flatten().map(bundle).collect(),
        })
    }

    /// Whether every client that is called by it trusts `authority`. One that is not ours to keep is not waited for.
    #[must_use]
    pub fn holds(&self, authority: &Authority) -> bool {
        match self {
            Self::Absent | Self::Foreign(_) => true,
            Self::Unknown => false,
            Self::Kept(configuration) => configuration
                .bundles
                .iter()
                .all(|bundle| authorities_in(bundle, &[]).contains(authority)),
        }
    }

    /// Everyone whom some entry trusts.
    #[must_use]
    pub fn authorities(&self) -> Vec<Authority> {
        match self {
            Self::Kept(configuration) => {
                let bundles = configuration.bundles.iter();
                bundles
                    .flat_map(|bundle| authorities_in(bundle, &[]))
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}

impl Configuration {
    /// The patch after which every entry holds `bundle`, if one does not. It changes nothing else, and applies only to
    /// the configuration as it was looked at.
    #[must_use]
    pub fn mend(&self, bundle: &str) -> Option<Patch> {
        let path = |tokens: &[&str]| PointerBuf::from_tokens(tokens.iter().copied());
        let wrong = self.bundles.iter().enumerate();
        let wrong = wrong.filter(|(_, held)| held.as_slice() != bundle.as_bytes());
        let mut operations: Vec<_> = wrong
            .map(|(index, _)| {
                let index = index.to_string();
                PatchOperation::Add(AddOperation {
                    path: path(&["webhooks", &index, "clientConfig", "caBundle"]),
                    value: json!(STANDARD.encode(bundle)),
                })
            })
            .collect();
        if operations.is_empty() {
            return None;
        }
        let unchanged = TestOperation {
            path: path(&["metadata", "resourceVersion"]),
            value: self.version.clone(),
        };
        operations.insert(0, PatchOperation::Test(unchanged));
        Some(Patch(operations))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn configuration(bundles: &[Value]) -> Value {
        let entries = bundles.iter().map(|bundle| {
            json!({"name": "x", "clientConfig": {"service": {"name": "s"}, "caBundle": bundle}, "unknown": 1})
        });
        json!({"kind": "MutatingWebhookConfiguration", "metadata": {"name": "n", "resourceVersion": "7"}, "webhooks": entries.collect::<Vec<_>>()})
    }

    fn kept(look: Look) -> Configuration {
        match look {
            Look::Kept(configuration) => configuration,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_entry_that_is_wrong_is_mended_and_nothing_else() {
        let right = STANDARD.encode("right");
        let before = configuration(&[json!(right), Value::Null, json!(""), json!("wrong!")]);
        let patch = kept(Look::at(&before)).mend("right").unwrap();
        let mut after = before.clone();
        json_patch::patch(&mut after, &patch).unwrap();
        assert_eq!(
            after,
            configuration(&[json!(right), json!(right), json!(right), json!(right)])
        );
        assert_eq!(
            kept(Look::at(&after)).mend("right"),
            None,
            "nothing is left to do"
        );
        let mut changed = before;
        changed["metadata"]["resourceVersion"] = json!("8");
        assert!(
            json_patch::patch(&mut changed, &patch).is_err(),
            "it is another by now"
        );
    }

    #[test]
    fn what_another_program_keeps_is_left_alone() {
        for annotation in INJECTED {
            let mut configuration = configuration(&[Value::Null]);
            configuration["metadata"]["annotations"] = json!({annotation: "a/b"});
            let look = Look::at(&configuration);
            assert_eq!(look, Look::Foreign(annotation));
            assert!(look.authorities().is_empty());
        }
    }

    #[test]
    fn an_authority_is_held_when_every_entry_holds_it() {
        let [one, other] = [(); 2].map(|()| Authority::make(NOW, 1000).unwrap());
        let bundle = |of: &[&Authority]| {
            json!(STANDARD.encode(of.iter().map(|one| one.to_pem()).collect::<String>()))
        };
        let both = bundle(&[&other, &one]);
        let holds = |bundles: &[Value]| Look::at(&configuration(bundles)).holds(&one);
        assert!(holds(&[both.clone(), bundle(&[&one])]));
        assert!(!holds(&[both.clone(), bundle(&[&other])]));
        assert!(!holds(&[both, Value::Null]));
        assert!(holds(&[]), "no entry, no client");
        assert!(Look::Absent.holds(&one) && !Look::Unknown.holds(&one));
    }
}
