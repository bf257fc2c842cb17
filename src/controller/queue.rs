//! Which teams are to be judged: each at most once in the queue, and one at a time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::teams::Key;

/// The first wait after a failure, which doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_millis(250);

/// The longest wait.
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// A queue of teams.
#[derive(Clone, Default)]
pub struct Queue(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    added: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Key>,
    queued: HashSet<Key>,
    working: HashSet<Key>,
    failures: HashMap<Key, u32>,
}

impl Queue {
    /// Queues a team, unless it is queued already.
    pub fn push(&self, key: Key) {
        let mut state = self.state();
        if state.queued.insert(key.clone()) && !state.working.contains(&key) {
            state.waiting.push_back(key);
            drop(state);
            self.0.added.notify_one();
        }
    }

    /// The next team. It does not come again before [`done`](Self::done) or [`retry`](Self::retry).
    pub async fn next(&self) -> Key {
        loop {
            let added = self.0.added.notified();
            let found = {
                let mut state = self.state();
                let key = state.waiting.pop_front();
                if let Some(key) = &key {
                    state.queued.remove(key);
                    state.working.insert(key.clone());
                }
                key
            };
            match found {
                Some(key) => return key,
                None => added.await,
            }
        }
    }

    /// The team was judged.
    pub fn done(&self, key: &Key) {
        self.state().failures.remove(key);
        self.finish(key);
    }

    /// The team could not be judged; it comes again after a while, longer with each failure.
    pub fn retry(&self, key: Key) {
        let failures = {
            let mut state = self.state();
            let failures = state.failures.entry(key.clone()).or_default();
            *failures += 1;
            *failures
        };
        self.finish(&key);
        let queue = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(backoff(failures)).await;
            queue.push(key);
        });
    }

    fn finish(&self, key: &Key) {
        let mut state = self.state();
        state.working.remove(key);
        // It changed while it was judged.
        if state.queued.contains(key) {
            state.waiting.push_back(key.clone());
            drop(state);
            self.0.added.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Between half of and the whole wait, so that teams that failed together do not come back together.
fn backoff(failures: u32) -> Duration {
    let doubled = FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let longest = doubled.min(LONGEST_RETRY);
    longest.mul_f64(0.5 + 0.5 * jitter())
}

/// A number from 0 to 1 that differs from call to call and from process to process.
fn jitter() -> f64 {
    f64::from(u32::try_from(RandomState::new().build_hasher().finish() >> 32).unwrap_or_default())
        / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("ns", name)
    }

    #[tokio::test]
    async fn a_team_is_queued_once_and_judged_by_one_at_a_time() {
        let queue = Queue::default();
        queue.push(key("a"));
        queue.push(key("a"));
        queue.push(key("b"));
        assert_eq!(queue.next().await, key("a"));
        queue.push(key("a"));
        assert_eq!(queue.next().await, key("b"));
        let nothing = tokio::time::timeout(Duration::from_millis(20), queue.next()).await;
        assert!(nothing.is_err(), "a is being judged");
        queue.done(&key("a"));
        assert_eq!(queue.next().await, key("a"), "it changed meanwhile");
        queue.done(&key("a"));
        queue.done(&key("b"));
        assert!(
            tokio::time::timeout(Duration::from_millis(20), queue.next())
                .await
                .is_err()
        );
    }

    #[test]
    fn waits_grow_and_have_an_end() {
        assert!(backoff(1) <= FIRST_RETRY && backoff(1) >= FIRST_RETRY / 2);
        assert!(backoff(100) <= LONGEST_RETRY && backoff(100) >= LONGEST_RETRY / 2);
    }
}
