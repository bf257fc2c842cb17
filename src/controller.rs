//! The controller: it judges every team, and shows on the team what became of its skills.
//!
//! Only the leader writes, and only the leader watches Pods; admission never needs either. What it says is decided by
//! pure functions from what is known of a team and its Pods ([`judge`], [`coverage`]), and written only when the team
//! does not say it already ([`report`]).

pub mod coverage;
pub mod events;
pub mod judge;
pub mod lease;
pub mod pods;
pub mod queue;
pub mod report;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use kube::Client;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

use crate::api::Group;
use crate::server::App;
use crate::teams::Key;
use coverage::Coverage;
use lease::Leadership;
use pods::Pods;
use queue::Queue;
use report::Reporter;

/// How many teams are judged at once. Each may wait for two requests.
const WORKERS: usize = 8;

/// How often Pods that are pulling are looked at again: a pull that hangs sends no event.
const TICK: Duration = Duration::from_secs(10);

/// How long teams wait to be judged until the Pods are known. Those that cannot be listed must not keep it from saying
/// whether teams are valid.
const LIST_PATIENCE: Duration = Duration::from_secs(5);

/// What the controller works with.
pub struct Controller {
    /// The cluster.
    pub client: Client,
    /// The group of the teams.
    pub group: Group,
    /// The teams, the settings and the metrics.
    pub app: Arc<App>,
}

impl Controller {
    /// Works whenever this process leads, until it never will again.
    pub async fn run(self, mut leadership: Leadership) {
        while leadership.elected().await {
            tracing::info!("this process writes conditions and events");
            let mut follower = leadership.clone();
            tokio::select! {
                () = self.lead(&leadership) => {}
                () = follower.lost() => tracing::info!("another process writes conditions and events"),
            }
            self.app.metrics.forget_coverage();
        }
    }

    /// Watches Pods and judges teams, until it is dropped.
    async fn lead(&self, leadership: &Leadership) {
        let queue = Queue::default();
        let pods = Pods::default();
        let reporter = Reporter::new(self.client.clone(), &self.group, leadership.clone());
        let all = || {
            for key in self.app.teams.index.keys() {
                queue.push(key);
            }
        };
        tokio::join!(
            self.follow_teams(&queue, &all),
            pods::watch(&self.client, &self.app.settings.keys, &pods, &queue),
            tick(&pods, &queue),
            async {
                // With the Pods known, each team is judged once and for all.
                let _ = timeout(LIST_PATIENCE, pods.listed()).await;
                self.work(&queue, &pods, &reporter).await;
            },
            async {
                pods.listed().await;
                all();
            },
        );
    }

    /// Queues each team that changes.
    async fn follow_teams(&self, queue: &Queue, all: &impl Fn()) {
        let mut changes = self.app.teams.index.changes();
        // What changed before we listened.
        all();
        loop {
            match changes.recv().await {
                Ok(key) => queue.push(key),
                Err(RecvError::Lagged(_)) => all(),
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Judges what is queued.
    fn work<'a>(
        &'a self,
        queue: &'a Queue,
        pods: &'a Pods,
        reporter: &'a Reporter,
    ) -> impl Future<Output = ()> + 'a {
        let keys = stream::unfold((), move |()| async move { Some((queue.next().await, ())) });
        keys.for_each_concurrent(WORKERS, move |key| async move {
            if let Err(problem) = self.judge(&key, pods, reporter).await {
                tracing::warn!(namespace = &*key.namespace, team = &*key.name, %problem, "a condition is not written yet");
                queue.retry(key);
            } else {
                queue.done(&key);
            }
        })
    }

    async fn judge(
        &self,
        key: &Key,
        pods: &Pods,
        reporter: &Reporter,
    ) -> Result<(), report::NotWritten> {
        let Some(team) = self.app.teams.index.get(&key.namespace, &key.name) else {
            self.app.metrics.covered(key, &Coverage::default());
            return Ok(());
        };
        if team.deleting {
            return Ok(());
        }
        let mut conditions = vec![judge::skills_valid(&team, &self.app.settings)];
        if let Some(coverage) = pods.coverage(&team) {
            self.app.metrics.covered(key, &coverage);
            reporter.tell_pods(&team, &coverage).await;
            conditions.push(coverage.skills_delivered());
        }
        reporter.tell_team(&team, &conditions).await
    }
}

async fn tick(pods: &Pods, queue: &Queue) {
    loop {
        tokio::time::sleep(TICK).await;
        for key in pods.pulling() {
            queue.push(key);
        }
    }
}
