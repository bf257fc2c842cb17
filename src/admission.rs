//! Bytes to an `AdmissionReview`, and a decision back to bytes. No HTTP, no I/O.
//!
//! The review is read strictly: what an API server would never send is refused as a whole, because a wrong guess about
//! whose object this is would be worse than an error. The object in it is read leniently, for what the API server will
//! say about its own fields is not ours to say first.

mod nesting;
mod pod;
mod team;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::inject::{Injection, Reason};
use crate::json::{Object, problem};
use crate::names::Shown;
use crate::validation::Refusal;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// An API server's request ids are UUIDs; nothing near this length comes from one.
const UID_MAX: usize = 256;

/// The deepest nesting of a review, which is also what the JSON reader bounds itself to.
const NESTING_MAX: usize = 128;

/// What an API server asks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// The id that the answer must carry.
    pub uid: String,
    /// The kind of the object.
    kind: Kind,
    /// The resource that is written to.
    resource: Resource,
    /// Its subresource, if it is one.
    #[serde(default)]
    sub_resource: Option<String>,
    /// The namespace of the request.
    #[serde(default)]
    pub namespace: Option<String>,
    /// What is done.
    operation: Operation,
    /// The object, as text.
    #[serde(borrow, default)]
    object: Option<&'a RawValue>,
    /// The object before it is changed or deleted, as text.
    #[serde(borrow, default)]
    old_object: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Kind {
    kind: String,
}

#[derive(Debug, Deserialize)]
struct Resource {
    #[serde(default)]
    group: String,
    resource: String,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    api_version: String,
    kind: String,
    #[serde(borrow)]
    request: Option<Object<Request<'a>>>,
}

/// Why a body is not a review.
#[derive(Debug, Error)]
pub enum Malformed {
    /// Nothing was sent.
    #[error("the body is empty; send an AdmissionReview")]
    Empty,
    /// Not text.
    #[error("the body is not UTF-8 at byte {0}")]
    Encoding(usize),
    /// Nested too deeply.
    #[error("the body is nested more than {NESTING_MAX} levels deep")]
    Nesting,
    /// Not JSON, or not of the shape of a review.
    #[error("the body is not an AdmissionReview: {}", problem(.0))]
    Shape(#[from] serde_json::Error),
    /// Another version or kind.
    #[error(
        "the body is {} {}; only {API_VERSION} {KIND} is answered",
        Shown(api_version),
        Shown(kind)
    )]
    Version {
        /// `apiVersion`
        api_version: String,
        /// `kind`
        kind: String,
    },
    /// No request in it.
    #[error("the AdmissionReview has no request")]
    NoRequest,
    /// No id that an answer could carry.
    #[error("the request's uid must have 1 to {UID_MAX} characters, and has {0}")]
    Uid(usize),
}

impl<'a> Request<'a> {
    /// Reads a review.
    ///
    /// # Errors
    /// When the body is not exactly one review of the version that is spoken here.
    pub fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        if body.is_empty() {
            return Err(Malformed::Empty);
        }
        let text =
            std::str::from_utf8(body).map_err(|error| Malformed::Encoding(error.valid_up_to()))?;
        if nesting::is_deeper_than(body, NESTING_MAX) {
            return Err(Malformed::Nesting);
        }
        let Object(review): Object<Review<'a>> = serde_json::from_str(text)?;
        if review.api_version != API_VERSION || review.kind != KIND {
            return Err(Malformed::Version {
                api_version: review.api_version,
                kind: review.kind,
            });
        }
        let Object(request) = review.request.ok_or(Malformed::NoRequest)?;
        if request.uid.is_empty() || request.uid.len() > UID_MAX {
            return Err(Malformed::Uid(request.uid.len()));
        }
        Ok(request)
    }

    /// Whether this is about objects of that resource themselves, and not about a subresource.
    fn is_about(&self, group: &str, resource: &str) -> bool {
        self.resource.group == group
            && self.resource.resource == resource
            && self.sub_resource.as_deref().unwrap_or_default().is_empty()
    }

    /// The namespace of the request, empty where there is none.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }
}

/// What is answered.
#[derive(Debug)]
pub enum Decision {
    /// There is nothing to inject into, or nothing to judge.
    Skipped,
    /// The Pod gets its skills, or has them already.
    Allowed(Injection),
    /// The team is valid; these are the warnings.
    Valid(Vec<String>),
    /// The Pod or the team is refused.
    Denied(Denial),
}

/// Why an object is refused.
#[derive(Debug)]
pub struct Denial {
    /// The word for metrics, logs and programs.
    pub word: &'static str,
    /// The HTTP status code that the API server gives its client.
    pub code: u16,
    /// The sentence for people, without the word.
    pub message: String,
    /// What else they should know.
    pub warnings: Vec<String>,
}

impl From<Result<Injection, Reason>> for Decision {
    fn from(result: Result<Injection, Reason>) -> Self {
        result.map_or_else(|reason| Self::Denied(reason.into()), Self::Allowed)
    }
}

impl From<Reason> for Denial {
    fn from(reason: Reason) -> Self {
        Self {
            word: reason.word(),
            code: reason.code(),
            message: reason.to_string(),
            warnings: Vec::new(),
        }
    }
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        Self {
            word: refusal.word(),
            code: refusal.code(),
            message: refusal.to_string(),
            warnings: Vec::new(),
        }
    }
}

impl Decision {
    /// The word for metrics and logs: `skipped`, `unchanged`, `injected`, `valid` or `denied`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Allowed(injection) if injection.patch.is_empty() => "unchanged",
            Self::Allowed(_) => "injected",
            Self::Valid(_) => "valid",
            Self::Denied(_) => "denied",
        }
    }

    /// The word of the reason for which this is a denial, else nothing.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Denied(denial) => denial.word,
            _ => "",
        }
    }

    /// The review that answers the request `uid`, as JSON.
    #[must_use]
    pub fn to_review(&self, uid: &str) -> Vec<u8> {
        let mut response = Response {
            uid,
            allowed: true,
            patch_type: None,
            patch: None,
            warnings: &[],
            status: None,
        };
        match self {
            Self::Skipped => {}
            Self::Allowed(injection) => {
                response.warnings = &injection.warnings;
                if !injection.patch.is_empty() {
                    let patch = serde_json::to_vec(&injection.patch).unwrap_or_default();
                    response.patch_type = Some("JSONPatch");
                    response.patch = Some(STANDARD.encode(patch));
                }
            }
            Self::Valid(warnings) => response.warnings = warnings,
            Self::Denied(denial) => {
                response.allowed = false;
                response.warnings = &denial.warnings;
                response.status = Some(Status {
                    code: denial.code,
                    reason: denial.word,
                    message: format!("{}: {}", denial.word, denial.message),
                });
            }
        }
        let answer = Answer {
            api_version: API_VERSION,
            kind: KIND,
            response,
        };
        // Serializing strings and numbers into memory has no way to fail.
        serde_json::to_vec(&answer).unwrap_or_default()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
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
