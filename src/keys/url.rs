//! A URL as a call needs it.

/// An HTTP URL without its scheme: the cluster decides whether TLS is spoken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    /// Host, and port if one was given.
    pub authority: String,
    /// Path with query; begins with `/`.
    pub path: String,
}

impl Url {
    /// Splits `http://` or `https://`, a host and a path.
    #[must_use]
    pub fn parse(url: &str) -> Option<Self> {
        let rest = url
            .strip_prefix("https://")
            .or_else(|| url.strip_prefix("http://"))?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let is_sound = !authority.is_empty()
            && !authority.contains(['@', '#', '\\'])
            && !path.contains('#')
            && is_plain(rest);
        is_sound.then(|| Self {
            authority: authority.to_owned(),
            path: match path {
                path if path.starts_with('/') => path.to_owned(),
                query => format!("/{query}"),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn urls_are_split_for_calls() {
        for (url, authority, path) in [
            ("https://idp.example/jwks", "idp.example", "/jwks"),
            ("http://idp.example:8080", "idp.example:8080", "/"),
            ("https://[::1]:8443/a?b=c", "[::1]:8443", "/a?b=c"),
            ("https://idp.example?x", "idp.example", "/?x"),
        ] {
            let parsed = Url::parse(url).unwrap();
            assert_eq!(
                (parsed.authority.as_str(), parsed.path.as_str()),
                (authority, path)
            );
        }
        for url in [
            "",
            "idp.example/jwks",
            "ftp://idp.example/",
            "https:///jwks",
            "https://user@idp.example/",
            "https://idp.example/#x",
            "https://idp.example/a b",
            "https://idp.example/\r\nx: y",
        ] {
            assert_eq!(Url::parse(url), None, "{url}");
        }
    }
}
