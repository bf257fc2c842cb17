//! Which replica writes: leader election by a Lease of `coordination.k8s.io`.
//!
//! Every replica answers admission; one at a time writes statuses and Events. A replica takes the lease when it is free
//! or when it has not seen its holder renew it for [`LEASE_DURATION`]. The holder renews it every two seconds and counts
//! itself leader for [`RENEW_DEADLINE`] from *before* its last renewal was sent, so it has stopped a good while before
//! anybody else may start. Clocks are never compared across machines.
//!
//! [`Leadership::is_leader`] looks at the clocks each time it is asked, and needs no task to run for that: a process
//! that was stopped for a minute knows at once that it leads no more. What it then has under way may still arrive, so
//! writes carry a resourceVersion and a timeout shorter than the time between the deadline and the lease's end.
//!
//! Cost: a read every two seconds a follower, a write every two seconds for the leader.

mod leadership;
mod view;

use std::collections::BTreeMap;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant, SystemTime};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Resource};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::teams::cluster::said;
use leadership::Term;
use view::{Action, View, holder, released};

pub use leadership::Leadership;

/// The name of the lease that the shipped Role is for.
pub const NAME: &str = "agentteam-webhook";

/// How long others leave the lease to a holder that is silent.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);

/// How long a leader that cannot renew the lease goes on leading.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);

/// How long an answer is waited for: short enough for a leader to try a second time before its deadline.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// How often a write that met another's is tried again at once.
const ATTEMPTS: usize = 3;

/// One replica that would lead.
pub struct Candidate {
    client: Client,
    namespace: String,
    name: String,
    identity: String,
    wall_clock: fn() -> SystemTime,
}

impl Candidate {
    /// A candidate for the lease `name`. `process` tells people who it is, say by the Pod's name; it need not be unique.
    #[must_use]
    pub fn new(client: Client, namespace: String, name: String, process: &str) -> Self {
        Self {
            client,
            namespace,
            name,
            // A container that was restarted in its Pod is not who held the lease before.
            identity: format!("{process}_{:016x}", random()),
            wall_clock: SystemTime::now,
        }
    }

    /// Reads the time of day from `clock`.
    #[must_use]
    pub fn with_wall_clock(mut self, clock: fn() -> SystemTime) -> Self {
        self.wall_clock = clock;
        self
    }

    /// What stands in the lease while this candidate holds it.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Stands for election while the future is polled, until `shutdown` resolves; then the lease is released, which
    /// takes 3 s at the most, and a successor need not wait. Shut down what writes first.
    ///
    /// A future that is dropped before releases nothing, but ends the leadership too.
    pub fn campaign(
        self,
        shutdown: impl Future<Output = ()> + Send,
    ) -> (Leadership, impl Future<Output = ()> + Send) {
        let (term, followed) = watch::channel(None);
        let leadership = Leadership {
            term: followed,
            wall_clock: self.wall_clock,
        };
        let mut campaign = Campaign {
            api: Api::namespaced(self.client.clone(), &self.namespace),
            view: View::new(Instant::now()),
            written: None,
            term,
            candidate: self,
        };
        let run = async move {
            tokio::select! {
                biased;
                () = shutdown => {}
                () = campaign.run() => {}
            }
            campaign.end().await;
        };
        (leadership, run)
    }
}

/// Why the lease could not be read or written.
#[derive(Debug, Error)]
enum Problem {
    #[error("this webhook may not {verb} leases.{group} in namespace {namespace}: {message}", group = Lease::group(&()))]
    Forbidden {
        verb: &'static str,
        namespace: String,
        message: String,
    },
    #[error("{}", said(.0))]
    Failed(#[from] kube::Error),
    #[error("the API server did not answer within {REQUEST_TIMEOUT:?}")]
    Silence,
}

/// A candidate at work.
struct Campaign {
    candidate: Candidate,
    api: Api<Lease>,
    view: View,
    /// The lease as we wrote it last, which saves the leader from reading it each time.
    written: Option<Lease>,
    term: watch::Sender<Option<Term>>,
}

impl Campaign {
    /// Takes the lease whenever it can and keeps it as long as it can, for ever.
    async fn run(&mut self) {
        let mut reported = None;
        loop {
            let mut pause = retry();
            match self.round().await {
                Ok(left) => {
                    if reported.take().is_some() {
                        tracing::info!(lease = self.candidate.name, "the lease is reached again");
                    }
                    pause = pause.min(left);
                }
                Err(problem) => {
                    // Once, and not every two seconds.
                    let problem = Some(problem.to_string());
                    if problem != reported {
                        tracing::warn!(problem, "the election of a leader is tried again");
                        reported = problem;
                    }
                }
            }
            let (now, wall) = (Instant::now(), (self.candidate.wall_clock)());
            let over = |term: Term| term.left(now, wall).is_zero();
            if self.term.borrow().is_some_and(over) {
                self.lead(None);
            }
            sleep(pause).await;
        }
    }

