//! Removing tokens again.

use super::*;
use crate::host::Host as _;
use crate::host::mock::MockHost;
use crate::time::UnixTime;

fn strip_all(host: &MockHost, request: &Request, locations: &[&Location]) {
    strip(
        host,
        request,
        locations.iter().map(|location| (*location, None)),
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn every_spelling_of_the_location_is_stripped() {
    let locations = [custom(), Location::Parameter("tok".into()), cookie("tok")];
    for spelling in SPELLINGS {
        let host = MockHost::get(&format!("/x?a=1;{spelling}=abc&b&tok="), UnixTime::MAX)
            .with_header("x_jwt", "jwt=abc")
            .with_header("x-jwt", "")
            .with_header("cookie", format!("a=b;{spelling} =abc; =tok=abc"));
        let request = Request::new(host.request_headers());
        let found = find(&locations, &request).unwrap();
        assert_eq!(found.locations.len(), 3, "{spelling}");
        strip_all(&host, &request, &found.locations);
        assert_eq!(host.forwarded("x_jwt").or(host.forwarded("x-jwt")), None);
        assert_eq!(
            host.forwarded(":path").as_deref(),
            Some("/x?a=1&b"),
            "{spelling}"
        );
        assert_eq!(
            host.forwarded("cookie").as_deref(),
            Some("a=b"),
            "{spelling}"
        );
    }
}

/// Names are compared with `;` as `_`, so a parameter with one can be the token's as a whole.
#[wasm_bindgen_test(unsupported = test)]
fn a_parameter_that_was_read_whole_is_stripped_whole() {
    let location = Location::Parameter("my_tok".into());
    let host = MockHost::get("/x?a;b&my;tok=abc", UnixTime::MAX);
    let request = Request::new(host.request_headers());
    let found = find([&location], &request).unwrap();
    assert_eq!(found.token.as_ref(), b"abc");
    strip_all(&host, &request, &found.locations);
    assert_eq!(host.forwarded(":path").as_deref(), Some("/x?a;b"));
}

#[wasm_bindgen_test(unsupported = test)]
fn stripping_leaves_everything_but_the_token() {
    let locations = [
        authorization(),
        Location::Parameter("token".into()),
        cookie("session"),
    ];
    let host = MockHost::get("/x?a=1&token=abc&b=%41", UnixTime::MAX)
        .with_header("authorization", "Bearer abc")
        .with_header("cookie", "a=b; session=abc")
        .with_header("cookie", "session=abc;c=d");
    let request = Request::new(host.request_headers());
    let found = find(&locations, &request).unwrap();
    strip_all(&host, &request, &found.locations);
    assert_eq!(host.forwarded("authorization"), None);
    assert_eq!(host.forwarded(":path").as_deref(), Some("/x?a=1&b=%41"));
    assert_eq!(host.forwarded("cookie").as_deref(), Some("a=b; c=d"));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_cookie_header_with_nothing_but_the_token_goes_whole() {
    let host = MockHost::get("/", UnixTime::MAX).with_header("cookie", "session=abc");
    let request = Request::new(host.request_headers());
    strip_all(&host, &request, &[&cookie("session")]);
    assert_eq!(host.forwarded("cookie"), None);
}
