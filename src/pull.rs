//! The puller: skills from OCI registries into directories.
//!
//! | | |
//! |---|---|
//! | [`credentials`], [`auth`] | who we are, and whom we tell |
//! | [`reach`], [`authorities`], [`clients`] | whom we speak to, and whom we believe |
//! | [`registry`], [`retry`] | requests, redirects, and what is tried again |
//! | [`artifact`], [`manifest`], [`digest`] | from a reference to what is in it, read strictly |
//! | [`signature`] | whether one of the keys that may have signed it did |
//! | [`package`] | which layers are needed, and how each is to be read |
//! | [`transfer`] | layers on their way into files: verified, resumed |
//! | [`archive`], [`path`], [`limits`] | tar archives, read strictly |
//! | [`tree`], [`select`], [`skill_md`] | what the layers hold together, where in it the skill is, whether it is one |
//! | [`mod@unpack`], [`publish`], [`files`] | the skill's directory, which appears whole or not at all |
//! | [`inspect`] | which ways of delivery can make a skill of an artifact |
//! | [`failure`] | why a skill was not pulled |

pub mod archive;
pub mod artifact;
pub mod auth;
pub mod authorities;
pub mod clients;
pub mod credentials;
pub mod digest;
pub mod failure;
pub mod files;
pub mod inspect;
pub mod limits;
pub mod manifest;
pub mod package;
pub mod path;
pub mod publish;
pub mod reach;
pub mod registry;
pub mod retry;
pub mod select;
pub mod signature;
pub mod skill_md;
pub mod transfer;
pub mod tree;
pub mod unpack;

use std::cell::RefCell;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use clients::Clients;
use credentials::Credentials;
use digest::Digest;
use failure::Failure;
use inspect::Inspection;
use limits::{Limits, OverLimit};
use package::Package;
use publish::Staging;
use registry::Repository;
use retry::TimeLimit;
use signature::Keys;
use transfer::Event;
use unpack::{UnpackError, Unpacked};

use crate::inject::settings::PlainHttpHost;
use crate::skill::{Reference, SkillName};

/// How many requests are made at once. More would only fill buffers.
const REQUESTS_MAX: usize = 16;

/// How many skills are unpacked at once: one that is made to may need 30 MiB.
const UNPACKINGS_MAX: usize = 1;

/// A layer that was downloaded, in full and as its digest says.
#[derive(Debug)]
pub struct Blob {
    /// Which of the manifest's layers it is.
    pub layer: usize,
    /// What it holds, to be read from the start. The file has no name and is gone when this is dropped.
    pub file: File,
}

/// A skill that is to be pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What it is called, and its directory.
    pub name: SkillName,
    /// Where it is.
    pub reference: Reference,
}

/// How registries are spoken to.
#[derive(Debug)]
pub struct Access {
    /// Who we are.
    pub credentials: Credentials,
    /// The registries that are spoken to without TLS.
    pub plain_http: Vec<PlainHttpHost>,
    /// How long all of it may take.
    pub timeout: Duration,
}

/// Where skills go, and what they may be.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The directory in which each skill gets one of its own.
    pub output: PathBuf,
    /// What each may hold.
    pub limits: Limits,
    /// The keys of which one must have signed each, where signatures are asked for.
    pub keys: Option<Keys>,
    /// Whether a `SKILL.md` that is not as specified is an error.
    pub is_strict: bool,
}

/// A skill that was pulled.
#[derive(Debug)]
pub struct Pulled {
    /// The digest that its reference stands for.
    pub digest: Digest,
    /// Its directory.
    pub path: PathBuf,
    /// What is in it.
    pub unpacked: Unpacked,
}

/// Speaks to registries.
pub struct Puller<'a> {
    access: &'a Access,
    clients: Clients,
    time: TimeLimit,
    requests: Semaphore,
    unpackings: Semaphore,
}

impl<'a> Puller<'a> {
    /// The time limit begins now.
    #[must_use]
    pub fn new(access: &'a Access) -> Self {
        let time = TimeLimit::starting(access.timeout);
        Self {
            access,
            clients: Clients::new(time.silence()),
            time,
            requests: Semaphore::new(REQUESTS_MAX),
            unpackings: Semaphore::new(UNPACKINGS_MAX),
        }
    }

