//! Networks as they are compared: by their first bits, at most 32.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::authority::sessions::Network;

/// The first 32 bits.
#[must_use]
pub(super) const fn first_bits(network: Network) -> u32 {
    match network.address() {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => (address.to_bits() >> 96) as u32,
    }
}

/// The network with these as its first bits.
#[must_use]
pub(super) fn of_first_bits(bits: u32, is_ipv6: bool, prefix: u8) -> Network {
    let address = if is_ipv6 {
        Ipv6Addr::from_bits(u128::from(bits) << 96).into()
    } else {
        Ipv4Addr::from_bits(bits).into()
    };
    Network::new(address, prefix)
}

/// The network with at most so many bits.
#[must_use]
pub(super) fn shortened(network: Network, most: u8) -> Network {
    Network::new(network.address(), network.prefix().min(most))
}

/// Whether all of the inner one lies in the outer one.
#[must_use]
pub(super) fn contains(outer: Network, inner: Network) -> bool {
    outer.address().is_ipv6() == inner.address().is_ipv6()
        && outer.prefix() <= inner.prefix()
        && shortened(inner, outer.prefix()).address() == outer.address()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_kept_by_their_first_bits() {
        for (text, most, expected) in [
            ("203.0.113.0/24", 16, "203.0.0.0/16"),
            ("203.0.113.77", 16, "203.0.0.0/16"),
            ("203.0.113.77", 32, "203.0.113.77"),
            ("10.0.0.0/8", 16, "10.0.0.0/8"),
            ("0.0.0.0/0", 16, "0.0.0.0/0"),
            ("2001:db8:1234::/48", 32, "2001:db8::/32"),
            ("2001:db8::1", 16, "2001::/16"),
            ("::/0", 32, "::/0"),
        ] {
            let compared = shortened(network(text), most);
            assert_eq!(compared, network(expected), "{text}");
            let is_ipv6 = compared.address().is_ipv6();
            let kept = of_first_bits(first_bits(compared), is_ipv6, compared.prefix());
            assert_eq!(kept, compared, "{text}");
        }
    }

    #[test]
    fn a_network_contains_what_begins_with_its_bits() {
        for (outer, inner, expected) in [
            ("203.0.113.0/24", "203.0.113.7", true),
            ("203.0.113.0/24", "203.0.113.0/24", true),
            ("203.0.113.0/24", "203.0.0.0/16", false),
            ("203.0.113.0/24", "203.0.114.7", false),
            ("0.0.0.0/0", "203.0.114.7", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:1::/48", true),
        ] {
            let is_in = contains(network(outer), network(inner));
            assert_eq!(is_in, expected, "{outer} {inner}");
        }
    }
}
