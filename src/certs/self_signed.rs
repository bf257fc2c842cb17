//! An authority of our own in a Secret that the replicas share, made known in the `caBundle` of our configurations.
//!
//! Every replica does the same: it reads the three objects, asks [`super::rotation`] what is due, writes it, serves what
//! the Secret holds and mends the `caBundle`s. There is no leader: a write carries the resourceVersion that was read, so
//! one replica is first, and the others see what it wrote. Watches only say when to look; the objects are read at least
//! every five seconds, and ends are told by the wall clock, since neither watches nor timers survive a suspended machine.
//!
//! Cost: three reads every five seconds a replica; writes only when something changes.

mod objects;

use std::mem::{Discriminant, discriminant};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use kube::Client;
use rustls::pki_types::CertificateDer;
use tokio::time::timeout;

use super::Served;
use super::bundle::Look;
use super::rotation::{Change, Lifetimes, Serving, View};
use crate::clock::unix_seconds;
use crate::names::Listed;
use objects::{Mended, Objects, Problem, Stored};

/// How often the objects are looked at when no watch tells of a change.
const POLL: Duration = Duration::from_secs(5);

/// How long each `caBundle` must have held a new authority before its certificate is served: as long as the API
/// server's own watch of the configurations may lag behind.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// The time between two writes of the `caBundle`s: another program that writes them, too, is not raced.
const MEND_PAUSE: Duration = Duration::from_millis(500);

/// How soon to look again after another was first to write.
const RACE_PAUSE: Duration = Duration::from_millis(100);

/// How often in a row that may happen before it is a problem.
const RACES_MAX: u32 = 10;

/// More changes than this are never due at once.
const CHANGES_AT_ONCE: usize = 4;

/// What an administrator set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The namespace of the Secret.
    pub namespace: String,
    /// The Secret.
    pub secret: String,
    /// The name of the two configurations.
    pub configuration: String,
    /// The names that the certificate is for.
    pub names: Vec<String>,
}

/// One replica that keeps the Secret and the configurations.
pub struct SelfSigned {
    objects: Objects,
    names: Vec<String>,
    lifetimes: Lifetimes,
    settled_after: Duration,
    wall_clock: fn() -> i64,
    served: Arc<Served>,
    serving: Option<Serving>,
    /// Since when each `caBundle` holds this authority.
    held: Option<(CertificateDer<'static>, Instant)>,
    /// Whether clients were seen to trust what is served.
    trusted: bool,
    /// What the configurations were when they were looked at last.
    noted: [Discriminant<Look>; 2],
    /// When this replica last wrote a configuration.
    mended: Option<Instant>,
    /// How often in a row another was first to write a configuration.
    races: u32,
    reported: Option<String>,
}

impl SelfSigned {
    /// One that serves through [`served`](Self::served) what it keeps.
    #[must_use]
    pub fn new(client: Client, settings: Settings) -> Self {
        let Settings {
            namespace,
            secret,
            configuration,
            names,
        } = settings;
        let objects = Objects::new(client, namespace, secret, configuration);
        let why = format!("{} has not been read yet", objects.secret_name());
        Self {
            objects,
            names,
            lifetimes: Lifetimes::default(),
            settled_after: SETTLED_AFTER,
            wall_clock: unix_seconds,
            served: Arc::new(Served::nothing(&why)),
            serving: None,
            held: None,
            trusted: false,
            noted: [discriminant(&Look::Unknown); 2],
            mended: None,
            races: 0,
            reported: None,
        }
    }

    /// Reads the time of day, in seconds since 1970, from `clock`.
    #[must_use]
    pub fn with_wall_clock(mut self, clock: fn() -> i64) -> Self {
        self.wall_clock = clock;
        self
    }

    /// Has authorities and certificates live for other times.
    #[must_use]
    pub fn with_lifetimes(mut self, lifetimes: Lifetimes) -> Self {
        self.lifetimes = lifetimes;
        self
    }

    /// Takes clients to know of a new authority after this time.
    #[must_use]
    pub fn with_settled_after(mut self, time: Duration) -> Self {
        self.settled_after = time;
        self
    }

