//! A review that is sent again and again, and whether its answers are right.

use std::cell::RefCell;

use agentteam_webhook::inject::Settings;
use agentteam_webhook::team::Team;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{common, http1};

pub const UID_LENGTH: usize = 36;

/// A review, of which only the uid differs from request to request.
pub struct Shape {
    /// Head and body for HTTP/1.1.
    request: Vec<u8>,
    body_at: usize,
    uid_at: usize,
    pod: Value,
    /// The Pod as it must be after the patch; none where a constant is answered.
    wanted: Value,
    /// An answer that was found right, and where the uid stands in it.
    right: RefCell<Option<(Vec<u8>, usize)>>,
}

/// Whose answers are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// A webhook's: to this request, allowed, with a patch that applies and makes what we make of the Pod.
    Injected,
    /// Always the same, to no request in particular.
    Constant,
}

impl Shape {
    /// The shape of `review`, whose Pod is one of `team`.
    pub fn new(review: &[u8], team: &Team, settings: &Settings) -> Self {
        let parsed: Value = serde_json::from_slice(review).unwrap();
        let uid = parsed["request"]["uid"].as_str().unwrap();
        assert_eq!(uid.len(), UID_LENGTH);
        let head = http1::head(review.len());
        let body_at = head.len();
        let uid_at = find(review, uid.as_bytes()).unwrap();
        let mut wanted = parsed["request"]["object"].clone();
        let (_, injection) = common::injection(review, team, settings);
        injection.patch.apply(&mut wanted).unwrap();
        Self {
            request: [&head, review].concat(),
            body_at,
            uid_at,
            pod: parsed["request"]["object"].clone(),
            wanted: without_empty(wanted),
            right: RefCell::default(),
        }
    }

    /// Forgets the answers of another server.
    pub fn forget(&self) {
        self.right.take();
    }

    /// Writes the request with `uid` into `out`; from where on it is the body.
    pub fn write(&self, uid: &[u8; UID_LENGTH], out: &mut Vec<u8>) -> usize {
        out.clear();
        out.extend_from_slice(&self.request);
        let at = self.body_at + self.uid_at;
        out[at..at + UID_LENGTH].copy_from_slice(uid);
        self.body_at
    }

    /// Looks at an answer: in full where it is the first or another than the first, else byte by byte.
    pub fn check(&self, answers: Answers, uid: &[u8; UID_LENGTH], status: u16, answer: &[u8]) {
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(answer));
        if answers == Answers::Constant {
            assert!(find(answer, br#""allowed":true"#).is_some());
            return;
        }
        if let Some((right, at)) = &*self.right.borrow()
            && answer.len() == right.len()
            && answer[..*at] == right[..*at]
            && answer[*at..at + UID_LENGTH] == *uid
            && answer[at + UID_LENGTH..] == right[at + UID_LENGTH..]
        {
            return;
        }
        let response = &serde_json::from_slice::<Value>(answer).unwrap()["response"];
        assert_eq!(response["uid"].as_str().unwrap().as_bytes(), uid);
        assert_eq!(response["allowed"], true, "{response}");
        let mut pod = self.pod.clone();
        // An API server reads bytes from base64 and, as kube-rs sends them, from a list of numbers.
        let patch = match &response["patch"] {
            Value::String(text) => STANDARD.decode(text).unwrap(),
            list => serde_json::from_value(list.clone()).unwrap(),
        };
        assert_eq!(response["patchType"], "JSONPatch");
        let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
        json_patch::patch(&mut pod, &patch).unwrap();
        let pod = without_empty(pod);
        if pod != self.wanted {
            let path = std::env::temp_dir().join("agentteam-webhook-bench-wrong.json");
            std::fs::write(&path, json!({"is": pod, "wanted": self.wanted}).to_string()).unwrap();
            panic!(
                "the patch makes another Pod than ours; see {}",
                path.display()
            );
        }
        let at = find(answer, uid).unwrap();
        self.right.replace(Some((answer.to_vec(), at)));
    }
}

/// Without `null`, `{}` and `[]`, which typed Pods have more or fewer of and which mean nothing.
fn without_empty(value: Value) -> Value {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    match value {
        Value::Array(list) => list.into_iter().map(without_empty).collect(),
        Value::Object(map) => {
            let fields = map
                .into_iter()
                .map(|(key, value)| (key, without_empty(value)));
            fields.filter(|(_, value)| !is_empty(value)).collect()
        }
        other => other,
    }
}

pub fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|found| found == part)
}
