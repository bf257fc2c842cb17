//! The ways to deliver OCI skills.

use serde::Serialize;
use strum::{Display, EnumString};

use super::pod::Pod;
use super::reason::Reason;
use crate::api::Keys;
use crate::names::Named;
use crate::team::Team;

/// How OCI skills get into a Pod. `ConfigMap` skills are always mounted.
#[derive(
    Clone, Copy, Debug, Default, Display, EnumString, PartialEq, Eq, PartialOrd, Ord, Serialize,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Delivery {
    /// One ORAS init container a skill.
    #[default]
    Oras,
    /// One init container of our own for all skills.
    Puller,
    /// One OCI image volume a skill.
    Image,
}

impl Delivery {
    /// What the Pod's annotation says, else the team's, else `default`.
    ///
    /// # Errors
    /// When the one that decides says something else than a mode.
    pub fn choose(pod: &Pod<'_>, team: &Team, keys: &Keys, default: Self) -> Result<Self, Reason> {
        match pod.annotation(&keys.delivery) {
            Some(value) => Self::parse(&value, "the Pod", keys),
            None => Ok(Self::of_team(team, keys)?.unwrap_or(default)),
        }
    }

    /// What the team's annotation says, if it has one.
    ///
    /// # Errors
    /// When it says something else than a mode.
    pub fn of_team(team: &Team, keys: &Keys) -> Result<Option<Self>, Reason> {
        let value = team.delivery.as_deref();
        value
            .map(|value| Self::parse(value, &format!("AgentTeam {}", Named(&team.name)), keys))
            .transpose()
    }

    fn parse(value: &str, owner: &str, keys: &Keys) -> Result<Self, Reason> {
        value.parse().map_err(|_| Reason::UnknownDelivery {
            place: format!("the annotation {} of {owner}", keys.delivery),
            value: value.to_owned(),
        })
    }
}
