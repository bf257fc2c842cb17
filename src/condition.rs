//! Conditions on a team, beside those of others.

use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

/// What this controller says of a team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// `SkillsValid` or `SkillsDelivered`.
    pub kind: &'static str,
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// A word for machines.
    pub reason: &'static str,
    /// Sentences for people.
    pub message: String,
}

/// The conditions that are ours; others' are never touched.
pub const KINDS: [&str; 2] = ["SkillsValid", "SkillsDelivered"];

/// What a team's status says already, as far as it is ours: enough to tell whether anything would change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reported([Option<u64>; 2]);

/// The longest message that the API accepts, with room for an ending.
const MESSAGE_MAX: usize = 32_000;

impl Reported {
    /// Reads it from `status.conditions`.
    #[must_use]
    pub fn read(conditions: &Value) -> Self {
        Self(KINDS.map(|kind| {
            let found = conditions
                .as_array()?
                .iter()
                .find(|condition| condition["type"] == kind)?;
            let text = |key: &str| found[key].as_str().unwrap_or_default();
            let generation = found["observedGeneration"].as_i64().unwrap_or_default();
            Some(fingerprint(
                text("status"),
                text("reason"),
                text("message"),
                generation,
            ))
        }))
    }

    /// Whether a team of `generation` says all of `conditions`.
    #[must_use]
    pub fn says(&self, conditions: &[Condition], generation: i64) -> bool {
        conditions.iter().all(|condition| {
            let said = KINDS
                .iter()
                .zip(&self.0)
                .find(|(kind, _)| **kind == condition.kind);
            said.and_then(|(_, said)| *said) == Some(condition.fingerprint(generation))
        })
    }
}

impl Condition {
    /// A condition; a message that is too long is cut.
    #[must_use]
    pub fn new(
        kind: &'static str,
        status: bool,
        reason: &'static str,
        mut message: String,
    ) -> Self {
        if message.len() > MESSAGE_MAX {
            let end = (0..=MESSAGE_MAX)
                .rev()
                .find(|&end| message.is_char_boundary(end))
                .unwrap_or_default();
            message.truncate(end);
            message.push_str(" …");
        }
        Self {
            kind,
            status: if status { "True" } else { "False" },
            reason,
            message,
        }
    }

    fn fingerprint(&self, generation: i64) -> u64 {
        fingerprint(self.status, self.reason, &self.message, generation)
    }

    /// Puts the condition into `conditions`, which stay as they are otherwise. Gives the status that it had before.
    pub fn put(&self, conditions: &mut Vec<Value>, generation: i64, now: &Time) -> Option<String> {
        let mut wanted = json!({
            "type": self.kind,
            "status": self.status,
            "reason": self.reason,
            "message": self.message,
            "observedGeneration": generation,
            "lastTransitionTime": now,
        });
        let Some(found) = conditions
            .iter_mut()
            .find(|condition| condition["type"] == self.kind)
        else {
            conditions.push(wanted);
            return None;
        };
        let before = found["status"].as_str().unwrap_or_default().to_owned();
        if let (true, Some(fields)) = (before == self.status, wanted.as_object_mut()) {
            fields.insert(
                "lastTransitionTime".into(),
                found["lastTransitionTime"].clone(),
            );
        }
        *found = wanted;
        Some(before)
    }
}

fn fingerprint(status: &str, reason: &str, message: &str, generation: i64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (status, reason, message, generation).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time(k8s_openapi::jiff::Timestamp::from_second(seconds).unwrap())
    }

    #[test]
    fn others_conditions_stay_as_they_are() {
        let theirs = json!({"type": "Progressing", "status": "True", "unknown": [1]});
        let mut conditions = vec![theirs.clone()];
        let valid = Condition::new("SkillsValid", true, "Valid", "fine".into());
        assert_eq!(valid.put(&mut conditions, 1, &at(0)), None);
        assert_eq!(conditions.len(), 2);
        assert_eq!(conditions[0], theirs);
    }

    #[test]
    fn the_time_is_that_of_the_transition() {
        let mut conditions = Vec::new();
        Condition::new("SkillsValid", true, "Valid", "a".into()).put(&mut conditions, 1, &at(0));
        let same = Condition::new("SkillsValid", true, "Valid", "b".into());
        assert_eq!(
            same.put(&mut conditions, 2, &at(100)).as_deref(),
            Some("True")
        );
        assert_eq!(conditions[0]["lastTransitionTime"], "1970-01-01T00:00:00Z");
        let other = Condition::new("SkillsValid", false, "Invalid", "c".into());
        assert_eq!(
            other.put(&mut conditions, 2, &at(100)).as_deref(),
            Some("True")
        );
        assert_eq!(conditions[0]["lastTransitionTime"], "1970-01-01T00:01:40Z");
        assert_eq!(conditions.len(), 1);
    }

    #[test]
    fn what_is_said_already_is_known() {
        let conditions = [Condition::new("SkillsValid", true, "Valid", "a".into())];
        let mut written = Vec::new();
        conditions[0].put(&mut written, 3, &at(0));
        let reported = Reported::read(&json!(written));
        assert!(reported.says(&conditions, 3));
        assert!(!reported.says(&conditions, 4));
        assert!(!Reported::default().says(&conditions, 3));
    }
}
