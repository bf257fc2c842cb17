//! How a registry asks who we are, and whom we tell.
//!
//! A credential goes to the registry that it is for, and to the token service that this registry names, if that is a
//! place where it may go: over TLS, and not at an address that only we can reach. The registry's own host is excepted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_auth::{ChallengeRef, parse_challenges};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, StatusCode, Url};
use serde::Deserialize;

use super::clients::{Clients, again};
use super::credentials::Credential;
use super::failure::Failure;
use super::reach::Reach;
use super::retry::{Problem, retry_after};
use crate::json::Object;
use crate::names::SUBDOMAIN_MAX;

/// The largest answer of a token service that is read.
const TOKEN_MAX: usize = 64 << 10;

/// How we introduce ourselves to token services that want a name.
const CLIENT: &str = "agentteam-webhook";

/// What a registry wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// User and password.
    Basic,
    /// A token of its token service.
    Bearer {
        /// Where the token service is.
        realm: String,
        /// What the registry is called there.
        service: Option<String>,
    },
}

/// The registry that asks.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// Where it is.
    pub base: &'a Url,
    /// The repository that we want to read.
    pub repository: &'a str,
}

/// What a token service says.
#[derive(Debug)]
pub enum Answer {
    /// A token, as the header that shows it.
    Token(HeaderValue),
    /// It does not know us.
    Rejected,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

impl Demand {
    /// What the head of a 401 demands; a token rather than a password.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(WWW_AUTHENTICATE).iter();
        let texts: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
        let challenges = || {
            texts
                .iter()
                .filter_map(|text| parse_challenges(text).ok())
                .flatten()
        };
        let bearer = challenges().find_map(|challenge| Self::bearer(&challenge));
        bearer.or_else(|| {
            challenges()
                .any(|challenge| challenge.scheme.eq_ignore_ascii_case("basic"))
                .then_some(Self::Basic)
        })
    }

    fn bearer(challenge: &ChallengeRef<'_>) -> Option<Self> {
        if !challenge.scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameter = |wanted: &str| {
            let mut parameters = challenge.params.iter();
            let found = parameters.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.to_unescaped())
        };
        Some(Self::Bearer {
            realm: parameter("realm")?,
            service: parameter("service"),
        })
    }
}

/// The header that shows user and password, or a token that the registry itself takes. Nothing for an identity token,
/// which only a token service takes.
#[must_use]
pub fn direct(credential: &Credential) -> Option<HeaderValue> {
    match credential {
        Credential::Password { user, password } => secret(&format!(
            "Basic {}",
            STANDARD.encode(format!("{user}:{password}"))
        )),
        Credential::RegistryToken(token) => secret(&format!("Bearer {token}")),
        Credential::IdentityToken(_) => None,
    }
}

/// Asks a token service for leave to read the repository, and nothing else, whatever the registry wants us to ask for.
///
/// # Errors
/// When the service is not one that is asked, or does not answer as it should.
pub async fn token(
    clients: &Clients,
    asker: Asker<'_>,
    realm: &str,
    service: Option<&str>,
    credential: Option<&Credential>,
) -> Result<Answer, Problem> {
    let (realm, reach) = trusted(asker, realm).await?;
    let host = host(&realm);
    let client = clients.of(&realm, reach)?;
    let scope = format!("repository:{}:pull", asker.repository);
    let mut url = realm.clone();
    let request = if let Some(Credential::IdentityToken(identity)) = credential {
        let form = [
            ("grant_type", "refresh_token"),
            ("service", service.unwrap_or_default()),
            ("client_id", CLIENT),
            ("scope", &scope),
            ("refresh_token", identity),
        ];
        form_request(client.post(url), &form)
    } else {
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = service {
                query.append_pair("service", service);
            }
            query.append_pair("scope", &scope);
        }
        let request = client.get(url);
        match credential.and_then(direct) {
            Some(header) => request.header(AUTHORIZATION, header),
            None => request,
        }
    };
    let response = clients.send(request, &host).await?;
    match response.status() {
        StatusCode::OK => {}
        // Services say 400, too, of an identity token that ended.
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Ok(Answer::Rejected),
        StatusCode::BAD_REQUEST if credential.is_some() => return Ok(Answer::Rejected),
        status => return Err(unexpected(&host, status, response.headers())),
    }
    let body = clients.body(response, &host, TOKEN_MAX, "token").await?;
    let refused = || Failure::Refused {
        host: host.clone(),
        what: "sent no token where one was asked for".into(),
    };
    let Object(Token {
        token,
        access_token,
    }) = serde_json::from_slice(&body).map_err(|_| refused())?;
    let token = token.or(access_token).filter(|token| !token.is_empty());
    let header = token.and_then(|token| secret(&format!("Bearer {token}")));
    Ok(Answer::Token(header.ok_or_else(refused)?))
}