    /// What is served.
    #[must_use]
    pub fn served(&self) -> Arc<Served> {
        Arc::clone(&self.served)
    }

    /// Keeps the Secret, what is served and the `caBundle`s, for ever.
    pub async fn run(mut self) {
        let mut changes = self.objects.changes();
        loop {
            let pause = match self.round().await {
                Ok(pause) => {
                    if self.reported.take().is_some() {
                        tracing::info!("the certificate is kept again");
                    }
                    pause
                }
                Err(problem) => {
                    self.failed(&problem);
                    POLL
                }
            };
            let _ = timeout(pause, changes.next()).await;
            // One look for all that changed.
            while changes.next().now_or_never().flatten().is_some() {}
        }
    }

    /// Looks once and does what is due. Says when to look again at the latest.
    async fn round(&mut self) -> Result<Duration, Problem> {
        // In this order: a configuration that is still as it was looked at then holds nothing newer than the Secret, and
        // mending it takes away nobody whom another replica has just made known.
        let (mut looks, mut unread) = self.objects.look().await;
        let mut stored = self.objects.read().await?;
        self.note(&looks);
        for _ in 0..CHANGES_AT_ONCE {
            let settled = self.settled(&stored, &looks);
            let view = self.view(&stored, &looks, settled);
            let Some(change) = view.due() else { break };
            if change == Change::Publish {
                // Whom others serve may have been made known since, and the Secret may not tell.
                (looks, unread) = self.objects.look().await;
                if let Some(problem) = unread {
                    return Err(problem);
                }
            }
            let view = self.view(&stored, &looks, settled);
            let next = view.after(change, self.lifetimes)?;
            let replaces_junk = stored.holds_something() && stored.content.authorities.is_empty();
            let Some(written) = self.objects.write(stored, &next).await? else {
                return Ok(RACE_PAUSE);
            };
            stored = written;
            self.tell(change, replaces_junk);
        }
        let settled = self.settled(&stored, &looks);
        if let Some(serving) = self.view(&stored, &looks, settled).serve() {
            self.serve(serving)?;
        }
        let since = self.mended.map_or(MEND_PAUSE, |at| at.elapsed());
        let pause = MEND_PAUSE.saturating_sub(since);
        let mended = if pause.is_zero() {
            self.objects.mend(&looks, &stored.content.bundle()).await
        } else {
            Mended::default()
        };
        if mended.written > 0 {
            self.mended = Some(Instant::now());
            self.served.metrics.bundle_writes.inc_by(mended.written);
        }
        let problem = unread.or(mended.problem);
        self.become_ready(&looks, problem.as_ref());
        if let Some(problem) = problem {
            return Err(problem);
        }
        self.races = mended.raced.as_ref().map_or(0, |_| self.races + 1);
        match mended.raced {
            Some(problem) if self.races > RACES_MAX => Err(problem),
            Some(_) => Ok(RACE_PAUSE),
            None if mended.written > 0 => Ok(Duration::ZERO),
            None if !pause.is_zero() => Ok(pause),
            None => Ok(self.until_settled()),
        }
    }

