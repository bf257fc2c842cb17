//! One repository of a registry: requests that know who we are, and follow redirects as far as that is safe.

use std::cell::RefCell;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RANGE};
use reqwest::{Response, StatusCode, Url};

use super::auth::{self, Answer, Asker, Demand, host, unexpected};
use super::clients::Clients;
use super::credentials::{Credential, Credentials};
use super::digest::Digest;
use super::failure::Failure;
use super::reach::Reach;
use super::retry::{Problem, TimeLimit};
use crate::skill::Reference;

/// How many redirects are followed.
const HOPS_MAX: usize = 5;

/// Where Docker's own registry answers, whatever its images are named by.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// A repository, and how far we got in proving that we may read it.
pub struct Repository<'a> {
    clients: &'a Clients,
    /// How long all of it may take.
    pub time: TimeLimit,
    base: Url,
    /// Host and port, as messages name the registry.
    pub host: String,
    name: String,
    credentials: Vec<Credential>,
    advice: String,
    access: RefCell<Access>,
}

/// How far we got.
#[derive(Clone, Default)]
struct Access {
    /// Which credential is tried.
    candidate: usize,
    /// What the registry is shown.
    header: Option<HeaderValue>,
    /// What it wants to see.
    demand: Option<Demand>,
}

impl<'a> Repository<'a> {
    /// The repository of `reference`, spoken to with TLS or, where `is_plain`, without.
    ///
    /// # Errors
    /// When no address can be made of the reference.
    pub fn new(
        clients: &'a Clients,
        time: TimeLimit,
        reference: &Reference,
        is_plain: bool,
        credentials: &Credentials,
    ) -> Result<Self, Failure> {
        let named = reference.host().as_str();
        let answers_at = if named == DOCKER_HUB.0 {
            DOCKER_HUB.1
        } else {
            named
        };
        let scheme = if is_plain { "http" } else { "https" };
        let base = Url::parse(&format!("{scheme}://{answers_at}/v2/")).map_err(|error| {
            Failure::Configuration(format!("{named} is no host that can be spoken to: {error}"))
        })?;
        Ok(Self {
            clients,
            time,
            base,
            host: named.to_owned(),
            name: reference.repository().to_owned(),
            credentials: credentials.of(named, reference.repository()),
            advice: credentials.advice(named),
            access: RefCell::default(),
        })
    }

    /// Asks for a manifest by tag or digest, in any of the media types of `accept`.
    ///
    /// # Errors
    /// When the answer is none that has a manifest.
    pub async fn manifest(&self, version: &str, accept: &str) -> Result<Response, Problem> {
        let divider = if version.contains(':') { '@' } else { ':' };
        let what = format!("{}{divider}{version}", self.name);
        self.get(&format!("manifests/{version}"), &accepting(accept), &what)
            .await
    }

    /// Asks for the list of what refers to a digest.
    ///
    /// # Errors
    /// When the answer is none that has one.
    pub async fn referrers(&self, digest: &Digest, accept: &str) -> Result<Response, Problem> {
        let what = format!("list of what refers to {}@{digest}", self.name);
        self.get(&format!("referrers/{digest}"), &accepting(accept), &what)
            .await
    }

    /// Asks for a blob, from byte `offset` on. The answer is 200, 206 or 416.
    ///
    /// # Errors
    /// When the answer is another.
    pub async fn blob(&self, digest: &str, offset: u64) -> Result<Response, Problem> {
        let mut headers = HeaderMap::new();
        if offset > 0
            && let Ok(range) = HeaderValue::from_str(&format!("bytes={offset}-"))
        {
            headers.insert(RANGE, range);
        }
        let what = format!("{}@{digest}", self.name);
        self.get(&format!("blobs/{digest}"), &headers, &what).await
    }

    /// The clients that bodies are read with.
    #[must_use]
    pub fn clients(&self) -> &Clients {
        self.clients
    }

    async fn get(&self, path: &str, headers: &HeaderMap, what: &str) -> Result<Response, Problem> {
        let url = self
            .base
            .join(&format!("{}/{path}", self.name))
            .map_err(|error| Failure::Configuration(format!("{what} has no address: {error}")))?;
        // Whether what is shown was made for this request, and not for an earlier one: tokens end.
        let mut is_fresh = false;
        loop {
            let Access {
                header,
                candidate,
                demand,
            } = self.access.borrow().clone();
            let (response, is_own) = self.follow(&url, headers, header.as_ref()).await?;
            let status = response.status();
            let is_refused = match status {
                StatusCode::UNAUTHORIZED if is_own => true,
                StatusCode::FORBIDDEN => is_own && header.is_some() && self.has_more(candidate),
                _ => false,
            };
            if !is_refused {
                return self.judged(response, what);
            }
            let next = if header.is_some() && (is_fresh || status == StatusCode::FORBIDDEN) {
                candidate + 1
            } else {
                candidate
            };
            // A 403 says nothing of it, but then an earlier answer did.
            let demand = Demand::read(response.headers()).or(demand);
            let is_rejected = header.is_some() && is_fresh;
            let access = self.prove(demand, next, is_rejected, what).await?;
            is_fresh = true;
            *self.access.borrow_mut() = access;
        }
    }

