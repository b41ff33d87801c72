//! Which hosts a request may go to. What the URL names is compared after it was taken apart by the parser
//! that the client uses, so that both mean the same host.

use std::net::Ipv6Addr;

use ureq::http::Uri;
use ureq::http::uri::Scheme;

/// A host, and a port where the grant names one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// Or an IPv4 address, in the one way that it is written.
    Name(String),
    V6(Ipv6Addr),
}

impl Grant {
    /// `host`, `host:port`, `::1`, `[::1]` or `[::1]:port`; none for anything else.
    pub(super) fn parse(text: &str) -> Option<Grant> {
        if let Ok(address) = text.parse() {
            return Some(Grant { host: Host::V6(address), port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok()?)),
            _ => (text, None),
        };
        Some(Grant { host: Host::parse(host)?, port })
    }

    fn allows(&self, host: &Host, port: u16) -> bool {
        self.host == *host && self.port.is_none_or(|granted| granted == port)
    }
}

impl Host {
    fn parse(text: &str) -> Option<Host> {
        match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(address) => address.parse().ok().map(Host::V6),
            None if text.is_empty() || text.contains([':', '[', ']', '@']) => None,
            None => Some(Host::Name(text.to_ascii_lowercase())),
        }
    }
}

/// Why a request goes nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Denied,
    Invalid(&'static str),
}

/// Whether the configuration grants the host of this URL.
pub(super) fn check(grants: &[Grant], url: &Uri) -> Result<(), Refusal> {
    let default = match url.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP => 80,
        Some(scheme) if *scheme == Scheme::HTTPS => 443,
        _ => return Err(Refusal::Invalid("the URL does not begin with http:// or https://")),
    };
    let authority = url.authority().ok_or(Refusal::Invalid("the URL has no host"))?;
    if authority.as_str().contains('@') {
        return Err(Refusal::Invalid("the URL has user information in it; send a header"));
    }
    let port = match authority.port_u16() {
        Some(0) => return Err(Refusal::Invalid("the URL's port is no port")),
        Some(port) => port,
        None if authority.as_str() == authority.host() => default,
        None => return Err(Refusal::Invalid("the URL's port is no port")),
    };
    let host = Host::parse(authority.host()).ok_or(Refusal::Invalid("the URL's host is no host"))?;
    let granted = grants.iter().any(|grant| grant.allows(&host, port));
    if granted { Ok(()) } else { Err(Refusal::Denied) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENIED: Result<(), Refusal> = Err(Refusal::Denied);

    fn checked(grants: &[&str], url: &str) -> Result<(), Refusal> {
        let grants: Vec<Grant> = grants.iter().map(|grant| Grant::parse(grant).expect(grant)).collect();
        check(&grants, &url.parse().expect(url))
    }

    #[test]
    fn a_host_is_granted_with_any_port_and_one_with_a_port_with_that_only() {
        for url in ["http://auth.example.com/x", "https://AUTH.example.com", "http://auth.example.com:81/"] {
            assert_eq!(checked(&["auth.example.com"], url), Ok(()), "{url}");
        }
        let with_port = ["auth.example.com:443"];
        assert_eq!(checked(&with_port, "https://auth.example.com/"), Ok(()));
        assert_eq!(checked(&with_port, "http://auth.example.com:443/"), Ok(()));
        assert_eq!(checked(&with_port, "http://auth.example.com/"), DENIED);
        assert_eq!(checked(&with_port, "https://auth.example.com:8443/"), DENIED);
    }

    #[test]
    fn no_other_host_passes_for_a_granted_one() {
        let urls = [
            "http://example.com/",
            "http://auth.example.com.evil.example/",
            "http://evil.example/auth.example.com",
            "http://evil.example/?auth.example.com",
            "http://evil.example/#@auth.example.com/",
            "http://evil.example:80/@auth.example.com",
            "http://auth.example.com./",
            "http://xauth.example.com/",
        ];
        for url in urls {
            assert_eq!(checked(&["auth.example.com"], url), DENIED, "{url}");
        }
        assert_eq!(checked(&[], "http://auth.example.com/"), DENIED);
    }

    #[test]
    fn user_information_and_rubbish_are_refused_before_anything_is_compared() {
        let urls = [
            "http://auth.example.com@evil.example/",
            "http://auth.example.com:80@evil.example/",
            "http://user:secret@auth.example.com/",
            "http://auth.example.com:0/",
            "http://auth.example.com:/",
            "ftp://auth.example.com/",
            "/no/host",
            "auth.example.com:80",
        ];
        for url in urls {
            let verdict = url.parse().map(|url| check(&[Grant::parse("auth.example.com").unwrap()], &url));
            assert!(!matches!(verdict, Ok(Ok(()) | Err(Refusal::Denied))), "{url}: {verdict:?}");
        }
    }

    #[test]
    fn an_ipv6_address_is_one_however_it_is_written() {
        for grant in ["::1", "[::1]", "[0:0:0:0:0:0:0:1]:80"] {
            assert_eq!(checked(&[grant], "http://[::1]/"), Ok(()), "{grant}");
            assert_eq!(checked(&[grant], "http://[0::1]:80/"), Ok(()), "{grant}");
            assert_eq!(checked(&[grant], "http://[::2]/"), DENIED, "{grant}");
        }
        assert_eq!(checked(&["[::1]:80"], "http://[::1]:81/"), DENIED);
        assert_eq!(checked(&["127.0.0.1"], "http://[::ffff:127.0.0.1]/"), DENIED);
    }

    #[test]
    fn what_names_no_host_grants_nothing() {
        for text in ["", ":80", "a:b", "a:70000", "[::1", "[::1]x", "a@b", "[nonsense]"] {
            assert_eq!(Grant::parse(text), None, "{text}");
        }
    }
}
