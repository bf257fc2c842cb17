//! Bytes to an `AdmissionReview`, and a decision back to bytes. No HTTP, no I/O.
//!
//! The review is read strictly: what an API server would never send is refused as a whole, because a wrong guess about
//! whose object this is would be worse than an error. The object in it is read leniently, for what the API server will
//! say about its own fields is not ours to say first.

mod answer;
mod pod;
mod read;
mod team;

use std::sync::Arc;

use thiserror::Error;

use crate::inject::Reason;
use crate::json::reader;
use crate::names::Shown;
use crate::validation::Refusal;
use pod::Content;

pub use answer::Prepared;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// An API server's request ids are UUIDs; nothing near this length comes from one.
const UID_MAX: usize = 256;

/// What an API server asks.
#[derive(Debug)]
pub struct Request<'a> {
    /// The id that the answer must carry.
    pub uid: &'a str,
    /// The kind of the object.
    kind: Kind<'a>,
    /// The resource that is written to.
    resource: Resource<'a>,
    /// Its subresource, empty if it is none.
    sub_resource: &'a str,
    /// The namespace of the request, empty where there is none.
    namespace: &'a str,
    /// What is done.
    operation: Operation,
    /// The object.
    object: Content<'a>,
    /// The object before it is changed or deleted, as text.
    old_object: Option<&'a str>,
}

#[derive(Debug)]
struct Kind<'a> {
    kind: &'a str,
}

#[derive(Debug)]
struct Resource<'a> {
    group: &'a str,
    resource: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Create,
    Update,
    Delete,
    Connect,
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
    /// Not JSON, or not of the shape of a review, or nested too deeply.
    #[error("the body is not an AdmissionReview: {0}")]
    Shape(#[from] reader::Error),
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

impl Resource<'_> {
    fn is(&self, group: &str, resource: &str) -> bool {
        *self.group == *group && *self.resource == *resource
    }
}

impl Request<'_> {
    /// Whether this is about objects of that resource themselves, and not about a subresource.
    fn is_about(&self, group: &str, resource: &str) -> bool {
        self.resource.is(group, resource) && self.sub_resource.is_empty()
    }

    /// The namespace of the request, empty where there is none.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.namespace
    }
}

/// What is answered.
#[derive(Debug)]
pub enum Decision {
    /// There is nothing to inject into, or nothing to judge.
    Skipped,
    /// The Pod gets its skills, or has them already.
    Allowed(Arc<Prepared>),
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
            Self::Allowed(prepared) if prepared.is_empty() => "unchanged",
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
}
