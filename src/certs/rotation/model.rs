//! Three replicas whose reads and writes are interleaved at random, while the Secret is damaged, replicas are replaced
//! and time goes on: whatever the order, a client whose view of a `caBundle` is not older than [`SETTLED_AFTER`] trusts
//! every replica that is ready.
//!
//! A round has the steps of [`super::super::self_signed`], in its order.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;

const SEEDS: u64 = 24;
const STEPS: usize = 600;

/// In seconds, as in [`super::super::self_signed`].
const SETTLED_AFTER: i64 = 5;

/// A small generator of numbers, the same for the same seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// What the API server stores, with a version of each object.
struct Cluster {
    now: i64,
    version: u64,
    secret: Option<(u64, Content)>,
    bundles: [(u64, Vec<Authority>); 2],
    /// Each state of the bundles, and until when it was in force.
    past: Vec<(i64, Vec<Authority>)>,
}

impl Cluster {
    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    fn look(&self, index: usize) -> Look {
        let (version, authorities) = &self.bundles[index];
        let pem: String = authorities.iter().map(Authority::to_pem).collect();
        let entry = json!({"clientConfig": {"caBundle": STANDARD.encode(pem)}});
        Look::at(&json!({"metadata": {"resourceVersion": version}, "webhooks": [entry]}))
    }

    /// Writes the Secret if it is as it was read.
    fn write(&mut self, read: Option<u64>, content: Content) -> bool {
        let same = self.secret.as_ref().map(|(version, _)| *version) == read;
        if same {
            self.secret = Some((self.next_version(), content));
        }
        same
    }

    /// Writes a bundle if it is as it was looked at.
    fn mend(&mut self, index: usize, look: &Look, content: &Content) {
        let Look::Kept(configuration) = look else {
            return;
        };
        if configuration.mend(&content.bundle()).is_some() && *look == self.look(index) {
            let before = std::mem::take(&mut self.bundles[index].1);
            self.past.push((self.now, before));
            self.bundles[index] = (self.next_version(), content.authorities.clone());
        }
    }

    /// Whether every client that looked within the time that is promised trusts `authority`.
    fn trusts(&self, authority: &Authority) -> bool {
        let recent = |(until, _): &&(i64, Vec<Authority>)| *until > self.now - SETTLED_AFTER;
        self.bundles
            .iter()
            .all(|(_, held)| held.contains(authority))
            && self
                .past
                .iter()
                .filter(recent)
                .all(|(_, held)| held.contains(authority))
    }
}

#[derive(Clone, Copy)]
enum Step {
    Look(usize),
    Read,
    Decide,
    LookAgain(usize),
    Write,
    Serve,
    Mend(usize),
}

/// A replica in the midst of a round.
struct Replica {
    step: Step,
    looks: [Look; 2],
    read: Option<u64>,
    stored: Content,
    looked_again: bool,
    pending: Option<Content>,
    serving: Option<Serving>,
    held: Option<(Authority, i64)>,
    ready_since: Option<i64>,
}

impl Replica {
    fn new() -> Self {
        Self {
            step: Step::Look(0),
            looks: [Look::Unknown, Look::Unknown],
            read: None,
            stored: Content::default(),
            looked_again: false,
            pending: None,
            serving: None,
            held: None,
            ready_since: None,
        }
    }

    fn settled(&mut self, now: i64) -> bool {
        let newest = self.stored.authorities.first();
        let Some(newest) = newest.filter(|one| self.looks.iter().all(|look| look.holds(one)))
        else {
            self.held = None;
            return false;
        };
        match &self.held {
            Some((held, since)) if held == newest => now - since >= SETTLED_AFTER,
            _ => {
                self.held = Some((newest.clone(), now));
                false
            }
        }
    }

