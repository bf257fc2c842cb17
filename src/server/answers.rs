//! Answers that were given, for the Pods that get the same.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::admission::Prepared;
use crate::inject::Fresh;
use crate::team::Team;

/// The most that all kept answers may take, in bytes. An answer takes 6 KiB with two OCI skills, and 200 KiB with a hundred.
const SIZE_MAX: usize = 8 << 20;

/// What was answered for a team and what decides about a Pod of it.
#[derive(Default)]
pub struct Answers(RwLock<Kept>);

#[derive(Default)]
struct Kept {
    answers: BTreeMap<Key, Answer>,
    size: usize,
}

/// A team by where it is in memory: a team that changes is another one, and elsewhere.
type Key = (usize, Fresh);

struct Answer {
    /// Holds the team where it is.
    _team: Arc<Team>,
    prepared: Arc<Prepared>,
}

fn key(team: &Arc<Team>, fresh: Fresh) -> Key {
    (Arc::as_ptr(team).addr(), fresh)
}

impl Answers {
    /// The answer, if it was given before.
    pub fn get(&self, team: &Arc<Team>, fresh: Fresh) -> Option<Arc<Prepared>> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let answer = kept.answers.get(&key(team, fresh))?;
        Some(Arc::clone(&answer.prepared))
    }

    /// Keeps an answer. Where there is no room for it, all others are forgotten: those that are needed come again.
    pub fn keep(&self, team: &Arc<Team>, fresh: Fresh, prepared: &Arc<Prepared>) {
        let size = prepared.size() + size_of::<(Key, Answer)>();
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.size + size > SIZE_MAX {
            *kept = Kept::default();
        }
        let answer = Answer {
            _team: Arc::clone(team),
            prepared: Arc::clone(prepared),
        };
        if kept.answers.insert(key(team, fresh), answer).is_none() {
            kept.size += size;
        }
    }
}
