mod headers;
mod stripping;

use wasm_bindgen_test::wasm_bindgen_test;

use super::*;

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

fn custom() -> Location {
    Location::Header(HeaderLocation {
        name: "x-jwt".into(),
        prefix: "jwt=".into(),
    })
}

#[wasm_bindgen_test(unsupported = test)]
fn tokens_in_two_locations_have_to_be_the_same() {
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
    let locations = [cookie("tok"), authorization(), cookie("other")];
    let of = |lines: &[(&str, &str)]| {
        let request = request(lines);
        let found = find(&locations, &request)?;
        let rivals = found.rivals();
        let rivals: Vec<_> = rivals.map(|rival| str::from_utf8(rival).unwrap()).collect();
        Ok((rivals.join(" "), found.is_settled(), found.locations.len()))
    };
    let several =
        |rivals: &str, is_settled, locations| Ok((rivals.to_owned(), is_settled, locations));
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

/// Names under which some upstream finds the parameter, see [`reads_as`].
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
    // A server that knows no `;` reads another value here.
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

#[cfg(not(target_family = "wasm"))]
#[test]
fn parameters_that_are_none_of_the_locations_cost_no_memory() {
    use crate::gate::allocator;

    let location = Location::Parameter("tok".into());
    for parameter in ["a&", "%61&", "%2561&", "a;%c2%a0b&", "t%25&"] {
        let request = request(&[(":path", &format!("/x?{}", parameter.repeat(9_000)))]);
        let before = allocator::blocks();
        assert_eq!(find([&location], &request), Err(Reason::TokenMissing));
        assert_eq!(allocator::blocks(), before, "{parameter}");
        let target = request.target().unwrap();
        let kept = path::without_parameters(target, |name| reads_as("tok", name));
        assert_eq!(kept, target);
        assert_eq!(allocator::blocks(), before + 1, "{parameter}");
    }
}
