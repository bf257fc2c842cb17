//! What is due: pure, from what was read at one moment. [`super::self_signed`] reads and writes.
//!
//! An authority goes through four steps, and each replica may take the next one:
//!
//! 1. It is **published**: put before the authority in service, in the Secret and then in each `caBundle`. The
//!    certificate that is served stays.
//! 2. When each `caBundle` was seen to hold it, for as long as API servers may take to notice, it goes **into service**:
//!    a certificate of its own replaces the one that is served.
//! 3. At two thirds of its life, its successor is published.
//! 4. It is **forgotten** when no certificate that it issued can be valid any more.
//!
//! A Secret that is deleted or corrupt is step 1 as well: what a replica serves, and whom the `caBundle`s trust, stays.

use super::InvalidCertificate;
use super::authority::{Authority, Pair};
use super::bundle::Look;
use super::secret::{AUTHORITIES_MAX, Content, add};

const DAY: i64 = 86_400;

/// How long things are valid, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// An authority.
    pub authority: i64,
    /// A certificate that is served.
    pub leaf: i64,
}

impl Default for Lifetimes {
    /// 90 days and 7 days: an authority is replaced after 60, which leaves 30 to make its successor known.
    fn default() -> Self {
        Self {
            authority: 90 * DAY,
            leaf: 7 * DAY,
        }
    }
}

/// What this process serves, and who certified it.
#[derive(Clone)]
pub struct Serving {
    /// The certificate.
    pub pair: Pair,
    /// Its authority.
    pub authority: Authority,
}

/// What was read at one moment.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// What the Secret holds; nothing where there is no Secret.
    pub stored: &'a Content,
    /// What this process serves.
    pub serving: Option<&'a Serving>,
    /// The configurations.
    pub looks: &'a [Look],
    /// Whether each `caBundle` was seen to hold the newest authority for long enough.
    pub settled: bool,
    /// The names that the certificate must be for.
    pub names: &'a [String],
    /// Seconds since 1970.
    pub now: i64,
}

/// How the Secret must change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new authority, before the others.
    Publish,
    /// The authority of what this process serves, which is missing.
    Trust,
    /// A new certificate, of the authority at this place.
    Issue(usize),
    /// Only the newest authority.
    Forget,
}

