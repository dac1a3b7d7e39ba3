//! The network that a client's address is in.
//!
//! Read byte by byte: `std::net` would be three times as much code.

use crate::gate::policy::Detail;

/// What is told of an address as Envoy has it: with a port, and with brackets if it is one of IPv6.
/// Nothing is told of what is no address of the internet: a pipe, for instance. `address` is only
/// called where something is told.
pub(super) fn of(address: impl FnOnce() -> Option<Vec<u8>>, detail: Detail) -> Option<String> {
    if detail == Detail::None {
        return None;
    }
    let address = address()?;
    let text = without_port(&address);
    let mapped = text.strip_prefix(b"::ffff:").unwrap_or(text);
    let (whole, network) = match v4_network(mapped) {
        Some(network) => (mapped, network),
        None => (text, v6_network(text)?),
    };
    match detail {
        Detail::Full => str::from_utf8(whole).ok().map(str::to_owned),
        Detail::Coarse | Detail::None => Some(network),
    }
}

/// Without the zone either, which is the host's own affair.
fn without_port(text: &[u8]) -> &[u8] {
    let is_v6 = text.first() == Some(&b'[');
    let text = if is_v6 {
        text.get(1..).unwrap_or_default()
    } else {
        text
    };
    let is_colon = |byte: &u8| *byte == b':';
    let (first, last) = (
        text.iter().position(is_colon),
        text.iter().rposition(is_colon),
    );
    let is_end = |byte: &u8| matches!(byte, b']' | b'%') || (first == last && *byte == b':');
    let end = text.iter().position(is_end);
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// /24: the three octets at the beginning.
fn v4_network(text: &[u8]) -> Option<String> {
    let (mut octets, mut digits, mut value) = (1, 0, 0_u32);
    let mut network = String::new();
    for byte in text {
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                value = value * 10 + u32::from(byte - b'0');
            }
            b'.' if digits > 0 => {
                octets += 1;
                digits = 0;
                value = 0;
            }
            _ => return None,
        }
        if digits > 3 || value > 255 {
            return None;
        }
        if octets < 4 {
            network.push(char::from(*byte));
        }
    }
    (octets == 4 && digits > 0).then(|| network + ".0/24")
}

/// /48: the three groups at the beginning.
fn v6_network(text: &[u8]) -> Option<String> {
    let mut groups = [0_u32; 8];
    // Groups before the gap, and behind it.
    let (mut count, mut gap, mut digits) = (0_usize, None, 0);
    let mut last = 0;
    for byte in text {
        if *byte == b':' {
            if digits > 0 {
                count += 1;
            } else if last == b':' {
                gap = Some(count);
            }
            digits = 0;
        } else {
            let digit = char::from(*byte).to_digit(16)?;
            let group = groups.get_mut(count)?;
            *group = *group * 16 + digit;
            digits += 1;
            if digits > 4 {
                return None;
            }
        }
        last = *byte;
    }
    if digits > 0 {
        count += 1;
    }
    match gap {
        Some(gap) if count < groups.len() => {
            let missing = groups.len() - count;
            groups.get_mut(gap..)?.rotate_right(missing);
        }
        None if count == groups.len() => {}
        _ => return None,
    }
    let [network @ .., _, _, _, _, _] = groups;
    let end = network.iter().rposition(|group| *group != 0);
    let mut text = String::new();
    for group in network.iter().take(end.map_or(0, |last| last + 1)) {
        if !text.is_empty() {
            text.push(':');
        }
        push_hex(&mut text, *group);
    }
    Some(text + "::/48")
}

/// Writes a group without zeros before it.
fn push_hex(text: &mut String, group: u32) {
    for shift in [12, 8, 4, 0] {
        if group >> shift != 0 || shift == 0 {
            text.extend(char::from_digit((group >> shift) % 16, 16));
        }
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    fn told(address: &str, detail: Detail) -> Option<String> {
        of(|| Some(address.as_bytes().to_vec()), detail)
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn an_address_is_told_as_its_network_or_whole_without_its_port() {
        for (address, prefix, whole) in [
            ("203.0.113.7:54321", "203.0.113.0/24", "203.0.113.7"),
            ("203.0.113.7", "203.0.113.0/24", "203.0.113.7"),
            (
                "[2001:db8:1:2::3]:443",
                "2001:db8:1::/48",
                "2001:db8:1:2::3",
            ),
            ("2001:db8:1:2::3", "2001:db8:1::/48", "2001:db8:1:2::3"),
            ("[2001:db8::1]:443", "2001:db8::/48", "2001:db8::1"),
            ("[2001:0:1::1]:443", "2001:0:1::/48", "2001:0:1::1"),
            ("[::1]:443", "::/48", "::1"),
            ("[::]:443", "::/48", "::"),
            ("[1:2:3:4:5:6:7:8]:1", "1:2:3::/48", "1:2:3:4:5:6:7:8"),
            ("[::2:3:4:5:6:7:8]:1", "0:2:3::/48", "::2:3:4:5:6:7:8"),
            ("[1::8]:1", "1::/48", "1::8"),
            ("[::ffff:203.0.113.7]:80", "203.0.113.0/24", "203.0.113.7"),
            ("[fe80::1%eth0]:80", "fe80::/48", "fe80::1"),
        ] {
            assert_eq!(told(address, Detail::Coarse).as_deref(), Some(prefix));
            assert_eq!(told(address, Detail::Full).as_deref(), Some(whole));
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn every_address_that_can_be_written_is_in_the_network_that_it_begins_with() {
        let mut random = 1_u64;
        for _ in 0..5_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            // Half of the groups are zero, so that many are written short.
            let group = |index: u32| {
                let bits = u16::try_from((random >> (8 * index)) & 0xffff).unwrap();
                if bits.is_multiple_of(2) { 0 } else { bits }
            };
            let groups = [0, 1, 2, 3, 4, 5, 6, 7].map(group);
            let text = std::net::Ipv6Addr::from(groups).to_string();
            let [first, second, third, ..] = groups;
            let network = std::net::Ipv6Addr::from([first, second, third, 0, 0, 0, 0, 0]);
            let told = told(&format!("[{text}]:1"), Detail::Coarse).unwrap();
            let told = told.strip_suffix("/48").unwrap();
            assert_eq!(told.parse(), Ok(network), "{text}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn of_what_is_no_address_nothing_is_told_and_no_address_is_asked_for_in_vain() {
        for text in [
            "",
            "@/run/envoy.sock",
            "envoy://internal/",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.256",
            "[1:2:3]:1",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4:5:6:7:8::",
            "g::1",
            "[",
        ] {
            assert_eq!(told(text, Detail::Full), None, "{text}");
        }
        assert_eq!(of(|| Some(vec![0xff]), Detail::Full), None);
        assert_eq!(of(|| None, Detail::Coarse), None);
        assert_eq!(of(|| panic!("asked"), Detail::None), None);
    }
}