    fn view<'a>(&'a self, stored: &'a Stored, looks: &'a [Look; 2], settled: bool) -> View<'a> {
        View {
            stored: &stored.content,
            serving: self.serving.as_ref(),
            looks,
            settled,
            names: &self.names,
            now: (self.wall_clock)(),
        }
    }

    /// Whether each `caBundle` has held the newest authority for long enough.
    fn settled(&mut self, stored: &Stored, looks: &[Look; 2]) -> bool {
        let newest = stored.content.authorities.first();
        let held = newest.filter(|newest| looks.iter().all(|look| look.holds(newest)));
        let Some(newest) = held else {
            self.held = None;
            return false;
        };
        let since = match &self.held {
            Some((authority, since)) if authority == newest.certificate() => *since,
            _ => {
                let now = Instant::now();
                self.held = Some((newest.certificate().clone(), now));
                now
            }
        };
        since.elapsed() >= self.settled_after
    }

    fn until_settled(&self) -> Duration {
        let held = self.held.as_ref();
        let left = held.map(|(_, since)| self.settled_after.saturating_sub(since.elapsed()));
        left.filter(|left| !left.is_zero())
            .unwrap_or(POLL)
            .min(POLL)
    }

    fn serve(&mut self, serving: Serving) -> Result<(), Problem> {
        self.served.replace(serving.pair.to_leaf()?);
        let ends = serving.authority.validity().not_after;
        self.served.authority_ends(ends);
        let not_after = serving.pair.validity().not_after;
        tracing::info!(not_after, "a new certificate is served");
        self.serving = Some(serving);
        Ok(())
    }

    /// Once clients trust what is served, this replica is ready; a `caBundle` that is edited later is mended before
    /// anybody else could be asked.
    fn become_ready(&mut self, looks: &[Look; 2], problem: Option<&Problem>) {
        let (false, Some(serving)) = (self.trusted, &self.serving) else {
            return;
        };
        let names = self.objects.configuration_names();
        let lacking: Vec<_> = names
            .iter()
            .zip(looks)
            .filter(|(_, look)| !look.holds(&serving.authority))
            .map(|(name, _)| name)
            .collect();
        if lacking.is_empty() {
            self.trusted = true;
            self.served.trusted();
        } else {
            let because = problem
                .map(|problem| format!(": {problem}"))
                .unwrap_or_default();
            self.served.waits_for(format!(
                "the caBundle of {} does not hold the authority of this webhook yet{because}",
                Listed(lacking.iter())
            ));
        }
    }

    /// Says once what went wrong, and sees to it that nothing is served that has ended.
    fn failed(&mut self, problem: &Problem) {
        self.served.metrics.errors.inc();
        let problem = problem.to_string();
        if !self.trusted && self.serving.is_none() {
            self.served.waits_for(problem.clone());
        }
        if self.reported.as_ref() != Some(&problem) {
            tracing::warn!(problem, "the certificate is not kept, which is tried again");
            self.reported = Some(problem);
        }
        let now = (self.wall_clock)();
        let Some(Serving { pair, authority }) = &self.serving else {
            return;
        };
        let can_issue = authority.has_key() && !authority.validity().has_ended(now);
        if !pair.validity().has_ended(now) || !can_issue {
            return;
        }
        let stand_in = authority.issue(&self.names, now, self.lifetimes.leaf);
        let stand_in = stand_in.map(|pair| Serving {
            pair,
            authority: authority.clone(),
        });
        match stand_in
            .map_err(Problem::from)
            .and_then(|stand_in| self.serve(stand_in))
        {
            Ok(()) => tracing::warn!(
                "the certificate ended; until {} can be written, this replica serves one of its own by the same authority",
                self.objects.secret_name()
            ),
            Err(error) => tracing::error!(%error, "the certificate ended and cannot be renewed"),
        }
    }

    fn tell(&self, change: Change, replaces_junk: bool) {
        let secret = self.objects.secret_name();
        match change {
            Change::Publish if replaces_junk => {
                tracing::warn!("{secret} held nothing of use; a new authority is published");
            }
            Change::Publish => tracing::info!("a new authority is published in {secret}"),
            Change::Trust => {
                tracing::warn!(
                    "{secret} did not hold the authority of what is served, and does now"
                );
            }
            Change::Issue(_) => tracing::info!("a new certificate is in {secret}"),
            Change::Forget => tracing::info!("earlier authorities are trusted no more"),
        }
    }

    /// Says once what is unusual about a configuration.
    fn note(&mut self, looks: &[Look; 2]) {
        let names = self.objects.configuration_names();
        for ((look, noted), name) in looks.iter().zip(&mut self.noted).zip(names) {
            if *look == Look::Unknown || discriminant(look) == *noted {
                continue;
            }
            *noted = discriminant(look);
            match look {
                Look::Absent => {
                    tracing::warn!("there is no {name}, so nobody calls for what it is for");
                }
                Look::Foreign(annotation) => tracing::warn!(
                    "the caBundle of {name} is left alone: another program keeps it (annotation {annotation})"
                ),
                Look::Kept(_) | Look::Unknown => {}
            }
        }
    }
}
