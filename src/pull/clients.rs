//! HTTP clients, each made when it is first needed: reading authorities takes longer than a small skill.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::env;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, Url};
use tokio::time::timeout;

use super::authorities;
use super::failure::Failure;
use super::reach::{OutOfReach, Reach, Resolver};
use super::retry::Problem;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a server may send ahead of us, over HTTP/2: for one file, and for all of a connection.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// The variables that name a proxy.
const PROXY_VARIABLES: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// HTTP clients that follow no redirect and obey the proxy variables of the environment.
pub struct Clients {
    silence: Duration,
    proxies: Arc<BTreeSet<String>>,
    tls: OnceCell<rustls::ClientConfig>,
    plain: [OnceCell<Client>; 3],
    secure: [OnceCell<Client>; 3],
}

impl Clients {
    /// Clients that give up on a server that is silent for longer than `silence`.
    #[must_use]
    pub fn new(silence: Duration) -> Self {
        let proxy = |name| proxy_host(&env::var(name).ok()?);
        Self {
            silence,
            proxies: Arc::new(PROXY_VARIABLES.into_iter().filter_map(proxy).collect()),
            tls: OnceCell::new(),
            plain: Default::default(),
            secure: Default::default(),
        }
    }

    /// The client for `url`, which speaks to addresses within `reach` only.
    ///
    /// # Errors
    /// When the authorities cannot be read, or the proxy variables not be used.
    pub fn of(&self, url: &Url, reach: Reach) -> Result<&Client, Failure> {
        let is_secure = url.scheme() == "https";
        let clients = if is_secure { &self.secure } else { &self.plain };
        let [any, not_special, public] = clients;
        let cell = match reach {
            Reach::Any => any,
            Reach::NotSpecial => not_special,
            Reach::Public => public,
        };
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let tls = if is_secure {
            self.tls()?.clone()
        } else {
            authorities::no_tls()?
        };
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(Resolver::new(reach, Arc::clone(&self.proxies)))
            .redirect(Policy::none())
            .referer(false)
            .user_agent(concat!("agentteam-webhook/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .build()
            .map_err(|error| {
                Failure::Configuration(format!(
                    "no HTTP client can be made: {}; mend the proxy variables",
                    causes(&error.without_url())
                ))
            })?;
        Ok(cell.get_or_init(|| client))
    }

    fn tls(&self) -> Result<&rustls::ClientConfig, Failure> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls);
        }
        let tls = authorities::tls()?;
        Ok(self.tls.get_or_init(|| tls))
    }

    /// Sends a request to `host` and waits for the head of the answer.
    ///
    /// # Errors
    /// When none comes.
    pub async fn send(&self, request: RequestBuilder, host: &str) -> Result<Response, Problem> {
        match timeout(self.silence, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(problem(host, &error.without_url())),
            Err(_) => Err(self.silent(host)),
        }
    }

    /// The next piece of the body that `host` sends.
    ///
    /// # Errors
    /// When it is cut, or does not come.
    pub async fn chunk(
        &self,
        response: &mut Response,
        host: &str,
    ) -> Result<Option<bytes::Bytes>, Problem> {
        match timeout(self.silence, response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(problem(host, &error.without_url())),
            Err(_) => Err(self.silent(host)),
        }
    }

    /// The whole body, if it has at most `most` bytes.
    ///
    /// # Errors
    /// When it is cut, does not come, or is larger.
    pub async fn body(
        &self,
        mut response: Response,
        host: &str,
        most: usize,
        what: &str,
    ) -> Result<Vec<u8>, Problem> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk(&mut response, host).await? {
            if body.len() + chunk.len() > most {
                let what = format!("sends a {what} of more than {most} bytes");
                return Err(Failure::Refused {
                    host: host.to_owned(),
                    what,
                }
                .into());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn silent(&self, host: &str) -> Problem {
        again(
            host,
            format!("was silent for {:.1} s", self.silence.as_secs_f64()),
        )
    }
}

/// The host of a proxy, which may be named without a scheme.
fn proxy_host(text: &str) -> Option<String> {
    let url = if text.contains("://") {
        Url::parse(text)
    } else {
        Url::parse(&format!("http://{text}"))
    };
    url.ok()?.host_str().map(ToOwned::to_owned)
}

/// Something that may be better the next time.
#[must_use]
pub fn again(host: &str, problem: String) -> Problem {
    Problem::Again {
        failure: Failure::Unavailable {
            host: host.to_owned(),
            problem,
            tries: 0,
        },
        after: None,
    }
}

/// What a failed request means.
fn problem(host: &str, error: &reqwest::Error) -> Problem {
    let host = host.to_owned();
    if let Some(rustls::Error::InvalidCertificate(problem)) = cause::<rustls::Error>(error) {
        let problem = problem.to_string();
        return Failure::Certificate { host, problem }.into();
    }
    if let Some(rustls::Error::InvalidMessage(_)) = cause::<rustls::Error>(error) {
        let what = "does not speak TLS; if it is to be spoken to without, name it by --plain-http-registry".into();
        return Failure::Refused { host, what }.into();
    }
    if let Some(out_of_reach) = cause::<OutOfReach>(error) {
        let what = format!("is refused: {out_of_reach}");
        return Failure::Refused { host, what }.into();
    }
    again(&host, format!("cannot be spoken to: {}", causes(error)))
}

/// The cause of a type, however it is wrapped.
fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = match error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
        {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// What is at the bottom of an error.
fn causes(error: &dyn Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_named_with_a_scheme_or_without() {
        for text in [
            "http://user:pw@proxy.local:3128",
            "proxy.local:3128",
            "proxy.local",
        ] {
            assert_eq!(proxy_host(text).as_deref(), Some("proxy.local"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_name_that_resolves_out_of_reach_is_final() {
        let clients = Clients::new(Duration::from_secs(5));
        let url = Url::parse("http://localhost:1/").unwrap();
        let send = async |reach| {
            let request = clients.of(&url, reach).unwrap().get(url.clone());
            clients.send(request, "localhost").await.unwrap_err()
        };
        assert!(matches!(
            send(Reach::NotSpecial).await,
            Problem::Final(Failure::Refused { .. })
        ));
        assert!(matches!(send(Reach::Any).await, Problem::Again { .. }));
    }
}
