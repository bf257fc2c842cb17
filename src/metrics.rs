//! What `/metrics` tells. Every label's values come from a closed set, but for the names of teams with trouble.

use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::controller::coverage::Coverage;
use crate::teams::Key;

/// Upper bounds of the latency histogram, in seconds: most answers take microseconds, a look-up milliseconds.
const BUCKETS: [f64; 12] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0,
];

/// Labels of the request counter.
#[derive(Clone, Debug, EncodeLabelSet, Hash, PartialEq, Eq)]
struct Outcome {
    /// `injected`, `unchanged`, `valid`, `skipped`, `denied` or `rejected`.
    decision: &'static str,
    /// The word of the reason, where the request was denied or rejected.
    reason: &'static str,
}

/// Labels of the look-up counter.
#[derive(Clone, Debug, EncodeLabelSet, Hash, PartialEq, Eq)]
struct Lookup {
    /// `found`, `missing` or `failed`.
    result: &'static str,
}

/// Labels of the gauges that are about one team's Pods.
#[derive(Clone, Debug, EncodeLabelSet, Hash, PartialEq, Eq)]
struct OfTeam {
    /// The team's namespace.
    namespace: String,
    /// The team.
    team: String,
}

/// The metrics of one process.
pub struct Metrics {
    registry: Registry,
    requests: Family<Outcome, Counter>,
    duration: Histogram,
    lookups: Family<Lookup, Counter>,
    /// Connections to the webhook that are open now.
    pub connections: Gauge,
    uninjected_pods: Family<OfTeam, Gauge>,
    failing_pulls: Family<OfTeam, Gauge>,
    teams: Gauge,
    teams_last_event: Gauge,
    invalid_team_files: Gauge,
    certificate_expiry: Gauge,
    authority_expiry: Gauge,
}

/// What is counted of certificates, whatever their mode.
#[derive(Clone, Debug, Default)]
pub struct CertificateMetrics {
    /// Attempts to keep the certificate, or the `caBundle`s, that failed.
    pub errors: Counter,
    /// Writes of the `caBundle` of a configuration.
    pub bundle_writes: Counter,
}

/// What is read anew for each scrape.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readings {
    /// Teams that are known.
    pub teams: usize,
    /// When the watch last brought anything, in seconds since 1970.
    pub teams_last_event: i64,
    /// Files or documents that hold no readable team.
    pub invalid_team_files: i64,
    /// When the certificate ends, in seconds since 1970.
    pub certificate_expiry: i64,
    /// When the authority of that certificate ends, in seconds since 1970.
    pub authority_expiry: i64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(&CertificateMetrics::default())
    }
}

impl Metrics {
    /// The metrics of a process, with what its certificate counts.
    #[must_use]
    pub fn new(certificates: &CertificateMetrics) -> Self {
        let mut registry = Registry::with_prefix("agentteam_webhook");
        let requests = Family::<Outcome, Counter>::default();
        registry.register(
            "admission_requests",
            "Admission requests by decision (injected, unchanged, valid, skipped, denied, rejected) and reason",
            requests.clone(),
        );
        let duration = Histogram::new(BUCKETS);
        registry.register(
            "admission_duration_seconds",
            "Time from the whole request to its answer, look-ups included",
            duration.clone(),
        );
        let lookups = Family::<Lookup, Counter>::default();
        registry.register(
            "team_lookups",
            "Live look-ups of teams that the cache did not answer, by result (found, missing, failed)",
            lookups.clone(),
        );
        let uninjected_pods = Family::<OfTeam, Gauge>::default();
        registry.register(
            "uninjected_pods",
            "Pods that name the team and have none of their skills; none where there are none, told by the leader",
            uninjected_pods.clone(),
        );
        let failing_pulls = Family::<OfTeam, Gauge>::default();
        registry.register(
            "failing_pulls",
            "Pods of the team whose skills cannot be pulled; none where there are none, told by the leader",
            failing_pulls.clone(),
        );
        registry.register(
            "certificate_errors",
            "Attempts to keep the certificate, or the caBundles, that failed",
            certificates.errors.clone(),
        );
        registry.register(
            "ca_bundle_writes",
            "Writes of the caBundle of a webhook configuration; many mean that another program writes it too",
            certificates.bundle_writes.clone(),
        );
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::<i64, AtomicI64>::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let connections = gauge("connections", "Open connections to the webhook");
        let teams = gauge("teams", "AgentTeams that are known");
        let teams_last_event = gauge(
            "teams_last_event_timestamp_seconds",
            "When the watch of AgentTeams last brought anything; 0 where teams come from files",
        );
        let invalid_team_files = gauge(
            "invalid_team_files",
            "Files or documents in --teams that hold no readable AgentTeam",
        );
        let certificate_expiry = gauge(
            "certificate_expiry_timestamp_seconds",
            "When the certificate that is served ends; 0 while there is none",
        );
        let authority_expiry = gauge(
            "authority_expiry_timestamp_seconds",
            "When the authority of the certificate that is served ends; 0 where it is somebody else's",
        );
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that is running", build);
        Self {
            registry,
            requests,
            duration,
            lookups,
            connections,
            uninjected_pods,
            failing_pulls,
            teams,
            teams_last_event,
            invalid_team_files,
            certificate_expiry,
            authority_expiry,
        }
    }

    /// Counts an answer.
    pub fn answered(&self, decision: &'static str, reason: &'static str, took: Duration) {
        self.requests
            .get_or_create(&Outcome { decision, reason })
            .inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// Counts a live look-up.
    pub fn looked_up(&self, result: &'static str) {
        self.lookups.get_or_create(&Lookup { result }).inc();
    }

    /// Tells what became of a team's Pods. A team without trouble has no line.
    pub fn covered(&self, key: &Key, coverage: &Coverage) {
        let labels = OfTeam {
            namespace: key.namespace.to_string(),
            team: key.name.to_string(),
        };
        let counts = [
            (&self.uninjected_pods, coverage.uninjected.len()),
            (&self.failing_pulls, coverage.failing.len()),
        ];
        for (family, count) in counts {
            if count == 0 {
                family.remove(&labels);
            } else {
                family
                    .get_or_create(&labels)
                    .set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
    }

    /// Tells nothing more of any team's Pods: another process does.
    pub fn forget_coverage(&self) {
        self.uninjected_pods.clear();
        self.failing_pulls.clear();
    }

    /// The metrics in the `OpenMetrics` text format.
    #[must_use]
    pub fn to_text(&self, readings: Readings) -> String {
        self.teams
            .set(i64::try_from(readings.teams).unwrap_or(i64::MAX));
        self.teams_last_event.set(readings.teams_last_event);
        self.invalid_team_files.set(readings.invalid_team_files);
        self.certificate_expiry.set(readings.certificate_expiry);
        self.authority_expiry.set(readings.authority_expiry);
        let mut out = String::new();
        // Writing to a String has no way to fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_our_prefix_and_a_help_text() {
        let metrics = Metrics::default();
        metrics.answered("denied", "TeamNotFound", Duration::from_micros(80));
        let text = metrics.to_text(Readings {
            teams: 3,
            ..Readings::default()
        });
        assert!(text.contains(r#"agentteam_webhook_admission_requests_total{decision="denied",reason="TeamNotFound"} 1"#), "{text}");
        assert!(text.contains("agentteam_webhook_teams 3\n"), "{text}");
        assert!(
            text.contains(r#"agentteam_webhook_build_info{version=""#),
            "{text}"
        );
        assert!(
            text.lines()
                .all(|line| line.contains("agentteam_webhook_") || line == "# EOF"),
            "{text}"
        );
    }
}
