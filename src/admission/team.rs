//! The team in a review.

use serde_json::Value;

use super::pod::Content;
use super::{Operation, Request};
use crate::api::{Group, KIND, Keys, PLURAL};
use crate::json::problem;
use crate::names::Shown;
use crate::team::{Identity, Team};
use crate::validation::Refusal;

impl Request<'_> {
    /// The team of `group` that is created or changed, if that is what the request is about and there is anything to
    /// judge.
    ///
    /// There is nothing where neither the `spec` nor an annotation that is read changes, and nothing in a team that
    /// is being deleted: what is bad already must not be in the way of those who label it, report on it or end it.
    ///
    /// # Errors
    /// When there should be a team, and there is none.
    pub fn team(&self, group: &Group) -> Result<Option<Team>, Refusal> {
        let is_written = matches!(self.operation, Operation::Create | Operation::Update);
        if !is_written || !self.is_about(&group.to_string(), PLURAL) {
            return Ok(None);
        }
        let unreadable = |problem: String| Refusal::UnreadableTeam(problem);
        if self.kind.kind != KIND {
            return Err(unreadable(format!(
                "the request's kind is {}",
                Shown(self.kind.kind)
            )));
        }
        let Content::Text(object) = &self.object else {
            return Err(unreadable("the request has no object".into()));
        };
        let object: &Value =
            &serde_json::from_str(object).map_err(|error| unreadable(problem(&error)))?;
        let kind = object["kind"].as_str().unwrap_or_default();
        if kind != KIND {
            return Err(unreadable(format!("its kind is {}", Shown(kind))));
        }
        let keys = &Keys::of(group);
        let identity = Identity::of(&object["metadata"], keys);
        if !identity.namespace.is_empty() && identity.namespace != self.namespace() {
            return Err(Refusal::NamespaceMismatch {
                team: identity.namespace,
                request: self.namespace().to_owned(),
            });
        }
        let is_unchanged = |old: &Value| {
            let before = Identity::of(&old["metadata"], keys);
            old["spec"] == object["spec"]
                && before.delivery == identity.delivery
                && before.verify_key == identity.verify_key
        };
        let old = self.old_object;
        let old: Option<Value> = old.and_then(|old| serde_json::from_str(old).ok());
        if identity.deleting || old.as_ref().is_some_and(is_unchanged) {
            return Ok(None);
        }
        Ok(Some(Team::read(identity, &object["spec"])))
    }
}
