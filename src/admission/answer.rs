//! A decision to the bytes of a review.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::Decision;
use crate::inject::Injection;

/// What an answer begins with, up to the request's id. The crate's tests hold it to the version that is read.
const BEGINNING: &[u8] =
    br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"#;

/// An injection as it is answered, but for the id of the request.
#[derive(Debug)]
pub struct Prepared {
    /// The agent.
    pub agent: String,
    /// How many skills something is added for.
    pub skills: usize,
    changes: bool,
    response: Vec<u8>,
}

/// The response but for its `uid`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

#[derive(Serialize)]
struct Status {
    code: u16,
    reason: &'static str,
    message: String,
}

impl Prepared {
    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.changes
    }

    /// About how many bytes this takes.
    #[must_use]
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.agent.len() + self.response.len()
    }
}

impl From<&Injection> for Prepared {
    fn from(injection: &Injection) -> Self {
        let mut response = Response::allowed(&injection.warnings);
        let changes = !injection.patch.is_empty();
        if changes {
            let patch = serde_json::to_vec(&injection.patch).unwrap_or_default();
            response.patch_type = Some("JSONPatch");
            response.patch = Some(STANDARD.encode(patch));
        }
        Self {
            agent: injection.agent.clone(),
            skills: injection.skills.len(),
            changes,
            response: response.to_bytes(),
        }
    }
}

impl<'a> Response<'a> {
    fn allowed(warnings: &'a [String]) -> Self {
        Self {
            allowed: true,
            patch_type: None,
            patch: None,
            warnings,
            status: None,
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        // Serializing strings and numbers into memory has no way to fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Decision {
    /// The review that answers the request `uid`, as JSON.
    #[must_use]
    pub fn to_review(&self, uid: &str) -> Vec<u8> {
        let made;
        let response = match self {
            Self::Allowed(prepared) => &prepared.response,
            Self::Skipped => {
                made = Response::allowed(&[]).to_bytes();
                &made
            }
            Self::Valid(warnings) => {
                made = Response::allowed(warnings).to_bytes();
                &made
            }
            Self::Denied(denial) => {
                let status = Status {
                    code: denial.code,
                    reason: denial.word,
                    message: format!("{}: {}", denial.word, denial.message),
                };
                made = Response {
                    allowed: false,
                    status: Some(status),
                    ..Response::allowed(&denial.warnings)
                }
                .to_bytes();
                &made
            }
        };
        // The fields of the response follow its uid: `{"allowed":…}` becomes `"…","allowed":…}`.
        let fields = response.strip_prefix(b"{").unwrap_or_default();
        let mut review = Vec::with_capacity(BEGINNING.len() + uid.len() + fields.len() + 8);
        review.extend_from_slice(BEGINNING);
        // As above.
        let _ = serde_json::to_writer(&mut review, uid);
        review.push(b',');
        review.extend_from_slice(fields);
        review.push(b'}');
        review
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::admission::{API_VERSION, Denial, KIND};

    #[test]
    fn an_answer_is_a_review_of_the_version_that_is_read() {
        let denial = Denial {
            word: "Word",
            code: 422,
            message: "why".into(),
            warnings: vec!["w".into()],
        };
        let response = |decision: Decision| {
            let review: Value = serde_json::from_slice(&decision.to_review("a\"b")).unwrap();
            assert_eq!(review["apiVersion"], API_VERSION);
            assert_eq!(review["kind"], KIND);
            review["response"].clone()
        };
        assert_eq!(
            response(Decision::Skipped),
            json!({"uid": "a\"b", "allowed": true})
        );
        assert_eq!(
            response(Decision::Valid(vec!["w".into()])),
            json!({"uid": "a\"b", "allowed": true, "warnings": ["w"]})
        );
        assert_eq!(
            response(Decision::Denied(denial)),
            json!({"uid": "a\"b", "allowed": false, "warnings": ["w"], "status": {"code": 422, "reason": "Word", "message": "Word: why"}})
        );
    }
}
