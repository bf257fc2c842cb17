//! What a candidate has seen of the lease, and when it may claim it. No I/O, and no clock of its own.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;

use super::LEASE_DURATION;

/// The longest that a record may ask others to wait: a slip in a record must not leave the cluster without a leader.
const LEASE_DURATION_MAX: Duration = Duration::from_mins(1);

/// What to do about the lease.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Write our name into it, be it to take, to renew or to recreate it.
    Claim,
    /// Leave it to its holder for this long at least.
    Wait(Duration),
}

/// What was seen of the lease, and since when.
#[derive(Debug)]
pub(super) struct View {
    /// The last record that told of a holder, or of none since it left.
    record: LeaseSpec,
    /// Whether that is what the lease says now. If not, it is absent or says nothing of a holder.
    intact: bool,
    since: Instant,
}

impl View {
    /// Of one who has not looked yet.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            record: LeaseSpec::default(),
            intact: false,
            since: now,
        }
    }

    /// Takes in what the lease was at some time before `now`.
    ///
    /// What is no record of a holder does not make us forget the last one: who loses the lease by somebody else's hand
    /// leads on until it finds out, and has as long for that as if it had renewed just then.
    pub(super) fn see(&mut self, lease: Option<&Lease>, now: Instant) {
        let record = lease
            .and_then(|lease| lease.spec.as_ref())
            .filter(|record| record.holder_identity.is_some());
        let unchanged = match record {
            Some(record) => self.intact && *record == self.record,
            None => !self.intact,
        };
        if !unchanged {
            self.since = now;
        }
        self.intact = record.is_some();
        if let Some(record) = record {
            self.record = record.clone();
        }
    }

    /// What `identity` may do now.
    ///
    /// The record's own times do not matter, because they are of another machine's clock: only how long we have seen
    /// nothing new.
    pub(super) fn decide(&self, identity: &str, now: Instant) -> Action {
        match holder(&self.record) {
            Some(other) if other != identity => {
                let unchanged_for = now.saturating_duration_since(self.since);
                match self.duration().saturating_sub(unchanged_for) {
                    Duration::ZERO => Action::Claim,
                    left => Action::Wait(left),
                }
            }
            _ => Action::Claim,
        }
    }

    /// How long the holder may stay silent: what it says itself, but never less than we would.
    fn duration(&self) -> Duration {
        let seconds = self.record.lease_duration_seconds.unwrap_or_default();
        Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
            .clamp(LEASE_DURATION, LEASE_DURATION_MAX)
    }

    /// The record by which `identity` takes or renews the lease.
    pub(super) fn claim(&self, identity: &str, wall_clock: SystemTime) -> LeaseSpec {
        let now = micro_time(wall_clock);
        let mut record = self.record.clone();
        if holder(&record) != Some(identity) {
            record.lease_transitions = Some(
                record
                    .lease_transitions
                    .map_or(0, |count| count.saturating_add(1)),
            );
            record.acquire_time.clone_from(&now);
        }
        record.holder_identity = Some(identity.to_owned());
        record.lease_duration_seconds = i32::try_from(LEASE_DURATION.as_secs()).ok();
        record.renew_time = now;
        record
    }
}

/// Who holds the lease, by its record. Nobody where the holder gave it back.
pub(super) fn holder(record: &LeaseSpec) -> Option<&str> {
    record
        .holder_identity
        .as_deref()
        .filter(|holder| !holder.is_empty())
}

/// The record by which its holder gives the lease back.
pub(super) fn released(record: LeaseSpec, wall_clock: SystemTime) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(String::new()),
        renew_time: micro_time(wall_clock),
        ..record
    }
}

