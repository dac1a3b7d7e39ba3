//! `x-forwarded-client-cert`, in which a proxy says which certificate its client has shown it.
//!
//! Each proxy adds an element, behind those that came with the request: elements with commas between them, each of
//! pairs `key=value` with semicolons between them, where a value in quotes may have both and `\"` in it (Envoy's
//! HTTP connection manager, "x-forwarded-client-cert").

use super::request::Request;

const HEADER: &str = "x-forwarded-client-cert";

/// The key whose value is the SHA-256 of the certificate, in hexadecimal.
const HASH: &[u8] = b"hash";

/// What the proxy in front says of its client's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Forwarded<'r> {
    /// The value of `Hash`; `None` where it says something else, or nothing that can be read.
    pub(super) hash: Option<&'r [u8]>,
}

/// What the proxy in front says; `None` where there is no such header. `own` is the digest of that proxy's own
/// certificate, of which this proxy may have added an element already.
pub(super) fn forwarded<'r>(request: &'r Request, own: Option<&[u8]>) -> Option<Forwarded<'r>> {
    let mut elements: Vec<&[u8]> = Vec::new();
    for line in request.values(HEADER) {
        match split(line, b',') {
            Some(parts) => elements.extend(parts),
            None => return Some(Forwarded { hash: None }),
        }
    }
    let mut hashes = elements.iter().rev().map(|element| hash(element));
    let last = hashes.next()?;
    let is_own = |hash: &[u8]| own.is_some_and(|own| own.eq_ignore_ascii_case(hash));
    let hash = match last {
        Some(hash) if is_own(hash) => hashes.next().flatten(),
        last => last,
    };
    Some(Forwarded { hash })
}

/// `Hash` of an element, if it has one.
fn hash(element: &[u8]) -> Option<&[u8]> {
    let pairs = split(element, b';')?;
    let mut hashes = pairs.into_iter().filter_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (key, value) = pair.split_at_checked(equals)?;
        let is_hash = key.trim_ascii().eq_ignore_ascii_case(HASH);
        is_hash.then(|| value.get(1..).unwrap_or_default().trim_ascii())
    });
    let hash = hashes.next()?;
    hashes.next().is_none().then_some(hash)
}

/// The parts between the separators that are not in quotes; `None` where a quote is not closed.
fn split(text: &[u8], separator: u8) -> Option<Vec<&[u8]>> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (index, byte) in text.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            byte if *byte == separator && !is_quoted => {
                parts.push(text.get(start..index)?);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?);
    (!is_quoted && !is_escaped).then_some(parts)
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    fn request(lines: &[&str]) -> Request {
        let lines = lines.iter().map(|line| (HEADER, line.as_bytes()));
        Request::new(lines.collect())
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_last_element_that_is_not_this_proxys_own_counts() {
        for (lines, expected) in [
            (&["Hash=aa"][..], Some("aa")),
            (
                &["By=spiffe://x;Hash=aa;Subject=\"/C=US,CN=\\\"a;Hash=bb\\\"\";URI=y"],
                Some("aa"),
            ),
            // The first is what the client has sent.
            (&["Hash=ff,Hash=aa"], Some("aa")),
            (&["Hash=ff", "Hash=aa"], Some("aa")),
            (&["Hash=aa,Hash=EE"], Some("aa")),
            (&["Hash=ff,Hash=aa,By=x;Hash=ee"], Some("aa")),
            (&["hash = aa ; URI=x"], Some("aa")),
            (&["Hash=ee"], None),
            (&["Hash=aa,"], None),
            (&["Hash=aa,URI=x"], None),
            (&["Hash=aa;Hash=bb"], None),
            (&["Hash=aa;Subject=\"x"], None),
            (&["Hash=aa;Subject=\"x\\\""], None),
            (&["", ""], None),
        ] {
            let hash = expected.map(str::as_bytes);
            let request = request(lines);
            let found = forwarded(&request, Some(b"ee"));
            assert_eq!(found, Some(Forwarded { hash }), "{lines:?}");
        }
        assert_eq!(forwarded(&request(&[]), Some(b"ee")), None);
        let whole = request(&["Hash=aa"]);
        let hash = Some(&b"aa"[..]);
        assert_eq!(forwarded(&whole, None), Some(Forwarded { hash }));
    }
}
