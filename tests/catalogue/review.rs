//! Reviews as an API server makes them, and what must hold of their answers.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use agentteam_webhook::inject::Reason;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use strum::VariantNames;

use super::client::{Answer, Client, SECRET, review_request};
use super::server::{self, Server};
use super::teams::NAMESPACE;

/// A Pod of an agent of a team, as short as one can be.
pub fn pod(team: &str, agent: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "agent-0",
            "labels": {"kagents.dev/agent-team": team, "kagents.dev/agent": agent},
        },
        "spec": {
            "containers": [{
                "name": "claude-code",
                "image": "ghcr.io/example/agent:1.0",
                "env": [{"name": "TOKEN", "value": SECRET}],
            }],
        },
    })
}

/// The review of a Pod that is created.
pub fn review(object: &Value) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": format!("705ab4f5-6393-11e8-b7cc-{:012x}", now.as_nanos() & 0xffff_ffff_ffff),
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": NAMESPACE,
            "operation": "CREATE",
            "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
            "object": object,
            "oldObject": null,
            "dryRun": false,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        },
    })
}

/// A connection for many reviews, and the judgement of their answers.
pub struct Session {
    server: &'static Server,
    client: Client,
}

/// A Pod after its patch.
pub struct Patched {
    pub pod: Value,
    pub warnings: Vec<String>,
    pub operations: Vec<Value>,
    /// The length of the patch in bytes.
    pub length: usize,
}

/// Why a Pod is denied.
#[derive(Debug)]
pub struct Denial {
    pub word: String,
    pub message: String,
}

impl Session {
    /// A session with the server that all tests share.
    pub fn open() -> Self {
        Self::with(server::shared())
    }

    pub fn with(server: &'static Server) -> Self {
        Self {
            server,
            client: Client::connect(server),
        }
    }

    /// H: the request is refused, whatever it is.
    pub fn refused(&mut self, request: &[u8], status: u16) -> Answer {
        let answer = self.client.exchange(request).unwrap();
        assert_refused(&answer, status);
        // Where the server did not read all of the request, it closes the connection.
        self.client = Client::connect(self.server);
        answer
    }

    /// H400: the body is refused.
    pub fn malformed(&mut self, body: &[u8]) {
        let answer = self.client.exchange(&review_request(body)).unwrap();
        assert_refused(&answer, 400);
    }

    /// A: the request is allowed, without a patch. Gives the warnings.
    pub fn allowed(&mut self, review: &Value) -> Vec<String> {
        let response = self.response(review);
        assert_eq!(response["allowed"], true, "{response}");
        assert!(response.get("patch").is_none(), "{response}");
        assert!(response.get("patchType").is_none(), "{response}");
        warnings(&response)
    }

    /// D: the Pod is denied.
    pub fn denied(&mut self, review: &Value, code: u16) -> Denial {
        let response = self.response(review);
        assert_eq!(response["allowed"], false, "{response}");
        assert!(response.get("patch").is_none(), "{response}");
        let status = &response["status"];
        assert_eq!(status["code"], code, "{status}");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (word, message) = (text(&status["reason"]), text(&status["message"]));
        assert!(Reason::VARIANTS.contains(&word.as_str()), "{word}");
        assert!(message.starts_with(&format!("{word}: ")), "{message}");
        assert!(
            message.contains("; "),
            "it does not say what to do: {message}"
        );
        assert!(!message.contains(['\n', '\r', '\0']), "{message:?}");
        let mut after_stops = message.split(". ").skip(1);
        assert!(
            !after_stops.any(|rest| rest.starts_with(char::is_uppercase))
                && !message.ends_with('.'),
            "{message}"
        );
        assert!(message.len() < 1024, "{message}");
        assert!(!message.contains(SECRET), "{message}");
        Denial { word, message }
    }

    /// P: the Pod gets a patch, which applies and only adds, and the patched Pod is allowed as it is.
    pub fn patched(&mut self, review: &Value) -> Patched {
        let before = &review["request"]["object"];
        let patched = self.patched_anyhow(review);
        if let Err(place) = only_grew(before, &patched.pod) {
            panic!("{place} was changed: {before} became {}", patched.pod);
        }
        let mut again = review.clone();
        again["request"]["object"] = patched.pod.clone();
        self.allowed(&again);
        patched
    }

    /// P, where the patch may change what stands in the annotation that it owns.
    pub fn patched_anyhow(&mut self, review: &Value) -> Patched {
        let response = self.response(review);
        assert_eq!(response["allowed"], true, "{response}");
        assert!(response.get("status").is_none(), "{response}");
        assert_eq!(response["patchType"], "JSONPatch", "{response}");
        let bytes = STANDARD
            .decode(response["patch"].as_str().unwrap())
            .unwrap();
        let patch: json_patch::Patch = serde_json::from_slice(&bytes).unwrap();
        assert!(!patch.is_empty());
        let mut pod = review["request"]["object"].clone();
        json_patch::patch(&mut pod, &patch).unwrap();
        Patched {
            pod,
            warnings: warnings(&response),
            operations: serde_json::from_slice(&bytes).unwrap(),
            length: bytes.len(),
        }
    }

    /// The response of the answer, which must be a review of the same uid.
    pub fn response(&mut self, review: &Value) -> Value {
        let body = serde_json::to_vec(review).unwrap();
        let answer = self.exchange(&body).unwrap();
        response(&answer, review)
    }

    /// Sends a body, whatever it is.
    pub fn exchange(&mut self, body: &[u8]) -> io::Result<Answer> {
        self.client.exchange(&review_request(body))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.server.assert_well();
        }
    }
}

/// The response of an answer, which must be a review of the same uid.
pub fn response(answer: &Answer, review: &Value) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(body["kind"], "AdmissionReview");
    let response = body["response"].take();
    assert_eq!(response["uid"], review["request"]["uid"]);
    response
}

pub fn assert_refused(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let body = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    assert!(body.get("response").is_none(), "{body}");
    assert!(!answer.text().contains(SECRET), "{}", answer.text());
}

fn warnings(response: &Value) -> Vec<String> {
    let warnings = response.get("warnings").cloned().unwrap_or(json!([]));
    let warnings: Vec<String> = serde_json::from_value(warnings).unwrap();
    assert!(
        warnings
            .iter()
            .all(|warning| !warning.contains(['\n', '\0'])),
        "{warnings:?}"
    );
    warnings
}

/// Whether every value of `before` is in `after`, lists in the same order; else the place of one that is not.
pub fn only_grew(before: &Value, after: &Value) -> Result<(), String> {
    match (before, after) {
        (Value::Null, _) => Ok(()),
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before {
                let found = after.get(key).ok_or_else(|| format!("/{key}"))?;
                only_grew(value, found).map_err(|place| format!("/{key}{place}"))?;
            }
            Ok(())
        }
        (Value::Array(before), Value::Array(after)) => {
            let mut rest = after.iter();
            for (index, item) in before.iter().enumerate() {
                if !rest.any(|found| only_grew(item, found).is_ok()) {
                    return Err(format!("/{index}"));
                }
            }
            Ok(())
        }
        _ if before == after => Ok(()),
        _ => Err(String::new()),
    }
}