    /// Pulls skills side by side. Each succeeds or fails by itself; the results are in the order of `wanted`.
    ///
    /// Must be called within a tokio runtime, whose threads for blocking work unpack.
    pub async fn pull(
        &self,
        wanted: &[Wanted],
        destination: &Destination,
        watch: &dyn Fn(usize, Event<'_>),
    ) -> Vec<Result<Pulled, Failure>> {
        let pulls = wanted.iter().enumerate().map(async |(index, wanted)| {
            self.pull_one(wanted, destination, &|event| watch(index, event))
                .await
        });
        join_all(pulls).await
    }

    /// Looks at what a reference names, without its layers.
    ///
    /// # Errors
    /// When it cannot be had in time, or is not followed.
    pub async fn inspect(
        &self,
        reference: &Reference,
        watch: &dyn Fn(Event<'_>),
    ) -> Result<Inspection, Failure> {
        let repository = self.repository(reference)?;
        let work = async |watch: &dyn Fn(Event<'_>)| {
            let found = artifact::resolve(&repository, reference, watch).await?;
            let config = &found.manifest.config;
            let is_readable =
                inspect::is_image(&found.manifest) && config.size <= manifest::SIZE_MAX as u64;
            let config = if is_readable {
                let file = transfer::download(&repository, config, watch).await?;
                serde_json::from_reader(BufReader::new(file)).ok()
            } else {
                None
            };
            Ok(Inspection::of(&found, config.as_ref()))
        };
        self.in_time(watch, work).await
    }

    async fn pull_one(
        &self,
        wanted: &Wanted,
        destination: &Destination,
        watch: &dyn Fn(Event<'_>),
    ) -> Result<Pulled, Failure> {
        let repository = self.repository(&wanted.reference)?;
        let work = async |watch: &dyn Fn(Event<'_>)| {
            self.download(&repository, wanted, destination, watch).await
        };
        let (digest, package, blobs) = self.in_time(watch, work).await?;
        watch(Event::Unpacking);
        let _turn = self.unpackings.acquire().await;
        let (name, destination) = (wanted.name.clone(), destination.clone());
        let work = move || unpack(&package, &blobs, &name, &destination);
        let done = tokio::task::spawn_blocking(work).await;
        let (path, unpacked) = done.map_err(|error| Failure::Bug(error.to_string()))??;
        watch(Event::Done);
        Ok(Pulled {
            digest,
            path,
            unpacked,
        })
    }

    /// Downloads the layers that are needed; not one of what is not signed as it must be.
    async fn download(
        &self,
        repository: &Repository<'_>,
        wanted: &Wanted,
        destination: &Destination,
        watch: &dyn Fn(Event<'_>),
    ) -> Result<(Digest, Package, Vec<Blob>), Failure> {
        let found = {
            let _turn = self.requests.acquire().await;
            let found = artifact::resolve(repository, &wanted.reference, watch).await?;
            if let Some(keys) = &destination.keys {
                signature::verify(repository, &found.digest, keys, watch).await?;
            }
            found
        };
        let limits = destination.limits;
        let package = package::needed(&found.manifest)?;
        let layers = &found.manifest.layers;
        let parts = || {
            package
                .parts
                .iter()
                .filter_map(|part| Some((part.layer, layers.get(part.layer)?)))
        };
        let total = parts().fold(0, |total: u64, (_, layer)| total.saturating_add(layer.size));
        // What cannot be compressed grows a little when it is.
        if total
            > limits
                .bytes
                .saturating_add(limits.bytes / 64)
                .saturating_add(1 << 20)
        {
            return Err(UnpackError::Limit(OverLimit::Bytes(limits.bytes)).into());
        }
        watch(Event::Expected(total));
        let downloads = parts().map(async |(layer, descriptor)| {
            let _turn = self.requests.acquire().await;
            let file = transfer::download(repository, descriptor, watch).await?;
            Ok::<_, Failure>(Blob { layer, file })
        });
        let blobs = try_join_all(downloads).await?;
        Ok((found.digest, package, blobs))
    }

    fn repository(&self, reference: &Reference) -> Result<Repository<'_>, Failure> {
        let is_plain = self
            .access
            .plain_http
            .iter()
            .any(|plain| plain.is(reference.host()));
        Repository::new(
            &self.clients,
            self.time,
            reference,
            is_plain,
            &self.access.credentials,
        )
    }

    /// Does `work` within the time limit, and remembers what it had to try again.
    async fn in_time<T>(
        &self,
        watch: &dyn Fn(Event<'_>),
        work: impl AsyncFnOnce(&dyn Fn(Event<'_>)) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let last = RefCell::new(None);
        let remember = |event: Event<'_>| {
            if let Event::Waiting(failure, _) = &event {
                last.replace(Some(failure.to_string()));
            }
            watch(event);
        };
        let done = timeout_at(self.time.end, work(&remember)).await;
        done.unwrap_or_else(|_| {
            Err(Failure::TimedOut {
                limit: self.time.limit,
                last: last.take(),
            })
        })
    }
}

/// Unpacks one skill and lets it appear.
fn unpack(
    package: &Package,
    blobs: &[Blob],
    name: &SkillName,
    destination: &Destination,
) -> Result<(PathBuf, Unpacked), Failure> {
    let Destination {
        output,
        limits,
        keys: _,
        is_strict,
    } = destination;
    let staging = Staging::prepare(output, name)?;
    let unpacked = unpack::unpack(package, blobs, name, *limits, *is_strict, &staging)?;
    Ok((staging.publish()?, unpacked))
}
