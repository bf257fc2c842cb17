//! Logs: one line an event, on stderr.

use clap::ValueEnum;
use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

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
    let parsed = EnvFilter::try_new(filter).map_err(|error| NoLogs::Filter {
        filter: filter.to_owned(),
        error,
    })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Json => subscriber.json().finish().try_init()?,
        LogFormat::Text => subscriber.with_ansi(false).finish().try_init()?,
    }
    Ok(())
}
