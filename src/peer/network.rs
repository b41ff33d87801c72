//! Ranges of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Addresses that begin alike: `192.0.2.0/24`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

impl Network {
    /// 127.0.0.0/8 and ::1.
    pub const LOOPBACK: [Network; 2] = [
        Network { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), length: 8 },
        Network { address: IpAddr::V6(Ipv6Addr::LOCALHOST), length: 128 },
    ];

    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (u32::from(own) ^ u32::from(other)).leading_zeros() >= u32::from(self.length)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (u128::from(own) ^ u128::from(other)).leading_zeros() >= u32::from(self.length)
            }
            _ => false,
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoNetwork {
    #[error("is neither an IP address nor a range of them, such as \"192.0.2.0/24\"")]
    Malformed,
    #[error("has bits behind its length: that is no range")]
    Behind,
}

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Network, NoNetwork> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NoNetwork::Malformed)?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let length = length.map_or(Ok(whole), str::parse).map_err(|_| NoNetwork::Malformed)?;
        if length > whole {
            return Err(NoNetwork::Malformed);
        }
        let behind = match address {
            IpAddr::V4(address) => u32::from(address).checked_shl(length.into()).unwrap_or(0) != 0,
            IpAddr::V6(address) => u128::from(address).checked_shl(length.into()).unwrap_or(0) != 0,
        };
        if behind { Err(NoNetwork::Behind) } else { Ok(Network { address, length }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_contains_what_begins_like_it() {
        let table = [
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "::ffff:192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db9::1", true),
        ];
        for (network, inside, expected) in table {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address(inside)), expected, "{network:?} {inside}");
        }
        assert!(Network::LOOPBACK.iter().any(|it| it.contains(address("127.1.2.3"))));
        assert!(Network::LOOPBACK.iter().any(|it| it.contains(address("::1"))));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "a", "192.0.2.0/33", "::/129", "192.0.2.0/", "192.0.2.0/-1", "/8", "192.0.2.0/8/8"] {
            assert_eq!(text.parse::<Network>(), Err(NoNetwork::Malformed), "{text}");
        }
        for text in ["192.0.2.1/24", "2001:db8::1/32"] {
            assert_eq!(text.parse::<Network>(), Err(NoNetwork::Behind), "{text}");
        }
    }
}