    /// Looks at the lease and claims it where it may. Says after which time at the latest to look again.
    async fn round(&mut self) -> Result<Duration, Problem> {
        for _ in 0..ATTEMPTS {
            let lease = match self.written.take() {
                Some(lease) => Some(lease),
                None => self.read().await?,
            };
            self.view.see(lease.as_ref(), Instant::now());
            let identity = &self.candidate.identity;
            if let Action::Wait(left) = self.view.decide(identity, Instant::now()) {
                self.lead(None);
                return Ok(left);
            }
            // Before the request: when the API server took it in is not known.
            let term = Term {
                since: Instant::now(),
                since_wall: (self.candidate.wall_clock)(),
            };
            let record = self.view.claim(identity, term.since_wall);
            if let Some(lease) = self.write(lease, record).await? {
                self.view.see(Some(&lease), Instant::now());
                self.written = Some(lease);
                self.lead(Some(term));
                break;
            }
        }
        Ok(Duration::MAX)
    }

    /// Stops leading, and gives the lease back if it is ours.
    async fn end(&self) {
        self.lead(None);
        let released = timeout(REQUEST_TIMEOUT, self.release()).await;
        if let Err(problem) = released.unwrap_or(Err(Problem::Silence)) {
            let problem = problem.to_string();
            tracing::warn!(problem, "the lease is not released; it runs out by itself");
        }
    }

    async fn release(&self) -> Result<(), Problem> {
        for _ in 0..ATTEMPTS {
            // Always read: a write of ours may have been under way.
            let Some(lease) = self.read().await? else {
                break;
            };
            let record = lease.spec.clone().unwrap_or_default();
            if holder(&record) != Some(&self.candidate.identity) {
                break;
            }
            let record = released(record, (self.candidate.wall_clock)());
            if self.write(Some(lease), record).await?.is_some() {
                break;
            }
        }
        Ok(())
    }

    fn lead(&self, term: Option<Term>) {
        let before = self.term.send_replace(term);
        let identity = &self.candidate.identity;
        match (before, term) {
            (None, Some(_)) => tracing::info!(identity, "this replica leads"),
            (Some(_), None) => tracing::info!(identity, "this replica leads no more"),
            _ => {}
        }
    }

    async fn read(&self) -> Result<Option<Lease>, Problem> {
        let answer = self.api.get_opt(&self.candidate.name);
        self.answer("get", answer).await
    }

    /// Writes a record into `lease`, or into a new one. Nothing when it is not any more as it was read.
    async fn write(
        &self,
        lease: Option<Lease>,
        record: LeaseSpec,
    ) -> Result<Option<Lease>, Problem> {
        let name = &self.candidate.name;
        let params = PostParams {
            field_manager: Some(NAME.to_owned()),
            ..PostParams::default()
        };
        let exists = lease.is_some();
        let metadata = match lease {
            Some(lease) => lease.metadata,
            None => ObjectMeta {
                name: Some(name.clone()),
                labels: Some(BTreeMap::from([(
                    "app.kubernetes.io/name".to_owned(),
                    NAME.to_owned(),
                )])),
                ..ObjectMeta::default()
            },
        };
        let lease = Lease {
            metadata,
            spec: Some(record),
        };
        let answer = if exists {
            let answer = self.api.replace(name, &params, &lease);
            self.answer("update", answer).await
        } else {
            self.answer("create", self.api.create(&params, &lease))
                .await
        };
        match answer {
            Err(Problem::Failed(kube::Error::Api(status)))
                if status.code == 409 || (status.code == 404 && exists) =>
            {
                Ok(None)
            }
            answer => answer.map(Some),
        }
    }

    async fn answer<T>(
        &self,
        verb: &'static str,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Problem> {
        match timeout(REQUEST_TIMEOUT, answer).await {
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(Problem::Forbidden {
                verb,
                namespace: self.candidate.namespace.clone(),
                message: status.message,
            }),
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Problem::Silence),
        }
    }
}

/// The time between two looks at the lease: 2 s, and a fifth more or less, so that replicas do not act in step.
fn retry() -> Duration {
    Duration::from_millis(1_600 + random() % 801)
}

/// Good enough to tell processes apart; no secret.
fn random() -> u64 {
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_is_told_what_it_may_not() {
        let problem = Problem::Forbidden {
            verb: "update",
            namespace: "agentteam-system".into(),
            message: "leases \"x\" is forbidden".into(),
        };
        assert_eq!(
            problem.to_string(),
            "this webhook may not update leases.coordination.k8s.io in namespace agentteam-system: leases \"x\" is forbidden"
        );
    }
}
