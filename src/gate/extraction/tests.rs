use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::host::Host as _;
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

fn cookie(name: &str) -> Location {
    Location::Cookie(CookieLocation {
        name: name.into(),
        duplicates: Duplicates::Refused,
    })
}

fn strip_all(host: &MockHost, request: &Request, places: &[&Location]) {
    strip(host, request, places.iter().map(|place| (*place, None)));
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
        "Bearer\u{2003} abc",
        "\u{a0}Bearer abc",
        "\u{2003} bearer abc",
        "\u{85}Bearer\tabc",
        "\u{feff}\x0bBearerabc",
    ] {
        let outcome = bearer(&[("authorization", value)]);
        assert_eq!(outcome, Err(Reason::TokenMalformed), "{value}");
    }
    assert_eq!(bearer(&[]), Err(Reason::TokenMissing));
}

#[wasm_bindgen_test(unsupported = test)]
fn blanks_behind_a_prefix_do_not_matter_in_any_header() {
    for name in ["authorization", "x-access-token"] {
        for (prefix, values) in [
            ("Bearer", &["Bearer abc", "Bearer   abc", "Bearerabc"][..]),
            ("Bearer ", &["Bearer abc", "Bearer   abc"]),
            ("jwt=", &["jwt=abc", "jwt= abc", "jwt=\tabc"]),
        ] {
            let header = HeaderLocation {
                name: name.into(),
                prefix: prefix.into(),
            };
            let places = [Location::Header(header)];
            for value in values {
                let found = token(&places, &[(name, value)]);
                assert_eq!(found.as_deref(), Ok("abc"), "{name}: {prefix:?}: {value}");
            }
            let nothing = token(&places, &[(name, prefix.trim_end())]);
            assert_eq!(nothing, Err(Reason::TokenMissing), "{name}: {prefix:?}");
        }
    }
}

