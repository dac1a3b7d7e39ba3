//! Tokens in headers.

use super::*;

/// Each of these is refused as the whole of an `Authorization` header.
#[track_caller]
fn refused(values: &[&str], reason: Reason) {
    for &value in values {
        let outcome = bearer(&[("authorization", value)]);
        assert_eq!(outcome, Err(reason), "{value}");
    }
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
    refused(
        &[
            "XBearer abc",
            "Bearer",
            "Bearer ",
            "Béarer abc",
            "Digest a=b, c=d",
        ],
        Reason::TokenMissing,
    );
    refused(
        &[
            "Bearer\tabc",
            "bearer\t abc",
            "Bearerabc",
            "Bearer\u{a0}abc",
            "Bearer\u{2003} abc",
            "\u{a0}Bearer abc",
            "\u{2003} bearer abc",
            "\u{85}Bearer\tabc",
            "\u{feff}\x0bBearerabc",
        ],
        Reason::TokenMalformed,
    );
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
            let locations = [Location::Header(header)];
            for value in values {
                let found = token(&locations, &[(name, value)]);
                assert_eq!(found.as_deref(), Ok("abc"), "{name}: {prefix:?}: {value}");
            }
            let nothing = token(&locations, &[(name, prefix.trim_end())]);
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
        refused(&[&before, &after], Reason::TokenAmbiguous);
    }
    // Even without a token, when the header comes twice.
    refused(
        &[
            "Basic abc, Basic abc",
            "Digest a=b, c=d, Basic abc",
            "Negotiate,Basic abc",
        ],
        Reason::TokenAmbiguous,
    );
    refused(
        &[
            "Digest a=b, c = d",
            "Digest username=\"a, b\", uri=\"/x?a,b\", c=d",
            "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=c;d, Signature=e",
            ", , ,",
        ],
        Reason::TokenMissing,
    );
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
        let locations = [custom(), authorization()];
        let alone = [("x-jwt", value)];
        assert_eq!(
            token(&locations, &alone),
            Err(Reason::TokenMalformed),
            "{value}"
        );
        let beside = [("x-jwt", value), ("authorization", "Bearer abc")];
        assert_eq!(
            token(&locations, &beside),
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
    for locations in [[custom(), other.clone()], [other, custom()]] {
        let of = |value: &str| token(&locations, &[("x-jwt", value)]);
        assert_eq!(of("jwt=abc").as_deref(), Ok("abc"));
        assert_eq!(of("other=abc").as_deref(), Ok("abc"));
        assert_eq!(of("third=abc"), Err(Reason::TokenMalformed));
    }
}
