//! Networks, as edges report them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address and how many of its bits count; the others are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authority) struct Network {
    address: IpAddr,
    prefix: u8,
}

/// What is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an IP address or a prefix such as `203.0.113.0/24` or `2001:db8::/48`")]
pub(in crate::authority) struct NetworkError;

impl Network {
    /// The network of this address with so many bits.
    #[must_use]
    pub(super) fn new(address: IpAddr, prefix: u8) -> Self {
        // The first 32 bits, or 128, of which `prefix` stay.
        let address = match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(u32::from(32 - prefix.min(32)));
                Ipv4Addr::from_bits(address.to_bits() & mask.unwrap_or(0)).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(u32::from(128 - prefix.min(128)));
                Ipv6Addr::from_bits(address.to_bits() & mask.unwrap_or(0)).into()
            }
        };
        Self { address, prefix }
    }

    /// The address.
    #[must_use]
    pub(super) const fn address(self) -> IpAddr {
        self.address
    }

    /// How many of its bits count.
    #[must_use]
    pub(super) const fn prefix(self) -> u8 {
        self.prefix
    }

    const fn length(address: IpAddr) -> u8 {
        if address.is_ipv6() { 128 } else { 32 }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let most = Self::length(address);
        let prefix = match prefix {
            Some(digits) => digits.parse().map_err(|_| NetworkError)?,
            None => most,
        };
        if prefix > most {
            return Err(NetworkError);
        }
        // An edge that listens on both writes IPv4 addresses in this way.
        match address {
            IpAddr::V6(mapped) if prefix >= 96 => Ok(match mapped.to_ipv4_mapped() {
                Some(address) => Self::new(address.into(), prefix - 96),
                None => Self::new(address, prefix),
            }),
            address => Ok(Self::new(address, prefix)),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == Self::length(self.address) {
            write!(formatter, "{}", self.address)
        } else {
            write!(formatter, "{}/{}", self.address, self.prefix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_written() {
        for (text, expected) in [
            ("203.0.113.0/24", "203.0.113.0/24"),
            ("203.0.113.77/24", "203.0.113.0/24"),
            ("203.0.113.77", "203.0.113.77"),
            ("::ffff:203.0.113.77", "203.0.113.77"),
            ("::ffff:203.0.113.0/120", "203.0.113.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8:1234::/48", "2001:db8:1234::/48"),
            ("2001:db8::1", "2001:db8::1"),
            ("::/0", "::/0"),
        ] {
            let network: Network = text.parse().unwrap();
            assert_eq!(network.to_string(), expected, "{text}");
            assert_eq!(expected.parse(), Ok(network), "{text}");
        }
        for text in [
            "",
            "/",
            "203.0.113.0/33",
            "203.0.113.0/-1",
            "::/129",
            "example.com",
            "203.0.113/24",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError), "{text}");
        }
    }
}
