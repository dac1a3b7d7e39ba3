use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::host::mock::MockHost;
use crate::time::UnixTime;

fn request(lines: &[(&str, &str)]) -> Request {
    let line = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
    Request::new(lines.iter().map(line).collect())
}

fn token(locations: &[Location], lines: &[(&str, &str)]) -> Result<String, Reason> {
    let request = request(lines);
    let found = find(locations, &request)?;
    Ok(String::from_utf8(found.token.to_vec()).unwrap())
}

fn authorization() -> Location {
    Location::Header(HeaderLocation::authorization())
}

fn bearer(lines: &[(&str, &str)]) -> Result<String, Reason> {
    token(&[authorization()], lines)
}

fn custom() -> Location {
    Location::Header(HeaderLocation {
        name: "x-jwt".into(),
        prefix: "jwt=".into(),
    })
}

#[wasm_bindgen_test(unsupported = test)]
fn the_scheme_is_found_in_any_case_and_only_at_the_beginning() {
    for value in ["Bearer abc", "bearer abc", "BEARER   abc"] {
        assert_eq!(
            bearer(&[("authorization", value)]).as_deref(),
            Ok("abc"),
            "{value}"
        );
    }
    for value in [
        "XBearer abc",
        "Bearer",
        "Bearer ",
        "Béarer abc",
        "Digest a=b, c=d",
    ] {
        let outcome = bearer(&[("authorization", value)]);
        assert_eq!(outcome, Err(Reason::TokenMissing), "{value}");
    }
    for value in [
        "Bearer\tabc",
        "bearer\t abc",
        "Bearerabc",
        "Bearer\u{a0}abc",
    ] {
        let outcome = bearer(&[("authorization", value)]);
        assert_eq!(outcome, Err(Reason::TokenMalformed), "{value}");
    }
    assert_eq!(bearer(&[]), Err(Reason::TokenMissing));
}

#[wasm_bindgen_test(unsupported = test)]
fn two_different_authorization_headers_are_refused_whatever_their_schemes() {
    for second in ["Bearer def", "Basic abc", "Digest a=b"] {
        let apart = [("authorization", "Bearer abc"), ("authorization", second)];
        assert_eq!(bearer(&apart), Err(Reason::TokenAmbiguous), "{second}");
        let before = format!("{second}, Bearer abc");
        let after = format!("Bearer abc,{second}");
        for joined in [&before, &after] {
            let outcome = bearer(&[("authorization", joined)]);
            assert_eq!(outcome, Err(Reason::TokenAmbiguous), "{joined}");
        }
    }
    let twice = [
        ("authorization", "Bearer abc"),
        ("authorization", "bearer abc"),
    ];
    assert_eq!(bearer(&twice).as_deref(), Ok("abc"));
    let joined = [("authorization", "Bearer abc,Bearer abc")];
    assert_eq!(bearer(&joined).as_deref(), Ok("abc"));
}

#[wasm_bindgen_test(unsupported = test)]
fn tokens_in_two_places_have_to_be_the_same() {
    let locations = [authorization(), custom()];
    let lines = [("authorization", "Bearer abc"), ("x-jwt", "jwt=abc")];
    assert_eq!(token(&locations, &lines).as_deref(), Ok("abc"));
    let request = request(&lines);
    let found = find(&locations, &request).unwrap();
    assert_eq!(found.places, [&locations[0], &locations[1]]);
    let lines = [("authorization", "Bearer abc"), ("x-jwt", "jwt=def")];
    assert_eq!(token(&locations, &lines), Err(Reason::TokenAmbiguous));
    let lines = [("authorization", "Basic abc"), ("x-jwt", "jwt=def")];
    assert_eq!(token(&locations, &lines).as_deref(), Ok("def"));
}

#[wasm_bindgen_test(unsupported = test)]
fn other_prefixes_are_compared_as_they_are() {
    assert_eq!(
        token(&[custom()], &[("x-jwt", "jwt=abc")]).as_deref(),
        Ok("abc")
    );
    for value in ["JWT=abc", "abc", "xjwt=abc"] {
        let outcome = token(&[custom()], &[("x-jwt", value)]);
        assert_eq!(outcome, Err(Reason::TokenMissing), "{value}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn parameters_are_decoded_and_must_not_contradict_one_another() {
    let locations = [Location::Parameter("access_token".into())];
    let of = |path: &str| token(&locations, &[(":path", path)]);
    for path in [
        "/x?access_token=abc",
        "/x?a=b&access%5Ftoken=%61bc",
        "/x?access_token=abc&access_token=abc",
        "/x?access_token=&access_token=abc",
    ] {
        assert_eq!(of(path).as_deref(), Ok("abc"), "{path}");
    }
    assert_eq!(
        of("/x?access_token=abc&access_token=def"),
        Err(Reason::TokenAmbiguous)
    );
    for path in [
        "/x",
        "/access_token=abc",
        "/x?access_token",
        "/x?ACCESS_TOKEN=abc",
        "/x#?access_token=abc",
    ] {
        assert_eq!(of(path), Err(Reason::TokenMissing), "{path}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn cookies_are_found_in_every_line_by_their_exact_name() {
    let locations = [Location::Cookie("session".into())];
    let of = |lines: &[&str]| {
        let lines: Vec<_> = lines.iter().map(|line| ("cookie", *line)).collect();
        token(&locations, &lines)
    };
    for lines in [
        &["session=abc"][..],
        &["a=b; session=abc ;c=d"],
        &["a=b", "session=\"abc\""],
        &["session=abc; session=abc"],
    ] {
        assert_eq!(of(lines).as_deref(), Ok("abc"), "{lines:?}");
    }
    assert_eq!(
        of(&["session=abc", "session=d"]),
        Err(Reason::TokenAmbiguous)
    );
    for lines in [&["Session=abc"][..], &["xsession=abc"], &["session"], &[]] {
        assert_eq!(of(lines), Err(Reason::TokenMissing), "{lines:?}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn stripping_leaves_everything_but_the_token() {
    let places = [
        authorization(),
        Location::Parameter("token".into()),
        Location::Cookie("session".into()),
    ];
    let host = MockHost::get("/x?a=1&token=abc&b=%41", UnixTime::MAX)
        .with_header("authorization", "Bearer abc")
        .with_header("cookie", "a=b; session=abc")
        .with_header("cookie", "session=abc;c=d");
    let request = Request::new(host.request_headers());
    let found = find(&places, &request).unwrap();
    strip(&host, &request, found.places.into_iter());
    assert_eq!(host.forwarded("authorization"), None);
    assert_eq!(host.forwarded(":path").as_deref(), Some("/x?a=1&b=%41"));
    assert_eq!(host.forwarded("cookie").as_deref(), Some("a=b; c=d"));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_cookie_header_with_nothing_but_the_token_goes_whole() {
    let host = MockHost::get("/", UnixTime::MAX).with_header("cookie", "session=abc");
    let request = Request::new(host.request_headers());
    strip(
        &host,
        &request,
        [&Location::Cookie("session".into())].into_iter(),
    );
    assert_eq!(host.forwarded("cookie"), None);
}
