//! The ways to deliver OCI skills.

use serde::Serialize;
use strum::{Display, EnumString};

use thiserror::Error;

use super::pod::Pod;
use super::reason::Reason;
use super::settings::{IMAGE_VOLUMES_SINCE, ImageName, ServerVersion, Settings};
use crate::api::Keys;
use crate::names::Named;
use crate::team::Team;

/// How OCI skills get into a Pod. `ConfigMap` skills are always mounted.
#[derive(Clone, Copy, Debug, Default, Display, EnumString, Hash, PartialEq, Eq, Serialize)]
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

/// A mode that can deliver, and what it needs for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means<'a> {
    /// One init container a skill.
    Oras,
    /// One init container of this image.
    Puller(&'a ImageName),
    /// Image volumes.
    Image,
}

/// Why a mode cannot deliver here.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Unavailable {
    /// Nobody said which image the puller is in.
    #[error(
        "delivery puller needs the image of agentteam-webhook itself, which this server was not told; set --webhook-image, or use oras"
    )]
    NoWebhookImage,
    /// The cluster cannot mount images.
    #[error(
        "delivery image needs Kubernetes {IMAGE_VOLUMES_SINCE} or newer, and this cluster has {0}; use puller or oras"
    )]
    OldServer(ServerVersion),
    /// The cluster may not be able to mount images.
    #[error(
        "delivery image needs Kubernetes {IMAGE_VOLUMES_SINCE} or newer, and the version of the API server is not known; set --server-version, or use puller or oras"
    )]
    UnknownServer,
}

impl Delivery {
    /// What the Pod's annotation says, else the team's, else `default`.
    ///
    /// # Errors
    /// When the one that decides says something else than a mode.
    pub fn choose(pod: &Pod<'_>, team: &Team, keys: &Keys, default: Self) -> Result<Self, Reason> {
        match pod.annotation(&keys.delivery) {
            Some(value) => Self::parse(value, "the Pod", keys),
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

    /// What this mode delivers with, by these settings on a server of this version.
    ///
    /// # Errors
    /// When it cannot deliver there.
    pub fn means(
        self,
        settings: &Settings,
        server: Option<ServerVersion>,
    ) -> Result<Means<'_>, Unavailable> {
        match self {
            Self::Oras => Ok(Means::Oras),
            Self::Puller => {
                let image = settings.puller.webhook_image.as_ref();
                image.map(Means::Puller).ok_or(Unavailable::NoWebhookImage)
            }
            Self::Image => match server {
                None => Err(Unavailable::UnknownServer),
                Some(version) if version < IMAGE_VOLUMES_SINCE => {
                    Err(Unavailable::OldServer(version))
                }
                Some(_) => Ok(Means::Image),
            },
        }
    }
}
