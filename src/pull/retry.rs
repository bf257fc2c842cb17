//! What is tried again, how often, and how long after.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use tokio::time::Instant;

use super::failure::Failure;

/// How often one request is tried, as long as it brings nothing.
const TRIES_MAX: u32 = 10;

/// The pause after the first failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause that we choose ourselves.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long all of it may take.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimit {
    /// How long.
    pub limit: Duration,
    /// When it is over.
    pub end: Instant,
}

impl TimeLimit {
    /// Begins now.
    #[must_use]
    pub fn starting(limit: Duration) -> Self {
        let now = Instant::now();
        // A limit that is beyond the clock's end is none.
        let end = now
            .checked_add(limit)
            .unwrap_or(now + Duration::from_secs(u32::MAX.into()));
        Self { limit, end }
    }

    /// How long a registry may be silent before it is asked again: a quarter of the limit, at most 15 s.
    #[must_use]
    pub fn silence(&self) -> Duration {
        (self.limit / 4).min(Duration::from_secs(15))
    }
}

/// Why a request brought nothing.
#[derive(Debug)]
pub enum Problem {
    /// Trying again is of no use.
    Final(Failure),
    /// It may be better the next time.
    Again {
        /// What to say if it is not.
        failure: Failure,
        /// How long the server wants us to wait.
        after: Option<Duration>,
    },
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self::Final(failure)
    }
}

/// Counts the tries of one request.
#[derive(Debug)]
pub struct Tries {
    time: TimeLimit,
    failed: u32,
    since_progress: u32,
}

impl Tries {
    /// None yet.
    #[must_use]
    pub fn new(time: TimeLimit) -> Self {
        Self {
            time,
            failed: 0,
            since_progress: 0,
        }
    }

    /// A try brought something, if not all.
    pub fn progressed(&mut self) {
        self.since_progress = 0;
    }

    /// Counts a failure that met us at `now`: what to say of it, and how long to wait before the next try.
    ///
    /// # Errors
    /// When it is not to be tried again: it would be of no use, was tried often enough, or there is no time left.
    pub fn failed(
        &mut self,
        problem: Problem,
        now: Instant,
    ) -> Result<(Failure, Duration), Failure> {
        let (failure, after) = match problem {
            Problem::Final(failure) => return Err(failure),
            Problem::Again { failure, after } => (failure, after),
        };
        self.failed += 1;
        self.since_progress += 1;
        let failure = failure.after(self.failed);
        let pause = after.unwrap_or_default().max(self.pause());
        let in_time = now
            .checked_add(pause)
            .is_some_and(|then| then < self.time.end);
        if self.since_progress < TRIES_MAX && in_time {
            Ok((failure, pause))
        } else {
            Err(failure)
        }
    }

    /// Doubles with each failure, and differs between those who failed together.
    fn pause(&self) -> Duration {
        let doubled =
            FIRST_PAUSE.saturating_mul(1 << self.since_progress.saturating_sub(1).min(16));
        doubled
            .min(LONGEST_PAUSE)
            .mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

/// How long a server wants us to wait: seconds, or a date.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy() -> Problem {
        Problem::Again {
            failure: Failure::RateLimited {
                host: "r".into(),
                tries: 0,
            },
            after: None,
        }
    }

    fn tries(seconds: u64) -> Tries {
        Tries::new(TimeLimit::starting(Duration::from_secs(seconds)))
    }

    #[test]
    fn pauses_double_and_end() {
        let (mut tries, now) = (tries(1000), Instant::now());
        let pauses: Vec<_> = (1..TRIES_MAX)
            .map(|_| tries.failed(busy(), now).unwrap().1)
            .collect();
        assert!(pauses[0] <= FIRST_PAUSE && pauses[0] >= FIRST_PAUSE / 2);
        assert!(pauses[4] >= FIRST_PAUSE * 8 && pauses[8] <= LONGEST_PAUSE);
        let failure = tries.failed(busy(), now).unwrap_err();
        assert!(failure.to_string().contains("tried 10 times"), "{failure}");
    }

    #[test]
    fn what_brings_something_is_tried_on() {
        let (mut tries, now) = (tries(1000), Instant::now());
        for _ in 0..100 {
            tries.progressed();
            assert!(tries.failed(busy(), now).unwrap().1 <= FIRST_PAUSE);
        }
    }

    #[test]
    fn what_is_of_no_use_is_not_tried_again() {
        let limit = Duration::from_secs(1);
        let end = Problem::Final(Failure::TimedOut { limit, last: None });
        assert!(tries(1000).failed(end, Instant::now()).is_err());
    }

    #[test]
    fn a_pause_that_would_outlast_the_limit_is_not_begun() {
        let later = |seconds| Problem::Again {
            failure: Failure::RateLimited {
                host: "r".into(),
                tries: 0,
            },
            after: Some(Duration::from_secs(seconds)),
        };
        let now = Instant::now();
        assert!(tries(10).failed(later(3600), now).is_err());
        assert_eq!(
            tries(10).failed(later(5), now).unwrap().1,
            Duration::from_secs(5)
        );
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_mins(1));
        assert!(wait(&soon).unwrap() > Duration::from_secs(50));
        for bad in ["", "-1", "soon", "1e9"] {
            assert_eq!(wait(bad), None, "{bad}");
        }
    }
}
