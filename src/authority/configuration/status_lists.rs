//! `status_lists` of an issuer: where the lists are that its tokens may refer to.

use std::path::Path;
use std::time::Duration;

use super::duration::duration;
use super::file::{ConfiguredFile, Document, file};
use crate::authority::http::is_loopback;
use crate::configuration::{Fields, Node, Read, all};
use crate::keys::Url;

/// Between two looks at a list.
const DEFAULT_REFRESH: Duration = Duration::from_mins(1);

/// More often would be a burden to the issuer, and seldom enough is what `ttl` is for.
const REFRESH_RANGE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(24));

/// Of a list that cannot be fetched any more.
const DEFAULT_MAX_STALENESS: Duration = Duration::from_mins(15);

/// An issuer has few servers of lists.
const MOST_PREFIXES: usize = 32;

/// Where the status lists of an issuer are, and how they are looked after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusListSource {
    /// What the address of a list has to begin with, each with the whole of a host and a path.
    pub uris: Vec<String>,
    /// How long a list counts at most before it is fetched again.
    pub refresh: Duration,
    /// How long a list counts that cannot be fetched again.
    pub max_staleness: Duration,
    /// The file with the certificate authorities to trust, in place of the public ones.
    pub certificate_authority: Option<ConfiguredFile>,
}

impl StatusListSource {
    /// Whether a list may be at this address. A token is genuine by then, but what its issuer can be made
    /// to write into it must not lead this machine anywhere else.
    #[must_use]
    pub fn covers(&self, uri: &str) -> bool {
        let begins = |prefix: &String| uri.starts_with(prefix.as_str());
        self.uris.iter().any(begins) && Url::parse(uri).is_some_and(|url| stays_below(&url.path))
    }
}

/// Whether no part of a path leads upwards, however a server reads it.
fn stays_below(path: &str) -> bool {
    let path = path.to_ascii_lowercase().replace("%2e", ".");
    let is_split = |letter: char| matches!(letter, '/' | '\\' | '?');
    let is_plain = |part: &str| {
        // Some servers take what follows for a parameter.
        let name = part.split(';').next().unwrap_or_default();
        name != ".." && name != "."
    };
    let escaped = ["%2f", "%5c", "%25", "%3b"];
    !escaped.iter().any(|escape| path.contains(escape)) && path.split(is_split).all(is_plain)
}

/// The key; without it no list of the issuer is read.
pub(super) fn status_lists(
    fields: &mut Fields<'_>,
    directory: &Path,
) -> Read<Option<StatusListSource>> {
    let node = fields.optional("status_lists");
    node.map(|node| source(node, directory)).transpose()
}

fn source(node: Node<'_>, directory: &Path) -> Read<StatusListSource> {
    node.object(|fields| {
        let uris = fields.required("uris").and_then(prefixes);
        let refresh = fields.optional("refresh").map(refresh);
        let max_staleness = fields
            .optional("max_staleness")
            .map(|node| Ok((node, duration(node)?)));
        let authority = fields.optional("certificate_authority");
        let authority = authority.map(|node| file(node, directory, Document::Authority));
        let refresh = refresh.transpose()?.unwrap_or(DEFAULT_REFRESH);
        let max_staleness = match max_staleness.transpose()? {
            Some((node, given)) if given < refresh => {
                return Err(
                    node.fault("expected no less than `refresh`, after which it is fetched")
                );
            }
            Some((_, given)) => given,
            // So that one fetch that fails does no harm.
            None => DEFAULT_MAX_STALENESS.max(2 * refresh),
        };
        Ok(StatusListSource {
            uris: uris?,
            refresh,
            max_staleness,
            certificate_authority: authority.transpose()?,
        })
    })
}

fn refresh(node: Node<'_>) -> Read<Duration> {
    let (least, most) = REFRESH_RANGE;
    let refresh = duration(node)?;
    if (least..=most).contains(&refresh) {
        Ok(refresh)
    } else {
        Err(node.fault("expected a duration from a second to a day"))
    }
}

fn prefixes(node: Node<'_>) -> Read<Vec<String>> {
    let nodes = node.some_elements("beginning of an address")?;
    if nodes.len() > MOST_PREFIXES {
        return Err(node.fault(format!("expected at most {MOST_PREFIXES}")));
    }
    all(nodes, prefix)
}