/// What an answer means that is none of those that have a meaning of their own.
#[must_use]
pub fn unexpected(host: &str, status: StatusCode, headers: &HeaderMap) -> Problem {
    let host = host.to_owned();
    match status {
        StatusCode::TOO_MANY_REQUESTS => Problem::Again {
            failure: Failure::RateLimited { host, tries: 0 },
            after: retry_after(headers),
        },
        status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
            match again(&host, format!("answers {status}")) {
                Problem::Again { failure, .. } => Problem::Again {
                    failure,
                    after: retry_after(headers),
                },
                problem @ Problem::Final(_) => problem,
            }
        }
        status => Failure::Refused {
            host,
            what: format!("answers {status}, which nothing can be made of"),
        }
        .into(),
    }
}

/// Host and port of an address, as messages name it. An address knows no white space and no control characters.
#[must_use]
pub fn host(url: &Url) -> String {
    let name = url.host_str().unwrap_or_default();
    let name = name.get(..SUBDOMAIN_MAX).unwrap_or(name);
    match url.port() {
        Some(port) => format!("{name}:{port}"),
        None => name.to_owned(),
    }
}

/// The address of a token service that may be asked, and what it may resolve to.
async fn trusted(asker: Asker<'_>, realm: &str) -> Result<(Url, Reach), Failure> {
    let refused = |why: &str| Failure::Refused {
        host: host(asker.base),
        what: format!("names a token service {why}; no credential was sent there"),
    };
    let url = Url::parse(realm).map_err(|_| refused("that is no address"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("with credentials of its own"));
    }
    let shown = host(&url);
    let is_own = url.host() == asker.base.host();
    match url.scheme() {
        "https" => {}
        "http" if is_own && asker.base.scheme() == "http" => {}
        "http" => {
            return Err(refused(&format!(
                "at {shown} that is spoken to without TLS"
            )));
        }
        _ => return Err(refused("that is not on the web")),
    }
    if is_own {
        return Ok((url, Reach::Any));
    }
    // Who keeps a registry in a private network keeps its token service there, too.
    let reach = if is_private(asker.base).await {
        Reach::NotSpecial
    } else {
        Reach::Public
    };
    let literal = match url.host() {
        Some(url::Host::Domain(_)) => reach,
        _ => Reach::Public,
    };
    if !literal.permits_host(&url) {
        let why = format!("at {shown}, which only this machine or its network can reach");
        return Err(refused(&why));
    }
    Ok((url, reach))
}

/// Whether all addresses of a registry are in a private network.
async fn is_private(base: &Url) -> bool {
    let name = base.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let Ok(addresses) = tokio::net::lookup_host((name, 0)).await else {
        return false;
    };
    let mut addresses = addresses.peekable();
    addresses.peek().is_some() && addresses.all(|address| !Reach::Public.permits(address.ip()))
}

fn form_request(request: RequestBuilder, form: &[(&str, &str)]) -> RequestBuilder {
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    request
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(values: &[&str]) -> Option<Demand> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
        }
        Demand::read(&headers)
    }

    #[test]
    fn a_token_is_preferred_to_a_password() {
        let bearer = Some(Demand::Bearer {
            realm: "https://auth.example/token?x=1".into(),
            service: Some("r.example".into()),
        });
        let challenge = r#"Bearer realm="https://auth.example/token?x=1",service="r.example",scope="repository:other:push""#;
        assert_eq!(demand(&[challenge]), bearer);
        assert_eq!(demand(&["Basic realm=\"x\"", challenge]), bearer);
        assert_eq!(
            demand(&[&format!("basic realm=\"x\", {challenge}")]),
            bearer
        );
        assert_eq!(demand(&["BASIC realm=\"x\""]), Some(Demand::Basic));
        for nothing in [
            "",
            "Bearer",
            "Bearer service=\"x\"",
            "Negotiate",
            "Bearer realm=\"x",
        ] {
            assert_eq!(demand(&[nothing]), None, "{nothing}");
        }
    }

    #[tokio::test]
    async fn a_token_service_is_asked_only_where_a_credential_may_go() {
        let trusts = async |base: &str, realm: &str| {
            let base = Url::parse(base).unwrap();
            let asker = Asker {
                base: &base,
                repository: "x",
            };
            trusted(asker, realm).await.is_ok()
        };
        let public = "https://192.0.2.1/";
        for good in [
            "https://auth.example/token",
            "https://192.0.2.1/token",
            "https://192.0.2.1:8443/",
        ] {
            assert!(trusts(public, good).await, "{good}");
        }
        for bad in [
            "",
            "/token",
            "http://auth.example/token",
            "http://192.0.2.1/token",
            "ftp://auth.example/",
            "file:///etc/passwd",
            "https://u:p@auth.example/",
            "https://10.0.0.1/",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://localhost/",
            "https://[::1]/",
            "https://169.254.169.254/",
            "https://metadata.google.internal/",
        ] {
            assert!(!trusts(public, bad).await, "{bad}");
        }
        assert!(trusts("http://127.0.0.1:5000/", "http://127.0.0.1:5001/token").await);
        assert!(trusts("https://10.0.0.1/", "https://10.0.0.1/token").await);
        for bad in [
            "http://127.0.0.2/",
            "https://10.0.0.2/",
            "http://auth.example/",
        ] {
            assert!(!trusts("http://10.0.0.1:5000/", bad).await, "{bad}");
        }
    }
}
