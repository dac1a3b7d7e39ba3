//! Whether a request that a browser has put cookies into comes from a page that may act for its user.
//!
//! A page of any site can have a browser send a form to any other site, cookies included (cross-site
//! request forgery). `SameSite` keeps most cookies out of it, but not those of pages on sibling hosts,
//! and not where the application has set it to `None`.

use super::super::request::Request;

/// Whether the request comes from a page of the gate's own origin, or of one of these, or has a header
/// that a form cannot set. A script of another origin can set that only if the answer to its preflight
/// lets it.
pub(in crate::gate) fn is_own_page(request: &Request, origins: &[String]) -> bool {
    let only = |name| {
        let mut values = request.values(name);
        values.next().filter(|_| values.next().is_none())
    };
    // Fetch Metadata: a browser lets no page set it. `none` is the user himself.
    if let Some(b"same-origin" | b"none") = only("sec-fetch-site") {
        return true;
    }
    let is_own = |origin: &[u8]| {
        let mut listed = origins.iter();
        listed.any(|own| own.as_bytes() == origin) || is_of_host(origin, request)
    };
    only("origin").is_some_and(is_own) || only("x-requested-with").is_some()
}

/// Whether an origin is the one that the request was sent to. A proxy before the gate may have ended
/// TLS, so `https` is taken for the same.
fn is_of_host(origin: &[u8], request: &Request) -> bool {
    let first = |name| request.values(name).next().unwrap_or_default();
    let (host, scheme) = (first(":authority"), first(":scheme"));
    let is_at = |scheme: &[u8]| {
        let rest = origin.strip_prefix(scheme);
        let rest = rest.and_then(|rest| rest.strip_prefix(b"://"));
        rest.is_some_and(|rest| !host.is_empty() && rest.eq_ignore_ascii_case(host))
    };
    is_at(b"https") || is_at(scheme)
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    fn is_own(headers: &[(&str, &str)]) -> bool {
        let sent_to = [(":authority", "api.example:8443"), (":scheme", "http")];
        let lines = sent_to.iter().chain(headers);
        let origins = ["https://app.example".to_owned()];
        is_own_page(&Request::new(lines.copied().collect()), &origins)
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn pages_of_the_own_and_of_listed_origins_may_act_for_the_user() {
        for headers in [
            &[("sec-fetch-site", "same-origin")][..],
            &[("sec-fetch-site", "none")],
            &[
                ("sec-fetch-site", "same-site"),
                ("origin", "https://app.example"),
            ],
            &[("origin", "https://app.example")],
            &[("origin", "https://api.example:8443")],
            &[("origin", "http://API.example:8443")],
            &[("x-requested-with", "fetch")],
        ] {
            assert!(is_own(headers), "{headers:?}");
        }
        for headers in [
            &[][..],
            &[("sec-fetch-site", "cross-site")],
            &[
                ("sec-fetch-site", "same-site"),
                ("origin", "https://evil.example"),
            ],
            &[("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")],
            &[("origin", "null")],
            &[("origin", "")],
            &[("origin", "https://app.example:444")],
            &[("origin", "http://app.example")],
            &[("origin", "https://app.example.evil.example")],
            &[("origin", "https://api.example")],
            &[("origin", "wss://api.example:8443")],
            &[
                ("origin", "https://app.example"),
                ("origin", "https://evil.example"),
            ],
        ] {
            assert!(!is_own(headers), "{headers:?}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_request_without_a_host_has_no_own_origin() {
        let request = Request::new([("origin", "https://")].into_iter().collect());
        assert!(!is_own_page(&request, &[]));
    }
}
