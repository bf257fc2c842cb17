//! The Pod in a review.

use super::{Operation, Request};
use crate::inject::Reason;
use crate::inject::pod::Pod;
use crate::json::reader::{Error, Reader};
use crate::names::Shown;

/// The object of a request.
#[derive(Debug, Default)]
pub(super) enum Content<'a> {
    /// None.
    #[default]
    Absent,
    /// Its text.
    Text(&'a str),
    /// The Pod that it is.
    Pod(Box<Pod<'a>>),
    /// Why it is no Pod.
    NoPod(Error),
}

impl<'a> Content<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        Ok(match reader.raw()? {
            "null" => Self::Absent,
            text => Self::Text(text),
        })
    }

    /// Reads the Pod in the pass that reads the review.
    pub(super) fn read_pod(reader: &mut Reader<'a>) -> Result<Self, Error> {
        if reader.null()? {
            return Ok(Self::Absent);
        }
        let mut pod = Box::<Pod>::default();
        Ok(match reader.or_skip(|reader| pod.fill(reader))? {
            Ok(()) => Self::Pod(pod),
            Err(error) => Self::NoPod(error),
        })
    }
}

impl<'a> Request<'a> {
    /// The Pod that is created, if that is what the request is about.
    ///
    /// # Errors
    /// When it is, and there is no Pod in it.
    pub fn pod(&self) -> Result<Option<&Pod<'a>>, Reason> {
        if !self.is_about("", "pods") || self.operation != Operation::Create {
            return Ok(None);
        }
        let malformed = |problem: String| Reason::MalformedPod(problem);
        if self.kind.kind != "Pod" {
            return Err(malformed(format!(
                "the request's kind is {}",
                Shown(self.kind.kind)
            )));
        }
        let pod = match &self.object {
            Content::Pod(pod) => &**pod,
            Content::NoPod(error) => return Err(malformed(error.to_string())),
            Content::Absent | Content::Text(_) => {
                return Err(malformed("the request has no object".into()));
            }
        };
        if let Some(kind) = pod.kind.filter(|&kind| kind != "Pod") {
            return Err(malformed(format!("its kind is {}", Shown(kind))));
        }
        let namespace = pod.metadata.namespace.unwrap_or_default();
        if !namespace.is_empty() && namespace != self.namespace() {
            return Err(Reason::NamespaceMismatch {
                pod: namespace.to_owned(),
                request: self.namespace().to_owned(),
            });
        }
        Ok(Some(pod))
    }
}
