//! Signatures that cosign made with a key, checked offline: with the public key and nothing else, no transparency log and
//! no certificates.
//!
//! What must be signed is the digest that the reference stands for: of the index, if it names one, since everything
//! else is found from there by digests. Both ways in which cosign keeps signatures in an artifact's own repository are
//! read:
//!
//! | where | what | written by |
//! |---|---|---|
//! | the artifact's referrers | a Sigstore bundle each, with a statement | cosign 3, unless told otherwise |
//! | the tag `sha256-….sig` | an image, each layer of which is a claim | cosign before 3, and `--new-bundle-format=false` |
//!
//! One signature that holds is enough, whatever else is there: anybody who may push can add others.

mod claim;
mod keys;

use std::collections::BTreeSet;
use std::io::Read as _;

pub use claim::Problem;
pub use keys::Keys;

use super::artifact::{At, fetch};
use super::digest::Digest;
use super::failure::{Failure, Kind};
use super::manifest::{Descriptor, Document};
use super::registry::Repository;
use super::transfer::{Event, download};

/// How many signatures of an artifact are looked at.
const SIGNATURES_MAX: usize = 32;

/// The largest claim or bundle that is read, in bytes. They have two or three thousand.
const SIZE_MAX: u64 = 1 << 20;

/// How many different problems are said.
const PROBLEMS_MAX: usize = 4;

/// The media type of a claim.
const CLAIM: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// The annotation of a claim that has its signature.
const CLAIM_SIGNATURE: &str = "dev.cosignproject.cosign/signature";

/// The media type of a bundle.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// What cosign calls bundles in the list that it writes where the registry keeps none.
const UNTYPED: &str = "application/vnd.oci.empty.v1+json";

/// The search for a signature that holds.
struct Search<'a> {
    repository: &'a Repository<'a>,
    digest: &'a Digest,
    keys: &'a Keys,
    watch: &'a dyn Fn(Event<'_>),
    /// How many signatures were met, up to the one that is too many.
    seen: usize,
    /// Why none of them holds.
    problems: BTreeSet<Problem>,
}