    fn act(&mut self, cluster: &mut Cluster, names: &[String]) {
        let now = cluster.now;
        let settled = match self.step {
            Step::Decide | Step::Serve => self.settled(now),
            _ => false,
        };
        let view = View {
            stored: &self.stored,
            serving: self.serving.as_ref(),
            looks: &self.looks,
            settled,
            names,
            now,
        };
        self.step = match self.step {
            Step::Look(index) => {
                self.looks[index] = cluster.look(index);
                self.looked_again = false;
                if index == 0 {
                    Step::Look(1)
                } else {
                    Step::Read
                }
            }
            Step::Read => {
                self.read = cluster.secret.as_ref().map(|(version, _)| *version);
                let content = cluster.secret.as_ref().map(|(_, content)| content.clone());
                self.stored = content.unwrap_or_default();
                Step::Decide
            }
            Step::Decide => match view.due() {
                Some(Change::Publish) if !self.looked_again => Step::LookAgain(0),
                Some(change) => {
                    self.looked_again = false;
                    self.pending = Some(view.after(change, Lifetimes::default()).unwrap());
                    Step::Write
                }
                None => Step::Serve,
            },
            Step::LookAgain(index) => {
                self.looks[index] = cluster.look(index);
                self.looked_again = index == 1;
                if index == 0 {
                    Step::LookAgain(1)
                } else {
                    Step::Decide
                }
            }
            Step::Write => {
                let pending = self.pending.take().unwrap();
                if cluster.write(self.read, pending.clone()) {
                    self.read = Some(cluster.version);
                    self.stored = pending;
                    Step::Decide
                } else {
                    Step::Look(0)
                }
            }
            Step::Serve => {
                if let Some(serving) = view.serve() {
                    self.serving = Some(serving);
                }
                let authority = self.serving.as_ref().map(|serving| &serving.authority);
                let known =
                    authority.is_some_and(|one| self.looks.iter().all(|look| look.holds(one)));
                if known && self.ready_since.is_none() {
                    self.ready_since = Some(now);
                }
                Step::Mend(0)
            }
            Step::Mend(index) => {
                cluster.mend(index, &self.looks[index], &self.stored);
                if index == 0 {
                    Step::Mend(1)
                } else {
                    Step::Look(0)
                }
            }
        };
    }

    /// Whether the Service has led clients here for long enough that they know its authority.
    fn is_called(&self, now: i64) -> bool {
        self.ready_since
            .is_some_and(|since| now - since >= SETTLED_AFTER)
    }
}

/// What people and programs do to the Secret.
fn damage(random: &mut Random, cluster: &mut Cluster) {
    let version = cluster.next_version();
    let Some((_, content)) = cluster.secret.take() else {
        return;
    };
    let mut content = content;
    match random.below(4) {
        0 => return,
        1 => content = Content::default(),
        2 => content.pair = None,
        _ => {
            let authorities = content.authorities.into_iter();
            content.authorities = authorities.map(Authority::without_key).collect();
        }
    }
    cluster.secret = Some((version, content));
}

/// How often another authority went into service.
fn run(seed: u64) -> usize {
    let mut random = Random(seed);
    let names = vec!["a.b.svc".to_owned()];
    let mut cluster = Cluster {
        now: 1_800_000_000,
        version: 0,
        secret: None,
        bundles: [(0, Vec::new()), (0, Vec::new())],
        past: Vec::new(),
    };
    let mut replicas = [Replica::new(), Replica::new(), Replica::new()];
    let mut rotations = 0;
    for step in 0..STEPS {
        // Some are held up for long in the midst of a round, and catch up.
        let slow = usize::try_from(step as u64 / 40 % 3).unwrap();
        let mut chosen = usize::try_from(random.below(3)).unwrap();
        if chosen == slow && random.below(8) > 0 {
            chosen = (chosen + 1) % 3;
        }
        let before = replicas[chosen]
            .serving
            .as_ref()
            .map(|serving| serving.authority.clone());
        replicas[chosen].act(&mut cluster, &names);
        let after = replicas[chosen]
            .serving
            .as_ref()
            .map(|serving| serving.authority.clone());
        rotations += usize::from(before.is_some() && before != after);
        match random.below(30) {
            0 => damage(&mut random, &mut cluster),
            // The others go on.
            1 if replicas
                .iter()
                .all(|replica| replica.is_called(cluster.now)) =>
            {
                replicas[chosen] = Replica::new();
            }
            2 => cluster.now += 3_600 * i64::try_from(random.below(8)).unwrap(),
            _ => cluster.now += i64::try_from(random.below(3)).unwrap(),
        }
        for (index, replica) in replicas.iter().enumerate() {
            let Some(serving) = replica
                .serving
                .as_ref()
                .filter(|_| replica.is_called(cluster.now))
            else {
                continue;
            };
            assert!(
                cluster.trusts(&serving.authority),
                "seed {seed}, step {step}: replica {index} serves what a client does not trust"
            );
            assert!(
                !serving.pair.validity().has_ended(cluster.now),
                "seed {seed}, step {step}: replica {index} serves what has ended"
            );
        }
    }
    rotations
}

#[test]
fn in_any_order_a_client_trusts_what_is_served() {
    let rotations: usize = (0..SEEDS).map(run).sum();
    println!("{rotations} changes of authority");
    assert!(
        rotations > usize::try_from(SEEDS).unwrap(),
        "only {rotations} changes"
    );
}
