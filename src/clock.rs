//! The time of day.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970, by the wall clock.
#[must_use]
pub fn unix_seconds() -> i64 {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs());
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
