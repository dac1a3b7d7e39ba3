//! Which edge polls, in a header of the poll.
//!
//! A header, since an authority refuses a parameter that it does not know and ignores such a header: an
//! edge may be newer than its authority. Edges that are older send none, and the authority tells them
//! apart by their credentials, addresses and positions.
//!
//! ```text
//! portcullis-edge: 1 0.1.0 8274109357 3600 1764424800000 sidecar~10.0.0.1~api
//!                  │ │     │          │    │             └ what the operator calls the instance
//!                  │ │     │          │    └ the generation in use; 0 for what is not in use yet
//!                  │ │     │          └ seconds since the process began to follow the feed
//!                  │ │     └ a random number of the process
//!                  │ └ the version of the module
//!                  └ the version of this format
//! ```
//!
//! The instance is missing where the host has no name for it. What follows it is ignored, so that later
//! versions can say more.

/// The name of the header.
pub const EDGE_HEADER: &str = "portcullis-edge";

/// The longest name of an instance. Those of Istio have an address, a pod and a namespace twice.
pub const MAX_INSTANCE_BYTES: usize = 256;

/// The longest version.
#[cfg(not(target_family = "wasm"))]
const MAX_VERSION_BYTES: usize = 32;

/// The version of this format, and that of the module.
const BEGINNING: &str = concat!("1 ", env!("CARGO_PKG_VERSION"), " ");

/// What an edge says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// A random number of the process.
    pub process: u64,
    /// Seconds since the process began to follow the feed.
    pub age_seconds: u64,
    /// The generation in use; none for a poll about a generation that is still being loaded.
    pub generation: Option<u64>,
    /// What the operator calls the instance; empty where it has no name.
    pub instance: String,
}

impl Introduction {
    /// The value of the header.
    #[must_use]
    pub fn to_header(&self) -> String {
        let numbers = [self.process, self.age_seconds, self.generation.unwrap_or(0)];
        let mut text = BEGINNING.to_owned();
        for number in numbers {
            text.extend([&*number.to_string(), " "]);
        }
        text + &self.instance
    }

    /// What the value of a header says, and the version of the module; `None` for anything else.
    #[cfg(not(target_family = "wasm"))]
    #[must_use]
    pub fn from_header(value: &[u8]) -> Option<(Self, String)> {
        let text = str::from_utf8(value).ok()?;
        let mut fields = text.strip_prefix("1 ")?.split(' ');
        let version = fields
            .next()
            .filter(|text| is_word(text, MAX_VERSION_BYTES));
        let version = version.filter(|text| !text.is_empty())?.to_owned();
        let mut number = || fields.next()?.parse().ok();
        let (process, age_seconds, generation) = (number()?, number()?, number()?);
        let instance = fields.next().unwrap_or_default();
        let introduction = Self {
            process,
            age_seconds,
            generation: Some(generation).filter(|generation| *generation > 0),
            instance: is_word(instance, MAX_INSTANCE_BYTES).then(|| instance.to_owned())?,
        };
        Some((introduction, version))
    }
}

/// The name of an instance as a header can have it: what is no printable ASCII is `_`, and what is too
/// long is cut off.
#[must_use]
pub fn instance_name(name: &[u8]) -> String {
    let bytes = name.iter().take(MAX_INSTANCE_BYTES);
    let shown = bytes.map(|byte| match byte {
        b'!'..=b'~' => char::from(*byte),
        _ => '_',
    });
    shown.collect()
}

#[cfg(not(target_family = "wasm"))]
fn is_word(text: &str, limit: usize) -> bool {
    text.len() <= limit && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::*;

    fn example() -> Introduction {
        Introduction {
            process: u64::MAX,
            age_seconds: 7,
            generation: Some(9),
            instance: "sidecar~10.0.0.1~api.shop".to_owned(),
        }
    }

    #[test]
    fn the_authority_reads_what_an_edge_says() {
        let nameless = Introduction {
            generation: None,
            instance: String::new(),
            ..example()
        };
        let longest = Introduction {
            instance: instance_name(&[b'x'; 2 * MAX_INSTANCE_BYTES]),
            ..example()
        };
        for introduction in [example(), nameless, longest] {
            let header = introduction.to_header();
            let version = env!("CARGO_PKG_VERSION").to_owned();
            let read = Introduction::from_header(header.as_bytes());
            assert_eq!(read, Some((introduction, version)), "{header}");
        }
    }

    #[test]
    fn a_later_version_may_say_more() {
        let read = Introduction::from_header(b"1 9.9.9-rc.1 1 2 3 edge 4 five").unwrap();
        assert_eq!(read.1, "9.9.9-rc.1");
        assert_eq!(read.0.instance, "edge");
    }

    #[test]
    fn anything_else_introduces_no_edge() {
        let long = format!("1 0.1.0 1 2 3 {}", "x".repeat(MAX_INSTANCE_BYTES + 1));
        let long_version = format!("1 {} 1 2 3 edge", "1".repeat(MAX_VERSION_BYTES + 1));
        for value in [
            "",
            "1",
            "1 ",
            "2 0.1.0 1 2 3 edge",
            "1  1 2 3 edge",
            "1 0.1.0",
            "1 0.1.0 1 2",
            "1 0.1.0 1 -2 3 edge",
            "1 0.1.0 18446744073709551616 2 3 edge",
            "1 0.1.0 1 2 x edge",
            "1 0.1.0 1 2 3 \u{e9}dge",
            "1 0.1.0 1 2 3 ed\tge",
            &long,
            &long_version,
        ] {
            assert_eq!(Introduction::from_header(value.as_bytes()), None, "{value}");
        }
        assert_eq!(Introduction::from_header(b"1 0.1.0 1 2 3 \xff"), None);
    }

    #[test]
    fn a_name_becomes_what_a_header_can_have() {
        assert_eq!(instance_name(b"edge 1\r\nx: y\xff"), "edge_1__x:_y_");
        assert_eq!(instance_name(&[b'x'; 300]).len(), MAX_INSTANCE_BYTES);
    }
}
