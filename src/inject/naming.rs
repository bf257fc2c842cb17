//! Names of volumes and containers: DNS labels of at most 63 characters, for skills whose names may have 64.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use crate::names::LABEL_MAX;

/// What the name of a skill's volume begins with.
pub(super) const VOLUME_PREFIX: &str = "skill-";

/// The volume with registry credentials, named as the original operator names it.
pub(super) const AUTH_VOLUME: &str = "skill-auth";
/// The writable temporary directory: ORAS unpacks there.
pub(super) const TEMPORARY_VOLUME: &str = "pull-skills-tmp";
/// The empty volume that keeps a `ServiceAccount` token out of the pullers.
pub(super) const NO_TOKEN_VOLUME: &str = "pull-skills-no-token";
/// The volume with certificates of more authorities.
pub(super) const CA_VOLUME: &str = "pull-skills-ca";

/// The volume with the keys that skills must be signed with.
pub(super) const KEY_VOLUME: &str = "pull-skills-key";

/// The init container that pulls all skills. No skill's own puller has this name: those go on with `-`.
const SKILLS_PULLER: &str = "pull-skills";

/// How much of a hash stands in a shortened name: 48 bits.
const HASH_LENGTH: usize = 12;

/// Gives each skill of one agent names that no other has.
#[derive(Default)]
pub(super) struct Names {
    taken: HashSet<String>,
}

impl Names {
    /// The name of the skill's volume, `skill-{name}`.
    pub(super) fn volume(&mut self, skill: &str) -> String {
        self.unique(VOLUME_PREFIX, skill)
    }

    /// The name of the skill's puller, `pull-skill-{name}`.
    pub(super) fn puller(&mut self, skill: &str) -> String {
        self.unique("pull-skill-", skill)
    }

    /// `{prefix}{skill}`, or a shortened form with a hash where that is too long or taken.
    fn unique(&mut self, prefix: &str, skill: &str) -> String {
        let mut name = format!("{prefix}{skill}");
        let mut salt = 0_u32;
        while name.len() > LABEL_MAX || name == AUTH_VOLUME || self.taken.contains(&name) {
            name = shortened(prefix, skill, salt);
            salt += 1;
        }
        self.taken.insert(name.clone());
        name
    }
}

/// Whether a volume or a container of this name may be ours: all names that are given here, and those of the shared volumes,
/// begin so.
pub(super) fn is_of_ours(name: &str) -> bool {
    name.starts_with(VOLUME_PREFIX) || name.starts_with("pull-skill")
}

/// A name for the init container that pulls all skills: the first of `pull-skills`, `pull-skills-2` and so on that is free.
pub(super) fn free_skills_puller(is_taken: impl Fn(&str) -> bool) -> String {
    let mut name = SKILLS_PULLER.to_owned();
    let mut number = 1_u32;
    while is_taken(&name) {
        number += 1;
        name = format!("{SKILLS_PULLER}-{number}");
    }
    name
}

/// Whether an init container of this name pulls skills together.
#[must_use]
pub fn is_skills_puller(name: &str) -> bool {
    name.strip_prefix(SKILLS_PULLER).is_some_and(|rest| {
        rest.is_empty()
            || rest
                .strip_prefix('-')
                .is_some_and(|number| number.parse::<u32>().is_ok())
    })
}

fn shortened(prefix: &str, skill: &str, salt: u32) -> String {
    let mut hash = Sha256::new();
    hash.update(skill);
    hash.update(salt.to_be_bytes());
    let digest = hash.finalize();
    let bits = digest
        .iter()
        .take(HASH_LENGTH / 2)
        .fold(0_u64, |bits, &byte| bits << 8 | u64::from(byte));
    let room = LABEL_MAX - prefix.len() - 1 - HASH_LENGTH;
    let kept = skill.get(..room.min(skill.len())).unwrap_or_default();
    format!("{prefix}{kept}-{bits:0HASH_LENGTH$x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::is_dns_label;

    #[test]
    fn short_names_are_as_the_original_s() {
        let mut names = Names::default();
        assert_eq!(names.volume("web"), "skill-web");
        assert_eq!(names.puller("web"), "pull-skill-web");
        let longest = "x".repeat(57);
        assert_eq!(names.volume(&longest), format!("skill-{longest}"));
    }

    #[test]
    fn long_names_are_shortened_without_collision() {
        let mut names = Names::default();
        let long = |last: char| "x".repeat(63) + &last.to_string();
        let made = [
            names.volume(&long('a')),
            names.volume(&long('b')),
            names.puller(&long('a')),
            names.puller(&long('b')),
        ];
        for name in &made {
            assert!(is_dns_label(name, LABEL_MAX), "{name}");
        }
        let distinct: std::collections::HashSet<_> = made.iter().collect();
        assert_eq!(distinct.len(), 4);
    }

    #[test]
    fn the_puller_of_all_skills_is_told_from_those_of_one() {
        let taken = ["pull-skills", "pull-skills-2"];
        assert_eq!(free_skills_puller(|_| false), "pull-skills");
        let next = free_skills_puller(|name| taken.contains(&name));
        assert_eq!(next, "pull-skills-3");
        assert!(taken.into_iter().chain([&*next]).all(is_skills_puller));
        let mut names = Names::default();
        for other in ["s", "skills", "s-2"].map(|skill| names.puller(skill)) {
            assert!(!is_skills_puller(&other), "{other}");
        }
        assert!(!is_skills_puller("pull-skills-tmp"));
    }

    #[test]
    fn a_skill_named_as_a_shortened_one_gets_another_name() {
        let mut names = Names::default();
        let shortened = names.volume("auth");
        assert_ne!(shortened, AUTH_VOLUME);
        let imitation = shortened.strip_prefix("skill-").unwrap();
        assert_ne!(names.volume(imitation), shortened);
    }
}
