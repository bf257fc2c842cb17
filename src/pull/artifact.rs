//! From a reference to a manifest: resolved, verified, and chosen by platform.

use std::env::consts::ARCH;

use reqwest::header::CONTENT_TYPE;
use tokio::time::Instant;

use super::digest::Digest;
use super::failure::Failure;
use super::manifest::{
    DOCKER_INDEX, DOCKER_MANIFEST, Descriptor, Document, Index, Manifest, OCI_INDEX, OCI_MANIFEST,
    Platform, SIZE_MAX,
};
use super::registry::Repository;
use super::retry::{Problem, Tries};
use super::transfer::Event;
use crate::names::Listed;
use crate::skill::Reference;

/// How many indexes may stand behind each other.
const DEPTH_MAX: usize = 3;

/// Where a registry says which digest it believes that a manifest has.
const CONTENT_DIGEST: &str = "docker-content-digest";

/// An artifact that a reference names.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The digest of what the reference names: the index, if it is one.
    pub digest: Digest,
    /// How many manifests for real platforms the index has that the reference names, if it names one.
    pub index: Option<usize>,
    /// What is in it.
    pub manifest: Manifest,
}

/// Finds what `reference` names.
///
/// # Errors
/// When it cannot be had, or is not what its digest says, or has nothing for this platform.
pub async fn resolve(
    repository: &Repository<'_>,
    reference: &Reference,
    watch: &dyn Fn(Event<'_>),
) -> Result<Artifact, Failure> {
    let version = reference.digest().or(reference.tag()).unwrap_or_default();
    let (mut at, mut descriptor) = (At::Manifest(version.to_owned()), None);
    let (mut first, mut platforms) = (None, None);
    for _ in 0..=DEPTH_MAX {
        let (digest, document) = fetch(repository, &at, descriptor.as_ref(), watch).await?;
        let digest = first.get_or_insert(digest);
        let index = match document {
            Document::Manifest(manifest) => {
                return Ok(Artifact {
                    digest: digest.clone(),
                    index: platforms,
                    manifest: *manifest,
                });
            }
            Document::Index(index) => index,
        };
        platforms.get_or_insert(real(&index).count());
        let chosen = choose(&index).ok_or_else(|| refused(repository, unfit(&index)))?;
        at = At::Manifest(chosen.digest.to_string());
        descriptor = Some(chosen.clone());
    }
    let what = format!("has more than {DEPTH_MAX} indexes one behind the other");
    Err(refused(repository, what))
}

/// Where a document is.
pub(super) enum At {
    /// By a tag or a digest.
    Manifest(String),
    /// What the registry lists as referring to a digest.
    Referrers(Digest),
}

/// Fetches a document, which must be what `descriptor` says, where there is one. Its digest comes with it.
pub(super) async fn fetch(
    repository: &Repository<'_>,
    at: &At,
    descriptor: Option<&Descriptor>,
    watch: &dyn Fn(Event<'_>),
) -> Result<(Digest, Document), Failure> {
    let mut tries = Tries::new(repository.time);
    loop {
        let problem = match try_fetch(repository, at, descriptor).await {
            Ok(found) => return Ok(found),
            Err(problem) => problem,
        };
        let (failure, pause) = tries.failed(problem, Instant::now())?;
        watch(Event::Waiting(&failure, pause));
        tokio::time::sleep(pause).await;
    }
}

async fn try_fetch(
    repository: &Repository<'_>,
    at: &At,
    descriptor: Option<&Descriptor>,
) -> Result<(Digest, Document), Problem> {
    let accept = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX].join(", ");
    let (response, named) = match at {
        At::Manifest(version) => {
            let response = repository.manifest(version, &accept).await?;
            (response, Digest::parse(version))
        }
        At::Referrers(digest) => (repository.referrers(digest, &accept).await?, None),
    };
    let header = |name: &str| {
        let value = response.headers().get(name)?.to_str().ok()?;
        Some(value.to_owned())
    };
    let content_type = header(CONTENT_TYPE.as_str()).unwrap_or_default();
    let announced = header(CONTENT_DIGEST).and_then(|text| Digest::parse(&text));
    let host = &repository.host;
    if response
        .content_length()
        .is_some_and(|length| length > SIZE_MAX as u64)
    {
        return Err(refused(
            repository,
            format!("sends a manifest of more than {SIZE_MAX} bytes"),
        )
        .into());
    }
    let body = repository
        .clients()
        .body(response, host, SIZE_MAX, "manifest")
        .await?;
    let mismatch = |what: &str, how| Failure::Mismatch {
        host: host.clone(),
        what: what.to_owned(),
        how,
    };
    if let Some(Descriptor { size, digest, .. }) = descriptor
        && *size != body.len() as u64
    {
        return Err(mismatch(digest.as_str(), "its size is another").into());
    }
    for digest in named.iter().chain(&announced) {
        if !digest.is_of(&body) {
            return Err(mismatch(digest.as_str(), "its digest is another").into());
        }
    }
    let digest = named.unwrap_or_else(|| Digest::of(&body));
    let content_type = content_type.split(';').next().unwrap_or_default().trim();
    let mut called = vec![content_type];
    called.extend(descriptor.map(|descriptor| descriptor.media_type.as_str()));
    let document = Document::read(&body, &called).map_err(Failure::from)?;
    Ok((digest, document))
}

/// The manifest of an index that is for this machine: the one of its platform, else one for all, else the only one.
fn choose(index: &Index) -> Option<&Descriptor> {
    let of_platform = |descriptor: &&&Descriptor| descriptor.platform.as_ref().is_some_and(is_ours);
    let real: Vec<_> = real(index).collect();
    let for_all = || real.iter().find(|descriptor| descriptor.platform.is_none());
    let only = || if real.len() == 1 { real.first() } else { None };
    real.iter()
        .find(of_platform)
        .or_else(for_all)
        .or_else(only)
        .copied()
}

/// Builders put what they attest beside the images, for a platform that nobody has.
fn real(index: &Index) -> impl Iterator<Item = &Descriptor> {
    index.manifests.iter().filter(|descriptor| {
        let platform = descriptor.platform.as_ref();
        platform.is_none_or(|platform| platform.os != "unknown")
    })
}

fn is_ours(platform: &Platform) -> bool {
    platform.os == "linux" && platform.architecture == architecture()
}

/// This machine's architecture as Go calls it.
fn architecture() -> &'static str {
    match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn unfit(index: &Index) -> String {
    if index.manifests.is_empty() {
        return "has an index with nothing in it".to_owned();
    }
    let platforms = index
        .manifests
        .iter()
        .filter_map(|descriptor| descriptor.platform.as_ref());
    let names = platforms.map(|platform| format!("{:?}/{:?}", platform.os, platform.architecture));
    format!(
        "has nothing for linux/{}, but for {}",
        architecture(),
        Listed(names)
    )
}

fn refused(repository: &Repository<'_>, what: String) -> Failure {
    Failure::Refused {
        host: repository.host.clone(),
        what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn index(platforms: &[Option<(&str, &str)>]) -> Index {
        let descriptor = |(size, platform): (usize, &Option<(&str, &str)>)| Descriptor {
            media_type: OCI_MANIFEST.into(),
            digest: Digest::of(b""),
            size: size as u64,
            annotations: BTreeMap::default(),
            platform: platform.map(|(os, architecture)| Platform {
                os: os.into(),
                architecture: architecture.into(),
                variant: None,
            }),
            artifact_type: None,
        };
        Index {
            manifests: platforms.iter().enumerate().map(descriptor).collect(),
        }
    }

    #[test]
    fn the_manifest_of_this_platform_is_chosen() {
        let ours = Some(("linux", architecture()));
        let (other, windows) = (Some(("linux", "s390x")), Some(("windows", architecture())));
        let unknown = Some(("unknown", "unknown"));
        let cases: [(&[_], _); 9] = [
            (&[other, ours, None], Some(1)),
            (&[other, None, None], Some(1)),
            (&[unknown, other], Some(1)),
            (&[other], Some(0)),
            (&[other, windows], None),
            (&[unknown], None),
            (&[], None),
            (&[None], Some(0)),
            (&[ours, ours], Some(0)),
        ];
        for (platforms, expected) in cases {
            let index = index(platforms);
            let chosen = choose(&index).map(|chosen| chosen.size);
            assert_eq!(chosen, expected, "{platforms:?}");
        }
    }
}
