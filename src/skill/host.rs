//! The host of a registry, and which hosts no skill may come from unless they are named.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::names::is_dns_label;

/// Names that clouds give to the service which hands out a node's credentials, and names of the node itself.
const SPECIAL_NAMES: [&str; 6] = [
    "localhost",
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "instance-data",
    "instance-data.ec2.internal",
];

/// Addresses outside the link-local range that clouds give to that service.
const METADATA_ADDRESSES: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// The host of a registry, with its port if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    text: Box<str>,
    special: bool,
}

impl Host {
    /// Reads `name`, `name:port`, `1.2.3.4:port` or `[ipv6]:port`.
    ///
    /// As container clients do, a name counts as a host when it has a dot or a port or is `localhost`. A number
    /// counts too: programs that dial it take it for an address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, after) = rest.split_once(']')?;
                address.parse::<Ipv6Addr>().ok()?;
                let port = if after.is_empty() {
                    None
                } else {
                    Some(after.strip_prefix(':')?)
                };
                (address, port)
            }
            None => match text.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (text, None),
            },
        };
        if port.is_some_and(|port| !is_port(port)) {
            return None;
        }
        let name = name.to_ascii_lowercase();
        let special = match Name::parse(&name)? {
            Name::Address(address) => is_special_address(address),
            Name::Dns => {
                let is_host = name.contains('.') || port.is_some() || name == "localhost";
                if !is_host {
                    return None;
                }
                name.ends_with(".localhost") || SPECIAL_NAMES.contains(&name.as_str())
            }
        };
        Some(Self {
            text: text.to_ascii_lowercase().into(),
            special,
        })
    }

    /// The host and port, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether this is loopback, link-local or a cloud's metadata service: a place that hands out more than skills.
    #[must_use]
    pub fn is_special(&self) -> bool {
        self.special
    }
}

enum Name {
    Address(IpAddr),
    Dns,
}

impl Name {
    fn parse(name: &str) -> Option<Self> {
        if let Ok(address) = name.parse::<Ipv6Addr>() {
            return Some(Self::Address(IpAddr::V6(address)));
        }
        if !name.split('.').all(|label| is_dns_label(label, 63)) || name.len() > 253 {
            return None;
        }
        // No top-level domain is a number: such a name is an address, however it is written, or nothing.
        if name
            .rsplit('.')
            .next()
            .is_some_and(|last| parse_number(last).is_some())
        {
            return parse_ipv4(name).map(|address| Self::Address(IpAddr::V4(address)));
        }
        Some(Self::Dns)
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// An IPv4 address in any of the forms that `inet_aton` takes: one to four parts, each decimal, octal or hexadecimal.
fn parse_ipv4(text: &str) -> Option<Ipv4Addr> {
    let parts = text
        .split('.')
        .map(parse_number)
        .collect::<Option<Vec<u64>>>()?;
    let (&last, leading) = parts.split_last()?;
    if leading.len() > 3 || leading.iter().any(|&part| part > 255) {
        return None;
    }
    let low_bits = 8 * (4 - leading.len());
    if last >> low_bits != 0 {
        return None;
    }
    let high = leading.iter().fold(0, |address, part| address << 8 | part);
    u32::try_from(high << low_bits | last)
        .ok()
        .map(Ipv4Addr::from_bits)
}

fn parse_number(text: &str) -> Option<u64> {
    if let Some(digits) = text.strip_prefix("0x") {
        return if digits.is_empty() {
            Some(0)
        } else {
            u64::from_str_radix(digits, 16).ok()
        };
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let radix = if text.len() > 1 && text.starts_with('0') {
        8
    } else {
        10
    };
    u64::from_str_radix(text, radix).ok()
}

/// Whether an address is loopback, link-local or a cloud's metadata service, however it is wrapped.
#[must_use]
pub fn is_special_address(address: IpAddr) -> bool {
    if METADATA_ADDRESSES.contains(&address) {
        return true;
    }
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unicast_link_local()
                || v6.is_unspecified()
                || embedded_ipv4(v6).is_some_and(|v4| is_special_address(IpAddr::V4(v4)))
        }
    }
}

/// Whether an address is of a private network, however it is wrapped: nobody outside reaches it.
#[must_use]
pub fn is_private_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            v4.is_private() || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(v6) => {
            v6.is_unique_local()
                || embedded_ipv4(v6).is_some_and(|v4| is_private_address(IpAddr::V4(v4)))
        }
    }
}

/// The IPv4 address inside an IPv4-mapped, IPv4-compatible, NAT64 or 6to4 address.
fn embedded_ipv4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let join =
        |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => join(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn special(text: &str) -> bool {
        Host::parse(text)
            .unwrap_or_else(|| panic!("{text} is a host"))
            .is_special()
    }

    #[test]
    fn loopback_link_local_and_metadata_are_special_however_they_are_written() {
        for text in [
            "169.254.169.254",
            "169.254.0.1:80",
            "[fd00:ec2::254]",
            "[FD00:EC2::254]:80",
            "127.1",
            "127.0.0.1:5000",
            "127.9.9.9",
            "2130706433",
            "2852039166:80",
            "0x7f.1",
            "0x7f000001",
            "0177.0.0.1",
            "0",
            "0.0.0.0",
            "localhost",
            "LOCALHOST:5000",
            "x.localhost",
            "metadata.google.internal",
            "Metadata.Google.Internal:80",
            "metadata:80",
            "metadata.goog",
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:169.254.169.254]:80",
            "[::127.0.0.1]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:7f00:1::]",
            "100.100.100.200",
            "168.63.129.16",
            "instance-data.ec2.internal",
        ] {
            assert!(special(text), "{text}");
        }
    }

    #[test]
    fn private_networks_are_private_however_they_are_written() {
        for text in [
            "10.0.0.1",
            "172.31.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_private_address(text.parse().unwrap()), "{text}");
        }
        for text in [
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1",
            "::ffff:1.1.1.1",
        ] {
            assert!(!is_private_address(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn registries_are_not_special() {
        for text in [
            "ghcr.io",
            "GHCR.io",
            "registry:5000",
            "registry.local:5000",
            "10.0.0.1",
            "192.168.1.1:5000",
            "[fd00::1]:5000",
            "localhost.example",
            "1.2.3.4",
            "0x.example",
            "127.0.0.1.nip.io",
            "169.254.example",
        ] {
            assert!(!special(text), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_host_is_refused() {
        for text in [
            "",
            ".",
            "skills",
            "a..b",
            ".a.b",
            "a.b.",
            "-a.b",
            "a_b.c",
            "a.b:",
            "a.b:0",
            "a.b:65536",
            "a.b:x",
            "a.b:+1",
            "a.b:1:2",
            "[::1",
            "::1",
            "[x]",
            "[::1]x",
            "[::1]:",
            "[fe80::1%eth0]",
            "1.2.3.256",
            "1.2.3.4.5",
            "256.1",
            "a.1",
            "0x1ffffffff",
        ] {
            assert!(Host::parse(text).is_none(), "{text}");
        }
    }
}
