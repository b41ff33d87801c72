//! Where connections come from, as far as guards tell them apart.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU64;

/// An IPv4 address, or the first 64 bits of one of IPv6: whoever has one of these has all that begin alike.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source(NonZeroU64);

/// Of addresses of IPv4, in a range of IPv6 that is not routed.
const V4: u64 = 0x0000_ffff_0000_0000;

impl Source {
    pub fn of(address: IpAddr) -> Source {
        let number = match address.to_canonical() {
            IpAddr::V4(address) => V4 | u64::from(u32::from(address)),
            IpAddr::V6(address) => (u128::from(address) >> 64) as u64,
        };
        // The range of `::1` alone would be 0.
        Source(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN))
    }

    pub(super) fn number(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number();
        if number & !u64::from(u32::MAX) == V4 {
            return Ipv4Addr::from(number as u32).fmt(f);
        }
        let range = if number == 1 { 0 } else { number };
        write!(f, "{}/64", Ipv6Addr::from(u128::from(range) << 64))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_of_ipv4_is_a_source_of_its_own_and_one_of_ipv6_shares_its_range() {
        let source = |text| Source::of(address(text));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(source("192.0.2.1"), source("::ffff:192.0.2.1"));
        assert_eq!(source("2001:db8:1:2::1"), source("2001:db8:1:2:ffff::9"));
        assert_ne!(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
        let shown = ["192.0.2.1", "2001:db8:1:2::1", "::1"].map(|text| source(text).to_string());
        assert_eq!(shown, ["192.0.2.1", "2001:db8:1:2::/64", "::/64"]);
    }
}
