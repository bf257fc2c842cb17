//! The webhook over HTTPS, and probes and metrics in plain HTTP.

pub mod admin;
mod answers;
pub mod listen;
mod mutate;
mod review;
mod validate;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::routing::post;

use crate::certs::Served;
use crate::clock::unix_seconds;
use crate::inject::{ServerVersion, Settings};
use crate::json::seen::Seen;
use crate::metrics::{Metrics, Readings};
use crate::teams::Teams;
use crate::teams::cluster::LastEvent;
use crate::telemetry::Throttle;
use answers::Answers;

/// The routes of the webhook's port.
pub fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/mutate", post(mutate::mutate))
        .route("/validate", post(validate::validate))
        .with_state(app)
}

/// What every request needs. One for the process.
pub struct App {
    /// What an administrator set.
    pub settings: Settings,
    /// The teams.
    pub teams: Teams,
    /// The API server's version, where it is known.
    pub server_version: ArcSwapOption<ServerVersion>,
    /// The metrics.
    pub metrics: Metrics,
    /// The certificate that is served.
    pub certificate: Arc<Served>,
    /// When the watch last brought anything.
    pub last_event: Arc<LastEvent>,
    /// How many team files are bad.
    pub invalid_team_files: Arc<AtomicI64>,
    /// Whether the process is about to end.
    pub draining: AtomicBool,
    /// Answers that were given, for Pods that get the same.
    answers: Answers,
    /// What was read before of Pods like others.
    seen: Seen,
    /// Keeps a flood of denials from flooding the log.
    pub log_throttle: Throttle,
}

impl App {
    /// An app that has answered nothing yet.
    #[must_use]
    pub fn new(settings: Settings, teams: Teams, certificate: Arc<Served>) -> Self {
        Self {
            settings,
            teams,
            server_version: ArcSwapOption::empty(),
            metrics: Metrics::new(&certificate.metrics),
            certificate,
            last_event: Arc::default(),
            invalid_team_files: Arc::default(),
            draining: AtomicBool::new(false),
            answers: Answers::default(),
            seen: Seen::default(),
            log_throttle: Throttle::default(),
        }
    }

    /// Whether requests should be sent here.
    ///
    /// # Errors
    /// The reason why not.
    pub fn ready(&self) -> Result<(), String> {
        if self.draining.load(Ordering::Relaxed) {
            return Err("shutting down".to_owned());
        }
        self.teams.sync.check()?;
        self.certificate.check(unix_seconds())
    }

    fn readings(&self) -> Readings {
        Readings {
            teams: self.teams.index.len(),
            teams_last_event: self.last_event.get(),
            invalid_team_files: self.invalid_team_files.load(Ordering::Relaxed),
            certificate_expiry: self.certificate.not_after(),
            authority_expiry: self.certificate.authority_not_after(),
        }
    }
}
