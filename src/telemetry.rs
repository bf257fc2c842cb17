//! Logs: one line an event, on stderr.

use std::mem::take;
use std::sync::{Mutex, PoisonError};

use clap::ValueEnum;
use thiserror::Error;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, registry};

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Text,
}

/// Why there will be no logs.
#[derive(Debug, Error)]
pub enum NoLogs {
    /// The filter is none.
    #[error(
        "--log says {filter:?}: {error}; give a level such as info, or directives such as info,agentteam_webhook=debug"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        error: tracing_subscriber::filter::ParseError,
    },
    /// Somebody else logs already.
    #[error("logging could not be started: {0}")]
    Start(#[from] tracing_subscriber::util::TryInitError),
}

/// Starts logging.
///
/// # Errors
/// When `filter` is not one, or logging was started before.
pub fn start(filter: &str, format: LogFormat) -> Result<(), NoLogs> {
    // Levels by target need no regular expressions, as an EnvFilter has and takes half of the start to compile.
    let targets: Targets = filter.parse().map_err(|error| NoLogs::Filter {
        filter: filter.to_owned(),
        error,
    })?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let logs = registry().with(targets);
    match format {
        LogFormat::Json => logs.with(lines.json()).try_init()?,
        LogFormat::Text => logs.with(lines.with_ansi(false)).try_init()?,
    }
    Ok(())
}

/// Lets a bounded number of lines a second through, and counts the rest.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    second: i64,
    passed: u64,
    held_back: u64,
}

impl Throttle {
    /// Whether one more may pass in second `now`, and how many were held back before it.
    pub fn pass(&self, now: i64, most: u64) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Who looked at the clock when a second ended may come when the next has begun.
        if now != window.second && now + 1 != window.second {
            window.second = now;
            window.passed = 0;
        }
        if window.passed < most {
            window.passed += 1;
            Some(take(&mut window.held_back))
        } else {
            window.held_back += 1;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throttle_counts_what_it_holds_back() {
        let throttle = Throttle::default();
        let passed = (0..10).filter(|_| throttle.pass(1, 3).is_some()).count();
        assert_eq!(passed, 3);
        assert_eq!(throttle.pass(2, 3), Some(7));
        assert_eq!(throttle.pass(2, 3), Some(0));
    }

    #[test]
    fn one_who_comes_late_does_not_begin_a_second_again() {
        let throttle = Throttle::default();
        let seconds = [1, 1, 2, 1, 2, 1, 2];
        let passed = seconds.map(|second| throttle.pass(second, 2).is_some());
        assert_eq!(passed, [true, true, true, true, false, false, false]);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_silence_the_log() {
        let throttle = Throttle::default();
        assert!(throttle.pass(1_000, 1).is_some());
        assert!(throttle.pass(700, 1).is_some());
    }
}