/// Without a path, `https://id.example` would begin `https://id.example.evil.example/` as well.
fn prefix(node: Node<'_>) -> Read<String> {
    let expected = "expected a URL with a path, `https://id.example/lists/` for instance, with \
                    `http` only where its host is on loopback";
    let text = node.text()?;
    let url = Url::parse(text).ok_or_else(|| node.fault(expected))?;
    let is_secure = text.starts_with("https://");
    let has_path = text.ends_with(&url.path) && stays_below(&url.path);
    if !has_path || !(is_secure || is_loopback(url.authority.as_bytes())) {
        return Err(node.fault(expected));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::authority::configuration::tests::{faults, read};

    fn document(lists: &Value) -> Value {
        let keys = json!({"jwks_file": "a"});
        json!({"issuers": [{"issuer": "i", "keys": keys, "status_lists": lists}]})
    }

    fn source_of(lists: &Value) -> StatusListSource {
        let mut configuration = read(&document(lists)).configuration.unwrap();
        configuration.issuers.remove(0).status_lists.unwrap()
    }

    #[test]
    fn what_is_left_out_has_a_default_and_no_list_counts_for_ever() {
        let source = source_of(&json!({"uris": ["https://i/lists/"]}));
        assert_eq!(source.refresh, Duration::from_mins(1));
        assert_eq!(source.max_staleness, Duration::from_mins(15));
        assert_eq!(source.certificate_authority, None);
        let source = source_of(&json!({
            "uris": ["http://127.0.0.1:8080/"], "refresh": "1h", "certificate_authority": "ca.pem",
        }));
        assert_eq!(source.max_staleness, 2 * source.refresh);
        let at = "issuers[0].status_lists.certificate_authority";
        let file = crate::authority::configuration::tests::file(at, "/etc/portcullis/ca.pem");
        assert_eq!(source.certificate_authority, Some(file));
    }

    #[test]
    fn every_fault_is_told() {
        let url = "issuers[0].status_lists.uris[0]: expected a URL with a path";
        for (lists, expected) in [
            (json!({}), "issuers[0].status_lists: `uris` is missing"),
            (
                json!({"uris": []}),
                "issuers[0].status_lists.uris: expected at least one beginning of an address",
            ),
            (json!({"uris": ["https://i"]}), url),
            (json!({"uris": ["https://i?a"]}), url),
            (json!({"uris": ["http://i/"]}), url),
            (json!({"uris": ["https://i/a/../b/"]}), url),
            (json!({"uris": ["https://u@i/"]}), url),
            (
                json!({"uris": ["https://i/"], "refresh": "0.5s"}),
                "issuers[0].status_lists.refresh: expected a duration from a second to a day",
            ),
            (
                json!({"uris": ["https://i/"], "max_staleness": "59s"}),
                "issuers[0].status_lists.max_staleness: expected no less than `refresh`",
            ),
        ] {
            let [fault] = faults(&document(&lists)).try_into().unwrap();
            assert!(fault.starts_with(expected), "{lists}: {fault}");
        }
    }

    #[test]
    fn a_list_is_below_one_of_the_beginnings_however_its_address_is_read() {
        let source = source_of(&json!({"uris": ["https://i/lists/", "https://j:8443/s"]}));
        for uri in [
            "https://i/lists/1",
            "https://i/lists/a/b?c=d",
            "https://i/lists/a..b",
            "https://j:8443/statuses",
        ] {
            assert!(source.covers(uri), "{uri}");
        }
        for uri in [
            "http://i/lists/1",
            "https://i/other",
            "https://i.evil/lists/1",
            "https://i:443/lists/1",
            "https://i@evil/lists/1",
            "https://i/lists/../admin",
            "https://i/lists/%2E%2e/admin",
            "https://i/lists/..%2fadmin",
            "https://i/lists/..;/admin",
            "https://i/lists/..%3b/admin",
            "https://i/lists/%252e%252e/admin",
            "https://i/lists/..\\admin",
            "https://i/lists/./1",
            "https://i/lists/1#2",
            "https://i/lists/1 2",
            "https://j:8443/",
            "https://j:84433/s",
            "",
        ] {
            assert!(!source.covers(uri), "{uri}");
        }
    }
}