/// Equal or not: with `forward`, the upstream would get a list of two.
#[wasm_bindgen_test(unsupported = test)]
fn an_authorization_header_that_is_repeated_is_refused() {
    for second in [
        "Bearer abc",
        "bearer abc",
        "Bearer def",
        "Basic abc",
        "Digest a=b",
        "Digest a=\"b, c\", d=e",
        "Bearer\tdef",
        "Negotiate",
        "",
    ] {
        let apart = [("authorization", "Bearer abc"), ("authorization", second)];
        if !second.is_empty() {
            assert_eq!(bearer(&apart), Err(Reason::TokenAmbiguous), "{second}");
        }
        let before = format!("{second}, Bearer abc");
        let after = format!("Bearer abc,{second}");
        for joined in [&before, &after] {
            let outcome = bearer(&[("authorization", joined)]);
            assert_eq!(outcome, Err(Reason::TokenAmbiguous), "{joined}");
        }
    }
    // Also without a token, when somebody says twice who they are.
    for twice in [
        "Basic abc, Basic abc",
        "Digest a=b, c=d, Basic abc",
        "Negotiate,Basic abc",
    ] {
        let outcome = bearer(&[("authorization", twice)]);
        assert_eq!(outcome, Err(Reason::TokenAmbiguous), "{twice}");
    }
    for once in [
        "Digest a=b, c = d",
        "Digest username=\"a, b\", uri=\"/x?a,b\", c=d",
        "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=c;d, Signature=e",
        ", , ,",
    ] {
        let outcome = bearer(&[("authorization", once)]);
        assert_eq!(outcome, Err(Reason::TokenMissing), "{once}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn another_header_with_a_token_is_there_once_too_in_whatever_spelling() {
    let found = |lines: &[(&str, &str)]| token(&[custom()], lines);
    for spelling in ["x-jwt", "x_jwt", "x.jwt", "x!jwt", "X~JWT"] {
        let alone = [(spelling, "jwt=abc")];
        assert_eq!(found(&alone).as_deref(), Ok("abc"), "{spelling}");
        for second in ["jwt=abc", "jwt=def", "other"] {
            let both = [("x-jwt", "jwt=abc"), (spelling, second)];
            assert_eq!(
                found(&both),
                Err(Reason::TokenAmbiguous),
                "{spelling}: {second}"
            );
        }
        let cleared = [("x-jwt", "jwt=abc"), (spelling, "")];
        assert_eq!(found(&cleared).as_deref(), Ok("abc"), "{spelling}");
    }
    assert_eq!(found(&[("xjwt", "jwt=abc")]), Err(Reason::TokenMissing));
}

#[wasm_bindgen_test(unsupported = test)]
fn tokens_in_two_places_have_to_be_the_same() {
    let locations = [authorization(), custom()];
    let lines = [("authorization", "Bearer abc"), ("x-jwt", "jwt=abc")];
    assert_eq!(token(&locations, &lines).as_deref(), Ok("abc"));
    let request = request(&lines);
    let found = find(&locations, &request).unwrap();
    assert_eq!(found.locations, [&locations[0], &locations[1]]);
    let lines = [("authorization", "Bearer abc"), ("x-jwt", "jwt=def")];
    assert_eq!(token(&locations, &lines), Err(Reason::TokenAmbiguous));
    let lines = [("authorization", "Basic abc"), ("x-jwt", "jwt=def")];
    assert_eq!(token(&locations, &lines).as_deref(), Ok("def"));
}

#[wasm_bindgen_test(unsupported = test)]
fn other_prefixes_are_compared_as_they_are_and_nothing_goes_on_without_them() {
    assert_eq!(
        token(&[custom()], &[("x-jwt", "jwt=abc")]).as_deref(),
        Ok("abc")
    );
    for value in [
        "JWT=abc",
        "abc",
        "xjwt=abc",
        " jwt=abc",
        "\u{a0}jwt=abc",
        "jwt",
    ] {
        let places = [custom(), authorization()];
        let alone = [("x-jwt", value)];
        assert_eq!(
            token(&places, &alone),
            Err(Reason::TokenMalformed),
            "{value}"
        );
        let beside = [("x-jwt", value), ("authorization", "Bearer abc")];
        assert_eq!(
            token(&places, &beside),
            Err(Reason::TokenMalformed),
            "{value}"
        );
    }
    for value in ["", "jwt="] {
        let outcome = token(&[custom()], &[("x-jwt", value)]);
        assert_eq!(outcome, Err(Reason::TokenMissing), "{value}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_header_has_one_of_its_prefixes() {
    let other = Location::Header(HeaderLocation {
        name: "x_jwt".into(),
        prefix: "other=".into(),
    });
    for places in [[custom(), other.clone()], [other, custom()]] {
        let of = |value: &str| token(&places, &[("x-jwt", value)]);
        assert_eq!(of("jwt=abc").as_deref(), Ok("abc"));
        assert_eq!(of("other=abc").as_deref(), Ok("abc"));
        assert_eq!(of("third=abc"), Err(Reason::TokenMalformed));
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
        "/x#?access_token=abc",
    ] {
        assert_eq!(of(path), Err(Reason::TokenMissing), "{path}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn cookies_are_found_in_every_line_by_their_exact_name() {
    let locations = [cookie("session")];
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
    for lines in [
        &["sessions=abc"][..],
        &["xsession=abc"],
        &["session"],
        &[],
        &["session=;a=b"],
    ] {
        assert_eq!(of(lines), Err(Reason::TokenMissing), "{lines:?}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn several_cookies_of_one_name_are_all_kept_to_choose_from_where_that_is_wanted() {
    let cookie = |name: &str| {
        Location::Cookie(CookieLocation {
            name: name.into(),
            duplicates: Duplicates::FirstGenuine,
        })
    };
    let places = [cookie("tok"), authorization(), cookie("other")];
    let of = |lines: &[(&str, &str)]| {
        let request = request(lines);
        let found = find(&places, &request)?;
        let rivals = found.rivals();
        let rivals: Vec<_> = rivals.map(|rival| str::from_utf8(rival).unwrap()).collect();
        Ok((rivals.join(" "), found.is_settled(), found.locations.len()))
    };
    let several = |rivals: &str, is_settled, places| Ok((rivals.to_owned(), is_settled, places));
    let header = ("authorization", "Bearer b");
    for (lines, expected) in [
        (
            &[("cookie", "tok=a; tok=a; tok=")][..],
            several("", false, 1),
        ),
        (
            &[("cookie", "tok=a; tok=b; tok=a")],
            several("a b", false, 1),
        ),
        (
            &[("cookie", "tok=a"), ("cookie", "TOK=b")],
            several("a b", false, 1),
        ),
        (
            &[("cookie", "tok=a; tok=b"), header],
            several("a b", true, 2),
        ),
        (
            &[("cookie", "tok=a; tok=b; other=b; other=a")],
            several("a b", false, 2),
        ),
        (
            &[("cookie", "tok=a; tok=b; other=b")],
            several("a b", true, 2),
        ),
        (
            &[("cookie", "tok=a; tok=b; tok=c; tok=d")],
            several("a b c d", false, 1),
        ),
        (
            &[("cookie", "tok=a; tok=b; tok=c; tok=d; tok=e")],
            Err(Reason::TokenAmbiguous),
        ),
        (
            &[("cookie", "tok=a; tok=c"), header],
            Err(Reason::TokenAmbiguous),
        ),
        (
            &[("cookie", "tok=a; tok=b; other=b; other=c")],
            Err(Reason::TokenAmbiguous),
        ),
        (
            &[("cookie", "tok=a; tok=b; x, tok=c")],
            Err(Reason::TokenAmbiguous),
        ),
        (&[("cookie", "tok=; a=b")], Err(Reason::TokenMissing)),
    ] {
        assert_eq!(of(lines), expected, "{lines:?}");
    }
}

/// A name under which some upstream finds the parameter, see [`reads_as`].
const SPELLINGS: [&str; 15] = [
    "tok",
    "%20tok",
    "+tok",
    "tok[]",
    "tok%00",
    "TOK",
    "t%6fk",
    "t%256fk",
    "tok%5B0%5D",
    "?tok",
    "[tok]",
    "%5Btok%5D",
    "tok]",
    "\u{a0}tok",
    "tok%E2%80%83",
];

#[wasm_bindgen_test(unsupported = test)]
fn a_parameter_is_found_wherever_a_lenient_upstream_would_find_it() {
    let locations = [Location::Parameter("tok".into())];
    let of = |path: &str| token(&locations, &[(":path", path)]);
    for name in SPELLINGS {
        assert_eq!(
            of(&format!("/x?a=1&{name}=abc")).as_deref(),
            Ok("abc"),
            "{name}"
        );
        assert_eq!(
            of(&format!("/x?a=1;{name}=abc")).as_deref(),
            Ok("abc"),
            "{name}"
        );
        let beside = format!("/x?{name}=def&tok=abc");
        assert_eq!(of(&beside), Err(Reason::TokenAmbiguous), "{name}");
    }
    // Whoever knows no `;` reads another value here.
    assert_eq!(of("/x?tok=abc;a=1"), Err(Reason::TokenAmbiguous));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_cookie_is_found_wherever_a_lenient_upstream_would_find_it() {
    let locations = [cookie("tok")];
    let of = |line: &str| token(&locations, &[("cookie", line)]);
    for name in SPELLINGS
        .into_iter()
        .chain(["tok ", "tok\t", "=tok", "==tok "])
    {
        for line in [format!("{name}=abc"), format!("a=b; {name}= abc ;c=d")] {
            assert_eq!(of(&line).as_deref(), Ok("abc"), "{line}");
        }
        let beside = format!("tok=abc; {name}=def");
        assert_eq!(of(&beside), Err(Reason::TokenAmbiguous), "{name}");
    }
    for hidden in [
        "a=b tok=abc",
        "a=b, tok=abc",
        "a=b,tok =abc",
        "a=b\u{a0}tok=abc",
        "a=b\u{2003}tok =abc",
        "a=b\x0btok=abc",
        "a tok=abc; tok=abc",
    ] {
        assert_eq!(of(hidden), Err(Reason::TokenAmbiguous), "{hidden}");
    }
    for other in [
        "a=b; c=tok",
        "a=b tok",
        "a=b, toks=abc",
        "a=\"b c\"; d=e f",
        "a=\u{e9} tok",
        "=",
    ] {
        assert_eq!(of(other), Err(Reason::TokenMissing), "{other}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_access_token_in_the_query_is_refused_where_nobody_would_look_at_it() {
    let named = [Location::Parameter("access_token".into())];
    let elsewhere = [authorization(), Location::Parameter("tok".into())];
    for name in [
        "access_token",
        "access%5ftoken",
        "access.token",
        "Access-Token",
        "access_token[]",
        "a=b;access_token",
    ] {
        let path = format!("/x?c=d&{name}=abc");
        let of = |locations: &[Location]| {
            token(
                locations,
                &[(":path", &path), ("authorization", "Bearer abc")],
            )
        };
        assert_eq!(of(&elsewhere), Err(Reason::TokenInQuery), "{name}");
        assert_eq!(of(&named).as_deref(), Ok("abc"), "{name}");
    }
    for path in [
        "/x?access_token=",
        "/x?access_token",
        "/x?my_access_token=abc",
        "/access_token=a",
    ] {
        let lines = [(":path", path), ("authorization", "Bearer abc")];
        assert_eq!(token(&elsewhere, &lines).as_deref(), Ok("abc"), "{path}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn every_spelling_of_the_place_is_stripped() {
    let places = [custom(), Location::Parameter("tok".into()), cookie("tok")];
    for spelling in SPELLINGS {
        let host = MockHost::get(&format!("/x?a=1;{spelling}=abc&b&tok="), UnixTime::MAX)
            .with_header("x_jwt", "jwt=abc")
            .with_header("x-jwt", "")
            .with_header("cookie", format!("a=b;{spelling} =abc; =tok=abc"));
        let request = Request::new(host.request_headers());
        let found = find(&places, &request).unwrap();
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

#[cfg(not(target_family = "wasm"))]
#[test]
fn parameters_that_are_none_of_the_places_cost_no_memory() {
    use crate::gate::allocator;

    let place = Location::Parameter("tok".into());
    for parameter in ["a&", "%61&", "%2561&", "a;%c2%a0b&", "t%25&"] {
        let request = request(&[(":path", &format!("/x?{}", parameter.repeat(9_000)))]);
        let before = allocator::blocks();
        assert_eq!(find([&place], &request), Err(Reason::TokenMissing));
        assert_eq!(allocator::blocks(), before, "{parameter}");
        let target = request.target().unwrap();
        let kept = path::without_parameters(target, |name| reads_as("tok", name));
        assert_eq!(kept, target);
        assert_eq!(allocator::blocks(), before + 1, "{parameter}");
    }
}

/// Names are compared with `;` as `_`, so that a parameter that has one can be the token's whole.
#[wasm_bindgen_test(unsupported = test)]
fn a_parameter_that_was_read_whole_is_stripped_whole() {
    let place = Location::Parameter("my_tok".into());
    let host = MockHost::get("/x?a;b&my;tok=abc", UnixTime::MAX);
    let request = Request::new(host.request_headers());
    let found = find([&place], &request).unwrap();
    assert_eq!(found.token.as_ref(), b"abc");
    strip_all(&host, &request, &found.locations);
    assert_eq!(host.forwarded(":path").as_deref(), Some("/x?a;b"));
}

#[wasm_bindgen_test(unsupported = test)]
fn stripping_leaves_everything_but_the_token() {
    let places = [
        authorization(),
        Location::Parameter("token".into()),
        cookie("session"),
    ];
    let host = MockHost::get("/x?a=1&token=abc&b=%41", UnixTime::MAX)
        .with_header("authorization", "Bearer abc")
        .with_header("cookie", "a=b; session=abc")
        .with_header("cookie", "session=abc;c=d");
    let request = Request::new(host.request_headers());
    let found = find(&places, &request).unwrap();
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