impl View<'_> {
    /// The next change, if one is due.
    #[must_use]
    pub fn due(&self) -> Option<Change> {
        let stored = self.stored;
        let Some(newest) = stored.newest(self.now) else {
            return Some(Change::Publish);
        };
        if self
            .still_served()
            .is_some_and(|serving| !stored.authorities.contains(&serving.authority))
        {
            return Some(Change::Trust);
        }
        let pair = stored.valid_pair(self.now);
        let ends = pair.map_or(self.now, |pair| pair.validity().not_after);
        let wanted = pair.is_none_or(|pair| !pair.covers(self.names));
        // One that ends with its authority is not made longer by another.
        let wanted_of = |issuer: &Authority| {
            let due = pair.is_some_and(|pair| pair.validity().is_due(self.now));
            wanted || (due && issuer.validity().not_after > ends)
        };
        if pair.is_some_and(|pair| newest.certified(pair)) {
            return if newest.validity().is_due(self.now) {
                Some(Change::Publish)
            } else if wanted_of(newest) {
                Some(Change::Issue(0))
            } else if self.can_forget() {
                Some(Change::Forget)
            } else {
                None
            };
        }
        if self.is_published(newest) {
            return Some(Change::Issue(0));
        }
        let usable = |one: &Authority| one.has_key() && !one.validity().has_ended(self.now);
        let earlier = stored.authorities.iter().skip(1).position(usable);
        let earlier =
            earlier.and_then(|index| Some((index + 1, stored.authorities.get(index + 1)?)));
        match earlier {
            Some((index, issuer)) if wanted_of(issuer) => Some(Change::Issue(index)),
            Some(_) => None,
            // Nobody has anything better to serve.
            None => pair.is_none().then_some(Change::Issue(0)),
        }
    }

    /// What the Secret holds after `change`.
    ///
    /// # Errors
    /// When a certificate cannot be made.
    pub fn after(
        &self,
        change: Change,
        lifetimes: Lifetimes,
    ) -> Result<Content, InvalidCertificate> {
        let now = self.now;
        let mut next = Content {
            authorities: Vec::new(),
            ..self.stored.clone()
        };
        let known = self.stored.authorities.iter().cloned();
        let served = self.still_served();
        let served_by = served.map(|serving| serving.authority.clone());
        match change {
            Change::Publish => {
                let newest = Authority::make(now, lifetimes.authority)?;
                add(&mut next.authorities, [newest]);
                add(&mut next.authorities, known.chain(served_by));
                // Others may serve what these have certified.
                let trusted = self.looks.iter().flat_map(Look::authorities);
                add(&mut next.authorities, trusted);
                let pair = self.stored.valid_pair(now);
                let pair = pair.or(served.map(|serving| &serving.pair));
                next.pair = match (pair, next.authorities.first()) {
                    (Some(pair), _) => Some(pair.clone()),
                    (None, Some(newest)) => Some(newest.issue(self.names, now, lifetimes.leaf)?),
                    (None, None) => None,
                };
                next.trusted_until = None;
            }
            Change::Trust => {
                add(&mut next.authorities, known.chain(served_by));
                let until = served.map(|serving| serving.pair.validity().not_after);
                next.trusted_until = next.trusted_until.max(until);
            }
            Change::Issue(index) => {
                add(&mut next.authorities, known);
                let issuer = next.authorities.get(index);
                let names = self.names_to_issue();
                next.pair = issuer
                    .map(|issuer| issuer.issue(&names, now, lifetimes.leaf))
                    .transpose()?;
            }
            Change::Forget => add(&mut next.authorities, known.take(1)),
        }
        self.tidy(&mut next, lifetimes);
        Ok(next)
    }

    /// What this process should serve from now on, if that is another certificate.
    #[must_use]
    pub fn serve(&self) -> Option<Serving> {
        let pair = self.stored.valid_pair(self.now)?;
        if self.serving.is_some_and(|serving| serving.pair == *pair) {
            return None;
        }
        let authority = self.stored.issuer(pair)?;
        let better = match self.still_served() {
            None => true,
            Some(serving) => {
                let is_newest = self.stored.authorities.first() == Some(authority);
                serving.authority == *authority
                    || (self.is_held(authority) && (self.settled || !is_newest))
            }
        };
        better.then(|| Serving {
            pair: pair.clone(),
            authority: authority.clone(),
        })
    }

    /// Whether each `caBundle` holds `authority`.
    #[must_use]
    pub fn is_held(&self, authority: &Authority) -> bool {
        self.looks.iter().all(|look| look.holds(authority))
    }

    /// Whether clients trust `newest`, or soon will and trust nobody else.
    fn is_published(&self, newest: &Authority) -> bool {
        let alone = self.stored.valid_pair(self.now).is_none() && self.still_served().is_none();
        self.is_held(newest) && (self.settled || alone)
    }

    fn still_served(&self) -> Option<&Serving> {
        self.serving
            .filter(|serving| !serving.pair.validity().has_ended(self.now))
    }

    fn can_forget(&self) -> bool {
        let earlier = || self.stored.authorities.iter().skip(1);
        let over = |until| until <= self.now;
        earlier().next().is_some()
            && (self.stored.trusted_until.is_some_and(over)
                || earlier().all(|one| one.validity().has_ended(self.now)))
    }

    /// Ours; and, while replicas with other names may run, theirs.
    fn names_to_issue(&self) -> Vec<String> {
        let mut names = self.names.to_vec();
        if let Some(pair) = self.stored.valid_pair(self.now)
            && !pair.covers(self.names)
        {
            names.extend(pair.dns_names());
        }
        names
    }

    /// Leaves out who has ended and the keys that are not needed, and says until when the others are trusted.
    fn tidy(&self, next: &mut Content, lifetimes: Lifetimes) {
        let now = self.now;
        next.authorities
            .retain(|one| !one.validity().has_ended(now));
        next.authorities.truncate(AUTHORITIES_MAX);
        let Some(newest) = next.authorities.first() else {
            return;
        };
        let in_service = next
            .pair
            .as_ref()
            .is_some_and(|pair| newest.certified(pair));
        let was_in_service = self
            .stored
            .valid_pair(now)
            .is_some_and(|pair| newest.certified(pair));
        if next.authorities.len() == 1 {
            next.trusted_until = None;
        } else if in_service && !was_in_service {
            // Nothing that an earlier one issued is valid for longer.
            next.trusted_until = next.trusted_until.max(Some(now + lifetimes.leaf));
        }
        let pair = next.pair.as_ref();
        for one in next.authorities.iter_mut().skip(1) {
            if one.has_key() && !pair.is_some_and(|pair| one.certified(pair)) {
                *one = one.clone().without_key();
            }
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
