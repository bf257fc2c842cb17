//! Which addresses a registry may lead us to: what it names must not be a place that only we can reach.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;
use url::Host as UrlHost;

use crate::skill::host::{Host, is_private_address, is_special_address};

/// Which addresses may be spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Any: the registry itself, which a person named.
    Any,
    /// Any but loopback, link-local and metadata addresses.
    NotSpecial,
    /// Any that the whole world reaches, too.
    Public,
}

/// A host has no address that may be spoken to.
#[derive(Debug, Error)]
#[error(
    "it has no address that a registry may lead to, only loopback, link-local, metadata or private ones"
)]
pub struct OutOfReach;

impl Reach {
    /// Whether this address may be spoken to.
    #[must_use]
    pub fn permits(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::NotSpecial => !is_special_address(address),
            Self::Public => !is_special_address(address) && !is_private_address(address),
        }
    }

    /// Whether the host of `url` may be spoken to, as far as it says so by itself: names are looked at again when they
    /// are resolved.
    #[must_use]
    pub fn permits_host(self, url: &Url) -> bool {
        match url.host() {
            None => false,
            Some(UrlHost::Ipv4(address)) => self.permits(address.into()),
            Some(UrlHost::Ipv6(address)) => self.permits(address.into()),
            Some(UrlHost::Domain(name)) => {
                let name = name.trim_end_matches('.');
                self == Self::Any
                    || Host::parse(&format!("{name}:443")).is_some_and(|host| !host.is_special())
            }
        }
    }
}

/// Resolves names to those of their addresses that may be spoken to.
#[derive(Debug)]
pub struct Resolver {
    reach: Reach,
    /// The proxies, which a person named.
    proxies: Arc<BTreeSet<String>>,
}

impl Resolver {
    /// Resolves names to addresses within `reach`, and those of `proxies` to any.
    #[must_use]
    pub fn new(reach: Reach, proxies: Arc<BTreeSet<String>>) -> Self {
        Self { reach, proxies }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let is_proxy = self.proxies.contains(name.as_str());
        let reach = if is_proxy { Reach::Any } else { self.reach };
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let permitted: Vec<SocketAddr> = found
                .filter(|address| reach.permits(address.ip()))
                .collect();
            if permitted.is_empty() {
                return Err(OutOfReach.into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(reach: Reach, url: &str) -> bool {
        reach.permits_host(&Url::parse(url).unwrap())
    }

    #[test]
    fn what_only_we_can_reach_is_out_of_reach() {
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "https://[::1]:5000/",
            "https://[::ffff:127.0.0.1]/",
            "http://169.254.169.254/latest",
            "https://localhost/",
            "https://localhost./",
            "https://x.localhost/",
            "http://metadata.google.internal/",
            "http://metadata/",
        ] {
            assert!(permits(Reach::Any, url), "{url}");
            assert!(!permits(Reach::NotSpecial, url), "{url}");
            assert!(!permits(Reach::Public, url), "{url}");
        }
        for url in ["https://10.0.0.1/", "https://[fd00::1]/"] {
            assert!(permits(Reach::NotSpecial, url), "{url}");
            assert!(!permits(Reach::Public, url), "{url}");
        }
        assert!(permits(Reach::Public, "https://auth.example/"));
    }

    #[tokio::test]
    async fn a_name_that_resolves_out_of_reach_is_not_resolved() {
        let resolve = |reach, proxies: &[&str]| {
            let proxies = proxies.iter().map(ToString::to_string).collect();
            Resolver::new(reach, Arc::new(proxies)).resolve("localhost".parse().unwrap())
        };
        assert!(resolve(Reach::Any, &[]).await.is_ok());
        assert!(resolve(Reach::NotSpecial, &[]).await.is_err());
        assert!(resolve(Reach::Public, &["localhost"]).await.is_ok());
    }
}