/// Checks that one of `keys` signed the artifact with this digest.
///
/// # Errors
/// When none did, or it cannot be found out.
pub async fn verify(
    repository: &Repository<'_>,
    digest: &Digest,
    keys: &Keys,
    watch: &dyn Fn(Event<'_>),
) -> Result<(), Failure> {
    let unsigned = |why: String| Failure::Unsigned {
        digest: digest.clone(),
        why,
    };
    let Some(hex) = digest.as_str().strip_prefix("sha256:") else {
        let why = "cosign signs by sha256 alone; name it by a tag, or by its sha256";
        return Err(unsigned(why.to_owned()));
    };
    let tag = format!("sha256-{hex}");
    let mut search = Search {
        repository,
        digest,
        keys,
        // What is fetched here is no part of the skill.
        watch: &|event| {
            if matches!(event, Event::Waiting(..)) {
                watch(event);
            }
        },
        seen: 0,
        problems: BTreeSet::new(),
    };
    if search.bundles(&tag).await? || search.claims(&tag).await? {
        return Ok(());
    }
    Err(unsigned(search.outcome()))
}

impl Search<'_> {
    /// Whether a bundle among the referrers holds.
    async fn bundles(&mut self, tag: &str) -> Result<bool, Failure> {
        for descriptor in self.referrers(tag).await? {
            let at = At::Manifest(descriptor.digest.to_string());
            let Some(Document::Manifest(manifest)) = self.document(&at, Some(&descriptor)).await?
            else {
                continue;
            };
            let is_bundle = |layer: &&Descriptor| layer.media_type == BUNDLE;
            let Some(layer) = manifest.layers.first().filter(is_bundle) else {
                continue;
            };
            if !self.is_to_be_looked_at() {
                break;
            }
            let bundle = self.content(layer).await?;
            if self.holds(
                bundle.and_then(|bundle| claim::check_bundle(&bundle, self.keys, self.digest)),
            ) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a claim at the tag holds.
    async fn claims(&mut self, tag: &str) -> Result<bool, Failure> {
        let at = At::Manifest(format!("{tag}.sig"));
        let Some(Document::Manifest(manifest)) = self.document(&at, None).await? else {
            return Ok(false);
        };
        for layer in manifest
            .layers
            .iter()
            .filter(|layer| layer.media_type == CLAIM)
        {
            if !self.is_to_be_looked_at() {
                break;
            }
            let signature = layer.annotations.get(CLAIM_SIGNATURE);
            let signature = signature.map(String::as_str).unwrap_or_default();
            let claim = self.content(layer).await?;
            if self.holds(
                claim.and_then(|claim| {
                    claim::check_claim(&claim, signature, self.keys, self.digest)
                }),
            ) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What refers to the artifact and may be a bundle: from the registry's own list, else from the tag that stands in for
    /// it where a registry has no such list.
    async fn referrers(&mut self, tag: &str) -> Result<Vec<Descriptor>, Failure> {
        let (repository, at) = (self.repository, At::Referrers(self.digest.clone()));
        let list = match fetch(repository, &at, None, self.watch).await {
            Ok((_, list)) => Some(list),
            // Those without it say so in more ways than one, a page for people among them.
            Err(failure) if matches!(failure.kind(), Kind::NotFound | Kind::Refused) => {
                self.document(&At::Manifest(tag.to_owned()), None).await?
            }
            Err(failure) => return Err(failure),
        };
        let Some(Document::Index(index)) = list else {
            return Ok(Vec::new());
        };
        let may_be_bundle = |descriptor: &Descriptor| {
            let kind = descriptor.artifact_type.as_deref();
            kind.is_none_or(|kind| kind == BUNDLE || kind == UNTYPED)
        };
        let mut descriptors = index.manifests;
        descriptors.retain(may_be_bundle);
        // Those of no type may be anything.
        descriptors.truncate(2 * SIGNATURES_MAX);
        Ok(descriptors)
    }

    /// A document, if it is there and can be read.
    async fn document(
        &mut self,
        at: &At,
        descriptor: Option<&Descriptor>,
    ) -> Result<Option<Document>, Failure> {
        match fetch(self.repository, at, descriptor, self.watch).await {
            Ok((_, document)) => Ok(Some(document)),
            Err(Failure::NotFound { .. }) => Ok(None),
            Err(Failure::Manifest(problem)) => {
                self.seen += 1;
                self.problems
                    .insert(Problem::Unreadable(problem.to_string()));
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// What a claim or a bundle holds, if it is there and has the size of one.
    async fn content(&self, layer: &Descriptor) -> Result<Result<Vec<u8>, Problem>, Failure> {
        let unreadable = |what: String| Ok(Err(Problem::Unreadable(what)));
        if layer.size > SIZE_MAX {
            return unreadable(format!("it has more than {SIZE_MAX} bytes"));
        }
        let mut file = match download(self.repository, layer, self.watch).await {
            Ok(file) => file,
            Err(Failure::NotFound { .. }) => return unreadable("its content is gone".to_owned()),
            Err(failure) => return Err(failure),
        };
        let mut content = Vec::new();
        file.read_to_end(&mut content)
            .map_err(|error| Failure::Temporary(std::env::temp_dir(), error))?;
        Ok(Ok(content))
    }

    /// Counts one more signature, unless there were enough.
    fn is_to_be_looked_at(&mut self) -> bool {
        self.seen += 1;
        self.seen <= SIGNATURES_MAX
    }

    /// Whether a signature holds; if not, it is kept why.
    fn holds(&mut self, checked: Result<(), Problem>) -> bool {
        match checked {
            Ok(()) => true,
            Err(problem) => {
                self.problems.insert(problem);
                false
            }
        }
    }

    /// Why nothing holds.
    fn outcome(&self) -> String {
        let said = self.problems.iter().take(PROBLEMS_MAX);
        let mut problems = said.map(ToString::to_string).collect::<Vec<_>>().join("; ");
        if self.problems.len() > PROBLEMS_MAX {
            problems.push_str("; and others");
        }
        match self.seen {
            0 => "it has no signature; sign it with cosign sign --key".to_owned(),
            1 => format!("it has a signature, but {problems}"),
            many if many <= SIGNATURES_MAX => {
                format!("it has {many} signatures, and none holds: {problems}")
            }
            _ => format!("of its first {SIGNATURES_MAX} signatures, none holds: {problems}"),
        }
    }
}
