//! Whether this process leads, as its other parts ask.

use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;
use tokio::time::timeout;

use super::RENEW_DEADLINE;

/// Whether this process leads.
#[derive(Clone)]
pub struct Leadership {
    pub(super) term: watch::Receiver<Option<Term>>,
    pub(super) wall_clock: fn() -> SystemTime,
}

impl Leadership {
    /// Whether this process leads, at this moment. Cheap: ask before each write.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        !self.left().is_zero()
    }

    /// Waits until this process leads. False when it never will, because its campaign has ended.
    pub async fn elected(&mut self) -> bool {
        while !self.is_leader() {
            if self.term.changed().await.is_err() {
                return false;
            }
        }
        true
    }

    /// Waits until this process does not lead.
    pub async fn lost(&mut self) {
        loop {
            let left = self.left();
            if left.is_zero() {
                return;
            }
            // Renewed, ended or run out: the next turn tells.
            let _ = timeout(left, self.term.changed()).await;
        }
    }

    fn left(&self) -> Duration {
        // With the campaign's task gone nobody renews.
        if self.term.has_changed().is_err() {
            return Duration::ZERO;
        }
        let term = *self.term.borrow();
        term.map_or(Duration::ZERO, |term| {
            term.left(Instant::now(), (self.wall_clock)())
        })
    }
}

/// The time between one renewal of the lease and the deadline for the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    pub(super) since: Instant,
    pub(super) since_wall: SystemTime,
}

impl Term {
    /// What is left of it. The monotonic clock stands still while a machine is suspended, so the time of day must agree;
    /// and one that was set back tells nothing.
    pub(super) fn left(self, now: Instant, wall: SystemTime) -> Duration {
        let elapsed = now.saturating_duration_since(self.since);
        match wall.duration_since(self.since_wall) {
            Ok(elapsed_wall) => RENEW_DEADLINE.saturating_sub(elapsed.max(elapsed_wall)),
            Err(_) => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_ends_by_either_clock() {
        let (since, since_wall) = (Instant::now(), SystemTime::now());
        let term = Term { since, since_wall };
        let seconds = Duration::from_secs;
        let left =
            |monotonic, wall| term.left(since + seconds(monotonic), since_wall + seconds(wall));
        assert_eq!(left(0, 0), RENEW_DEADLINE);
        assert_eq!(left(9, 8), seconds(1));
        assert_eq!(left(10, 10), Duration::ZERO);
        assert_eq!(
            left(10, 0),
            Duration::ZERO,
            "the time of day was set back, or stands"
        );
        assert_eq!(left(2, 864_000), Duration::ZERO, "suspended for ten days");
        let set_back = term.left(since + seconds(1), since_wall - seconds(300));
        assert_eq!(set_back, Duration::ZERO, "the time of day was set back");
    }
}
