//! The Pod in a review.

use super::{Operation, Request};
use crate::inject::Reason;
use crate::inject::pod::Pod;
use crate::json::{Object, problem};
use crate::names::Shown;

impl<'a> Request<'a> {
    /// The Pod that is created, if that is what the request is about.
    ///
    /// # Errors
    /// When it is, and there is no Pod in it.
    pub fn pod(&self) -> Result<Option<Pod<'a>>, Reason> {
        if !self.is_about("", "pods") || self.operation != Operation::Create {
            return Ok(None);
        }
        let malformed = |problem: String| Reason::MalformedPod(problem);
        if self.kind.kind != "Pod" {
            return Err(malformed(format!(
                "the request's kind is {}",
                Shown(&self.kind.kind)
            )));
        }
        let object = self
            .object
            .ok_or_else(|| malformed("the request has no object".into()))?;
        let Object(pod): Object<Pod<'a>> =
            serde_json::from_str(object.get()).map_err(|error| malformed(problem(&error)))?;
        if let Some(kind) = pod.kind.as_deref().filter(|&kind| kind != "Pod") {
            return Err(malformed(format!("its kind is {}", Shown(kind))));
        }
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        if !namespace.is_empty() && namespace != self.namespace() {
            return Err(Reason::NamespaceMismatch {
                pod: namespace.to_owned(),
                request: self.namespace().to_owned(),
            });
        }
        Ok(Some(pod))
    }
}
