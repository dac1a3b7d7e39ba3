//! The headers that only the gate may set, and how clients are kept from setting them.
//!
//! A client can forge such a header, in any spelling that the upstream may read as the header, or
//! have a genuine one dropped on the way: a proxy removes what `Connection` names (RFC 9110 section
//! 7.6.1), and Envoy passes that list on unchanged when a connection is to be upgraded. Trailers
//! allow both as well, since servers may merge them into the headers (section 6.5.1).

use std::borrow::Cow;

use super::alias::{canonical_name, is_alias, starts_as};
use super::request::Request;
use crate::host::{HeaderBlock, Host};

/// The headers that belong to the gate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OwnHeaders {
    /// Every name with this prefix, if there are session headers: also those that no token fills,
    /// since an upstream that knows `x-session-subject` believes `x-session-role`.
    prefix: Option<String>,
    /// Names outside of it.
    names: Vec<String>,
    /// The headers that carry tokens.
    tokens: Vec<String>,
}

/// Whether a client has set a header that only the gate may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoofing {
    /// It has not.
    Absent,
    /// It has, and the header was taken off.
    TakenOff,
}

/// Fields that must not be in trailers (RFC 9110 section 6.5.1) and would change who is calling or
/// what is asked for. They count before the body or not at all.
const NEVER_IN_TRAILERS: [&str; 8] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "host",
    "proxy-authorization",
    "transfer-encoding",
    "upgrade",
];

impl OwnHeaders {
    /// Those with this prefix, and those with one of these names. `tokens` names the headers that
    /// carry tokens.
    pub(super) fn new<'n>(
        prefix: Option<&str>,
        names: impl Iterator<Item = &'n str>,
        tokens: impl Iterator<Item = &'n str>,
    ) -> Self {
        let mut own = Self {
            prefix: prefix.map(canonical_name),
            ..Self::default()
        };
        for name in names {
            if !own.has(name.as_bytes()) {
                own.names.push(canonical_name(name));
            }
        }
        for name in tokens.map(canonical_name) {
            if !own.tokens.contains(&name) {
                own.tokens.push(name);
            }
        }
        own
    }

    /// Whether a header of this name, in lower case or not, is the gate's.
    pub(super) fn has(&self, name: &[u8]) -> bool {
        let is_pseudo = name.first() == Some(&b':');
        let is_below = |prefix: &String| starts_as(prefix, name);
        let mut names = self.names.iter();
        !is_pseudo
            && (self.prefix.as_ref().is_some_and(is_below) || names.any(|own| is_alias(own, name)))
    }

    /// Whether the upstream would miss this header. A token that is to be forwarded is one.
    fn is_relied_on(&self, name: &[u8]) -> bool {
        self.has(name) || self.holds_tokens(name)
    }

    fn holds_tokens(&self, name: &[u8]) -> bool {
        self.tokens.iter().any(|own| is_alias(own, name))
    }

    /// Removes the gate's headers that the client has set. Gives the request as it is then, and
    /// whether there was anything to remove.
    pub(super) fn take_off(&self, host: &impl Host, request: Request) -> (Request, Spoofing) {
        let is_changed = |(name, value): (&[u8], &[u8])| {
            self.has(name) || (name == CONNECTION && self.without_own(value).is_some())
        };
        if !request.lines().any(is_changed) {
            return (request, Spoofing::Absent);
        }
        let mut kept: Vec<(&[u8], Cow<'_, [u8]>)> = Vec::new();
        let mut taken: Vec<&str> = Vec::new();
        let mut connection: Option<Vec<u8>> = None;
        for (name, value) in request.lines() {
            if self.has(name) {
                // Envoy accepts only names in ASCII. There are few own ones, however many lines.
                let name = str::from_utf8(name).ok();
                taken.extend(name.filter(|name| !taken.contains(name)));
            } else if name == CONNECTION {
                let list = self.without_own(value).unwrap_or_else(|| value.to_vec());
                let earlier = connection.take().filter(|earlier| !earlier.is_empty());
                connection = Some(match earlier {
                    Some(earlier) => [&*earlier, b", ", &list].concat(),
                    None => list,
                });
            } else {
                kept.push((name, Cow::Borrowed(value)));
            }
        }
        for name in taken {
            host.remove_request_header(name);
        }
        match connection {
            Some(list) if list.is_empty() => host.remove_request_header("connection"),
            Some(list) => {
                host.set_request_header("connection", &list);
                kept.push((CONNECTION, Cow::Owned(list)));
            }
            None => {}
        }
        (
            Request::new(kept.into_iter().collect::<HeaderBlock>()),
            Spoofing::TakenOff,
        )
    }

    /// A list of `Connection` without the names of headers that the upstream relies on; `None` when
    /// it has none of them.
    fn without_own(&self, list: &[u8]) -> Option<Vec<u8>> {
        let names = || list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let is_own = |name: &&[u8]| self.is_relied_on(name);
        names().any(|name| is_own(&name)).then(|| {
            let kept = names().filter(|name| !name.is_empty() && !is_own(name));
            kept.collect::<Vec<_>>().join(&b", "[..])
        })
    }

    /// Removes from trailers what is the gate's or must not be there.
    pub(super) fn take_off_trailers(&self, trailers: &Request, remove: impl Fn(&str)) {
        let names = trailers.lines().map(|(name, _)| name);
        let is_unfit = |name: &[u8]| NEVER_IN_TRAILERS.iter().any(|own| is_alias(own, name));
        let spoofed = names.filter(|name| self.is_relied_on(name) || is_unfit(name));
        spoofed
            .filter_map(|name| str::from_utf8(name).ok())
            .for_each(remove);
    }
}

const CONNECTION: &[u8] = b"connection";

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    fn own() -> OwnHeaders {
        let names = ["x-user.name", "x-session-id"].into_iter();
        OwnHeaders::new(
            Some("x-session-"),
            names,
            ["authorization", "x-jwt"].into_iter(),
        )
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn everything_below_the_prefix_is_the_gates() {
        for name in [
            "x-session-id",
            "x-session-role",
            "x~session+subject",
            "X_SESSION!",
            "x-user-name",
            "x_user*name",
        ] {
            assert!(own().has(name.as_bytes()), "{name}");
        }
        for name in [
            "x-session",
            "x-sessions-id",
            "x-user-names",
            "x-jwt",
            ":path",
        ] {
            assert!(!own().has(name.as_bytes()), "{name}");
        }
        let unusual = OwnHeaders::new(None, ["-path"].into_iter(), std::iter::empty());
        assert!(!unusual.has(b":path") && unusual.has(b".path"));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_list_of_connection_names_nothing_that_the_upstream_relies_on() {
        for (list, left) in [
            ("Upgrade, x-session-subject", Some("Upgrade")),
            (
                "x_session.subject,Upgrade , X-User-Name,x-other",
                Some("Upgrade, x-other"),
            ),
            ("authorization, upgrade", Some("upgrade")),
            ("X_JWT", Some("")),
            ("upgrade,, keep-alive", None),
            ("", None),
        ] {
            let found = own().without_own(list.as_bytes());
            assert_eq!(found.as_deref(), left.map(str::as_bytes), "{list}");
        }
    }
}
