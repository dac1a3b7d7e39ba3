//! `x-forwarded-client-cert`, in which a proxy says which certificate its client has shown it (Envoy's HTTP
//! connection manager, "x-forwarded-client-cert").
//!
//! Each proxy adds an element of pairs `key=value`, behind those that came with the request. Names in a certificate
//! stand there as they are, or in quotes, and its holder may have chosen them; so has a client chosen
//! what it sends itself. Where an element begins or a quote ends cannot be told of such a text. So it is not taken
//! apart: every `Hash=` in it counts, wherever it stands, and there has to be one only.

use super::request::Request;

/// The header.
pub(super) const HEADER: &str = "x-forwarded-client-cert";

/// The key whose value is the SHA-256 of a certificate, in hexadecimal.
const HASH: &[u8] = b"hash";

/// What the proxy in front says of its client's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forwarded<'r> {
    /// Nothing: there is no such header, or this proxy alone has written it.
    Nothing,
    /// Its SHA-256, in hexadecimal.
    Certificate(&'r [u8]),
    /// More than one thing, or one that cannot be read.
    Unclear,
}

/// What the proxy in front says. `own` is the digest of that proxy's own certificate, which this proxy may have
/// added behind it.
pub(super) fn forwarded<'r>(request: &'r Request, own: Option<&[u8]>) -> Forwarded<'r> {
    let lines = || {
        request
            .values(HEADER)
            .filter(|line| !line.trim_ascii().is_empty())
    };
    let mut hashes: Vec<&[u8]> = lines().flat_map(hashes_in).collect();
    let is_own = |hash: &&[u8]| own.is_some_and(|own| own.eq_ignore_ascii_case(hash));
    let has_own = hashes.last().is_some_and(is_own);
    if has_own {
        hashes.pop();
    }
    match hashes.as_slice() {
        [] if has_own || lines().next().is_none() => Forwarded::Nothing,
        [hash] => Forwarded::Certificate(hash),
        _ => Forwarded::Unclear,
    }
}

/// The values behind every `Hash=` in a text.
fn hashes_in(line: &[u8]) -> Vec<&[u8]> {
    let mut hashes = Vec::new();
    for equals in memchr::memchr_iter(b'=', line) {
        let Some((key, value)) = line.split_at_checked(equals) else {
            continue;
        };
        let key = key.trim_ascii_end();
        let start = key.len().saturating_sub(HASH.len());
        if key
            .get(start..)
            .is_some_and(|key| key.eq_ignore_ascii_case(HASH))
        {
            let value = value.get(1..).unwrap_or_default().trim_ascii_start();
            let end = value.iter().position(|byte| !byte.is_ascii_hexdigit());
            hashes.push(value.get(..end.unwrap_or(value.len())).unwrap_or_default());
        }
    }
    hashes
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
    fn there_has_to_be_one_certificate_beside_the_proxys_own() {
        const A: Forwarded<'_> = Forwarded::Certificate(b"aa");
        for (lines, expected) in [
            (&["Hash=aa"][..], A),
            (&["By=spiffe://x;Hash=aa;Subject=\"/C=US,CN=x\";URI=y"], A),
            (&["hash = aa ; URI=x"], A),
            (&["HASH=aa"], A),
            (&["Hash=aa,By=x;Hash=EE;URI=z"], A),
            (&["Hash=aa", "Hash=ee"], A),
            (&[], Forwarded::Nothing),
            (&["", " "], Forwarded::Nothing),
            (&["By=x;Hash=ee"], Forwarded::Nothing),
            // What the client has sent itself, and behind it what the proxy has added.
            (&["Hash=aa,Hash=bb"], Forwarded::Unclear),
            (&["Hash=aa", "Hash=bb"], Forwarded::Unclear),
            (&["Hash=aa,Hash=bb,Hash=ee"], Forwarded::Unclear),
            // Names of which the client has chosen the quotes, the separators and the keys.
            (
                &["Hash=aa;Subject=\",Hash=bb;Subject=\"CN=a\\\"b\""],
                Forwarded::Unclear,
            ),
            (&["Hash=bb;URI=x,Hash=aa"], Forwarded::Unclear),
            (&["Hash=bb;Subject=\"CN=hash=aa\""], Forwarded::Unclear),
            (&["Hash=bb;Hash=aa"], Forwarded::Unclear),
            (&["URI=x"], Forwarded::Unclear),
            (&["Hash"], Forwarded::Unclear),
        ] {
            let request = request(lines);
            assert_eq!(forwarded(&request, Some(b"ee")), expected, "{lines:?}");
        }
        assert_eq!(forwarded(&request(&["Hash=aa"]), None), A);
        let cut = request(&["Hash=\"aa\""]);
        assert_eq!(forwarded(&cut, None), Forwarded::Certificate(b""));
    }
}