/// For people to read. A clock that is off by more than all of history shows as none.
fn micro_time(time: SystemTime) -> Option<MicroTime> {
    let micros = time.duration_since(UNIX_EPOCH).ok()?.as_micros();
    let time = Timestamp::from_microsecond(i64::try_from(micros).ok()?).ok()?;
    Some(MicroTime(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: &str = "us";

    /// What the lease was, at which second.
    type Seen = Vec<(u64, Option<Lease>)>;

    /// A lease that `holder` renewed at a second of these tests, by its own clock.
    fn lease(holder: &str, renewed: u64) -> Lease {
        let mut record = View::new(Instant::now()).claim(holder, wall(renewed));
        record.lease_transitions = Some(3);
        Lease {
            spec: Some(record),
            ..Lease::default()
        }
    }

    fn edited(mut lease: Lease, edit: impl FnOnce(&mut LeaseSpec)) -> Lease {
        lease.spec.as_mut().map(edit);
        lease
    }

    fn wall(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
    }

    #[test]
    fn when_a_lease_may_be_claimed() {
        const CLAIM: Action = Action::Claim;
        let wait = |seconds| Action::Wait(Duration::from_secs(seconds));
        let held = || Some(lease("them", 600));
        let released = || {
            Some(edited(lease("them", 600), |record| {
                *record = released(record.clone(), wall(601));
            }))
        };
        let corrupt = || {
            Some(Lease {
                spec: None,
                ..Lease::default()
            })
        };
        let nameless = || {
            Some(edited(lease("them", 600), |record| {
                record.holder_identity = None;
            }))
        };
        let lasting = |seconds| {
            Some(edited(lease("them", 600), |record| {
                record.lease_duration_seconds = seconds;
            }))
        };
        // What was seen; and what to do at which second.
        #[rustfmt::skip]
        let cases: Vec<(&str, Seen, u64, Action)> = vec![
            ("nothing was seen yet", vec![], 0, CLAIM),
            ("no lease", vec![(0, None)], 0, CLAIM),
            ("a lease without a record", vec![(0, corrupt())], 0, CLAIM),
            ("released", vec![(0, released())], 0, CLAIM),
            ("released by the holder that we saw", vec![(0, held()), (2, released())], 2, CLAIM),
            ("ours", vec![(0, Some(lease(US, 0)))], 0, CLAIM),
            ("ours, and we were away for long", vec![(0, Some(lease(US, 0)))], 900, CLAIM),
            ("another's, seen for the first time", vec![(0, held())], 0, wait(15)),
            ("another's, seen once", vec![(0, held())], 14, wait(1)),
            ("another's, unchanged for too long", vec![(0, held()), (7, held()), (14, held())], 15, CLAIM),
            ("another's, renewed", vec![(0, held()), (14, Some(lease("them", 614)))], 15, wait(14)),
            ("another's, whose clock went back", vec![(0, held()), (14, Some(lease("them", 0)))], 15, wait(14)),
            ("renewed 5 minutes ago, by its holder's clock", vec![(0, Some(lease("them", 300)))], 14, wait(1)),
            ("renewed in 5 minutes, by its holder's clock", vec![(0, Some(lease("them", 900)))], 15, CLAIM),
            ("a conflict, and then another's", vec![(0, held()), (15, Some(lease("those", 615)))], 15, wait(15)),
            ("a conflict, and still ours", vec![(0, Some(lease(US, 0))), (2, Some(lease(US, 1)))], 2, CLAIM),
            ("deleted while it was ours", vec![(0, Some(lease(US, 0))), (2, None)], 2, CLAIM),
            ("deleted while another held it", vec![(0, held()), (14, None)], 15, wait(14)),
            ("deleted for long", vec![(0, held()), (14, None), (20, None)], 29, CLAIM),
            ("emptied while another held it", vec![(0, held()), (14, corrupt())], 15, wait(14)),
            ("made nameless while another held it", vec![(0, held()), (14, nameless()), (20, corrupt())], 29, CLAIM),
            ("deleted and made anew", vec![(0, held()), (2, None), (4, held())], 18, wait(1)),
            ("a duration of a second", vec![(0, lasting(Some(1)))], 14, wait(1)),
            ("a longer duration", vec![(0, lasting(Some(30)))], 15, wait(15)),
            ("a duration of 68 years", vec![(0, lasting(Some(i32::MAX)))], 60, CLAIM),
            ("no duration", vec![(0, lasting(None))], 15, CLAIM),
        ];
        for (what, seen, at, expected) in cases {
            let start = Instant::now();
            let mut view = View::new(start);
            for (second, lease) in seen {
                view.see(lease.as_ref(), start + Duration::from_secs(second));
            }
            let action = view.decide(US, start + Duration::from_secs(at));
            assert_eq!(action, expected, "{what}");
        }
    }

    #[test]
    fn what_a_claim_says() {
        let start = Instant::now();
        let mut view = View::new(start);
        let first = view.claim(US, wall(0));
        assert_eq!(first.holder_identity.as_deref(), Some(US));
        assert_eq!(first.lease_duration_seconds, Some(15));
        assert_eq!(first.lease_transitions, Some(0));
        assert_eq!(first.acquire_time, micro_time(wall(0)));
        assert_eq!(first.renew_time, first.acquire_time);

        view.see(Some(&lease(US, 0)), start);
        let renewed = view.claim(US, wall(2));
        assert_eq!(renewed.lease_transitions, Some(3));
        assert_eq!(renewed.acquire_time, micro_time(wall(0)));
        assert_eq!(renewed.renew_time, micro_time(wall(2)));

        let record = released(renewed, wall(4));
        assert_eq!(record.holder_identity.as_deref(), Some(""));
        view.see(
            Some(&Lease {
                spec: Some(record),
                ..Lease::default()
            }),
            start,
        );
        let taken = view.claim("them", wall(6));
        assert_eq!(taken.lease_transitions, Some(4));
        assert_eq!(taken.acquire_time, micro_time(wall(6)));

        // A recreated lease goes on counting.
        view.see(Some(&lease("them", 6)), start);
        view.see(None, start);
        assert_eq!(view.claim(US, wall(30)).lease_transitions, Some(4));

        view.see(
            Some(&edited(lease("them", 6), |record| {
                record.lease_transitions = Some(i32::MAX);
            })),
            start,
        );
        assert_eq!(view.claim(US, wall(30)).lease_transitions, Some(i32::MAX));
    }
}
