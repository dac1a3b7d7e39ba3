//! Finding the token in a request.

use super::reason::Reason;
use super::request::Request;

/// A header in which a provider's tokens come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeaderLocation {
    /// Name in lower case.
    pub(super) name: String,
    /// What stands before the token, `Bearer ` for instance.
    pub(super) prefix: String,
}

impl HeaderLocation {
    /// `Authorization: Bearer` (RFC 6750 section 2.1).
    pub(super) fn authorization() -> Self {
        Self {
            name: "authorization".to_owned(),
            prefix: "Bearer ".to_owned(),
        }
    }

    /// The token in a value of this header, if there is one.
    ///
    /// The prefix has to stand at the beginning. An authentication scheme is compared without
    /// regard to case and may be followed by several spaces (RFC 9110 section 11.1); every other
    /// prefix is compared as it is.
    fn token<'v>(&self, value: &'v [u8]) -> Option<&'v [u8]> {
        let (prefix, rest) = value.split_at_checked(self.prefix.len())?;
        let token = if self.is_authorization() {
            let is_scheme = prefix.eq_ignore_ascii_case(self.prefix.as_bytes());
            is_scheme.then(|| rest.trim_ascii_start())
        } else {
            (prefix == self.prefix.as_bytes()).then_some(rest)
        };
        token.filter(|token| !token.is_empty())
    }

    fn is_authorization(&self) -> bool {
        self.name == "authorization"
    }

    /// All values of this header in a request. Envoy joins repeated `Authorization` lines with
    /// commas, which neither a scheme nor a token contains.
    fn values<'r>(&'r self, request: &'r Request) -> impl Iterator<Item = &'r [u8]> {
        let is_joined = self.is_authorization();
        request.values(&self.name).flat_map(move |line| {
            line.split(move |byte| is_joined && *byte == b',')
                .map(<[u8]>::trim_ascii)
        })
    }
}

/// A token and where it was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'r> {
    pub(super) token: &'r [u8],
    /// Names of all headers that hold it.
    pub(super) headers: Vec<&'r str>,
}

/// Looks in all of a provider's locations.
///
/// # Errors
///
/// [`Reason::TokenMissing`]; or [`Reason::TokenAmbiguous`] for two different tokens, and for a
/// token in one of several different `Authorization` headers, of which the upstream might take
/// another one.
pub(super) fn find<'r>(
    locations: &'r [HeaderLocation],
    request: &'r Request,
) -> Result<Found<'r>, Reason> {
    let mut found: Option<Found<'r>> = None;
    for location in locations {
        let (mut tokens, mut others) = (false, false);
        for value in location.values(request) {
            let Some(token) = location.token(value) else {
                others = true;
                continue;
            };
            tokens = true;
            match &mut found {
                None => {
                    found = Some(Found {
                        token,
                        headers: vec![&location.name],
                    });
                }
                Some(earlier) if earlier.token == token => earlier.headers.push(&location.name),
                Some(_) => return Err(Reason::TokenAmbiguous),
            }
        }
        if tokens && others && location.is_authorization() {
            return Err(Reason::TokenAmbiguous);
        }
    }
    found.ok_or(Reason::TokenMissing)
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    fn request(lines: &[(&str, &str)]) -> Request {
        let line = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        Request::new(lines.iter().map(line).collect())
    }

    fn token(locations: &[HeaderLocation], lines: &[(&str, &str)]) -> Result<String, Reason> {
        let request = request(lines);
        let found = find(locations, &request)?;
        Ok(String::from_utf8(found.token.to_vec()).unwrap())
    }

    fn bearer(lines: &[(&str, &str)]) -> Result<String, Reason> {
        token(&[HeaderLocation::authorization()], lines)
    }

    fn custom() -> HeaderLocation {
        HeaderLocation {
            name: "x-jwt".into(),
            prefix: "jwt=".into(),
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
        for value in [
            "XBearer abc",
            "Bearer",
            "Bearer ",
            "Bearerabc",
            "Béarer abc",
            "Digest a=b, c=d",
        ] {
            let outcome = bearer(&[("authorization", value)]);
            assert_eq!(outcome, Err(Reason::TokenMissing), "{value}");
        }
        assert_eq!(bearer(&[]), Err(Reason::TokenMissing));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn two_different_authorization_headers_are_refused_whatever_their_schemes() {
        for second in ["Bearer def", "Basic abc", "Digest a=b"] {
            let apart = [("authorization", "Bearer abc"), ("authorization", second)];
            assert_eq!(bearer(&apart), Err(Reason::TokenAmbiguous), "{second}");
            let (before, after) = (
                format!("{second}, Bearer abc"),
                format!("Bearer abc,{second}"),
            );
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
        assert_eq!(
            bearer(&[("authorization", "Bearer abc,Bearer abc")]).as_deref(),
            Ok("abc")
        );
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn tokens_in_two_places_have_to_be_the_same() {
        let locations = [HeaderLocation::authorization(), custom()];
        let lines = [("authorization", "Bearer abc"), ("x-jwt", "jwt=abc")];
        assert_eq!(token(&locations, &lines).as_deref(), Ok("abc"));
        let request = request(&lines);
        let found = find(&locations, &request).unwrap();
        assert_eq!(found.headers, ["authorization", "x-jwt"]);
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
}