    /// Proves who we are to a registry that wants to know, with the first credential from `candidate` on that serves.
    async fn prove(
        &self,
        demand: Option<Demand>,
        mut candidate: usize,
        is_rejected: bool,
        what: &str,
    ) -> Result<Access, Problem> {
        // Without credentials, a token for nobody in particular is asked for, once.
        if self.credentials.is_empty() && (is_rejected || candidate > 0) {
            return Err(self.unauthorized(what));
        }
        loop {
            let credential = self.credentials.get(candidate);
            if credential.is_none() && !self.credentials.is_empty() {
                return Err(self.unauthorized(what));
            }
            let header = match (&demand, credential) {
                (_, Some(credential @ Credential::RegistryToken(_)))
                | (Some(Demand::Basic), Some(credential)) => auth::direct(credential),
                (Some(Demand::Bearer { realm, service }), credential) => {
                    let asker = Asker {
                        base: &self.base,
                        repository: &self.name,
                    };
                    match auth::token(self.clients, asker, realm, service.as_deref(), credential)
                        .await?
                    {
                        Answer::Token(header) => Some(header),
                        Answer::Rejected => None,
                    }
                }
                (None, _) => {
                    let what = "answers 401 and does not say how to prove who we are".into();
                    return Err(self.refused(what).into());
                }
                (Some(Demand::Basic), None) => None,
            };
            if header.is_some() {
                return Ok(Access {
                    candidate,
                    header,
                    demand,
                });
            }
            if credential.is_none() {
                return Err(self.unauthorized(what));
            }
            candidate += 1;
        }
    }

    /// Follows redirects. The answer, and whether it is the registry's own.
    async fn follow(
        &self,
        url: &Url,
        headers: &HeaderMap,
        authorization: Option<&HeaderValue>,
    ) -> Result<(Response, bool), Problem> {
        let mut url = url.clone();
        // Once we were led away, whoever leads us back is shown nothing.
        let mut is_own = true;
        for _ in 0..=HOPS_MAX {
            let is_same_host = url.host() == self.base.host();
            let reach = if is_same_host {
                Reach::Any
            } else {
                Reach::NotSpecial
            };
            let mut request = self
                .clients
                .of(&url, reach)?
                .get(url.clone())
                .headers(headers.clone());
            if let (true, Some(authorization)) = (is_own, authorization) {
                request = request.header(AUTHORIZATION, authorization.clone());
            }
            let response = self.clients.send(request, &host(&url)).await?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok((response, is_own));
            }
            let next = self.next(&url, response.headers())?;
            is_own = is_own && next.origin() == self.base.origin();
            url = next;
        }
        Err(self
            .refused(format!("redirects more than {HOPS_MAX} times"))
            .into())
    }

    /// Where a redirect leads, if it may.
    fn next(&self, from: &Url, headers: &HeaderMap) -> Result<Url, Failure> {
        let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let next = location.and_then(|location| from.join(location).ok());
        let next = next.ok_or_else(|| self.refused("redirects to no address".into()))?;
        let shown = host(&next);
        let why = if !matches!(next.scheme(), "http" | "https") {
            "which is not on the web"
        } else if from.scheme() == "https" && next.scheme() == "http" {
            "without TLS"
        } else if !next.username().is_empty() || next.password().is_some() {
            "with credentials that are not ours"
        } else if next.host() != self.base.host() && !Reach::NotSpecial.permits_host(&next) {
            "which only this machine can reach"
        } else {
            return Ok(next);
        };
        Err(self.refused(format!("redirects to {shown}, {why}")))
    }

    fn judged(&self, response: Response, what: &str) -> Result<Response, Problem> {
        let (host, what) = (self.host.clone(), what.to_owned());
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                Ok(response)
            }
            StatusCode::UNAUTHORIZED => Err(self.unauthorized(&what)),
            StatusCode::FORBIDDEN => Err(Failure::Forbidden { host, what }.into()),
            StatusCode::NOT_FOUND => Err(Failure::NotFound { host, what }.into()),
            status => Err(unexpected(&host, status, response.headers())),
        }
    }

    fn has_more(&self, candidate: usize) -> bool {
        candidate + 1 < self.credentials.len()
    }

    fn unauthorized(&self, what: &str) -> Problem {
        let why = match self.credentials.len() {
            0 => self.advice.clone(),
            1 => "it does not take the credentials that there are for it; renew them".to_owned(),
            many => {
                format!("it takes none of the {many} credentials that there are for it; renew them")
            }
        };
        Failure::Unauthorized {
            host: self.host.clone(),
            what: what.to_owned(),
            why,
        }
        .into()
    }

    fn refused(&self, what: String) -> Failure {
        Failure::Refused {
            host: self.host.clone(),
            what,
        }
    }
}

fn accepting(media_types: &str) -> HeaderMap {
    let value = HeaderValue::from_str(media_types).ok();
    value.map(|value| (ACCEPT, value)).into_iter().collect()
}
