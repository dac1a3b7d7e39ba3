//! From Envoy's own `jwt_authn` filter.
//!
//! Portcullis takes its configuration as it is, but for what a module cannot do, and decides
//! otherwise where that is safer. Here such defaults are written out, so that the verdicts stay the
//! same: that requests without a matching rule go through, for instance.

mod routes;
mod tables;

use serde_json::{Map, Value, json};

use super::item::Item;
use super::shape::{Member, fields};
use crate::token::{KeyRules, KeySet};
pub(super) use routes::routes;
use tables::{FILTER, MATCHER, PROVIDER, REQUIREMENT, TEXT};

/// Reads a file that the configuration names, if there is one.
pub(super) type Files<'f> = &'f dyn Fn(&str) -> Option<String>;

/// A plugin configuration for this `JwtAuthentication`.
pub(super) fn filter(item: &Item<'_>, files: Files<'_>) -> Map<String, Value> {
    let mut kept = fields(item, &FILTER);
    if let Some(providers) = item.member("providers") {
        let providers = providers.members().into_iter();
        let providers =
            providers.map(|(name, one)| (name.to_owned(), provider(name, &one, files).into()));
        kept.insert("providers".to_owned(), Value::Object(providers.collect()));
    }
    let rules: Vec<_> = item.list("rules").iter().filter_map(rule).collect();
    for part in ["rules", "requirement_map", "filter_state_rules"] {
        if let Some(part) = item.member(part) {
            part.lost_is_open();
        }
    }
    allow_unmatched(item, &rules, &mut kept);
    if !rules.is_empty() {
        kept.insert("rules".to_owned(), rules.into());
    }
    without_validation(item, &mut kept);
    kept
}

/// Where no rule matches, `jwt_authn` lets requests through.
fn allow_unmatched(item: &Item<'_>, rules: &[Value], kept: &mut Map<String, Value>) {
    let is_open = |rule: &Value| rule.get("match") == Some(&json!({"prefix": "/"}));
    if rules.iter().any(is_open) {
        item.note(
            "requests without a path (`CONNECT`, `OPTIONS *`), which the prefix `/` does not match, \
             went through unchecked and are refused now; hint: `allow_unmatched: true` lets them \
             through again",
        );
        return;
    }
    item.note(
        "requests that no rule matches go through unchecked, as before; hint: leave \
         `allow_unmatched` out to have them refused",
    );
    kept.insert("allow_unmatched".to_owned(), true.into());
}

fn rule(item: &Item<'_>) -> Option<Value> {
    static RULE: [Member; 3] = [
        Member::elsewhere("match"),
        Member::kept("requires", &REQUIREMENT),
        Member::kept("requirement_name", &TEXT),
    ];
    let mut kept = fields(item, &RULE);
    let Some(found) = item.member("match") else {
        item.differs("has no `match`, so it is left out");
        return None;
    };
    let mut matcher = fields(&found, &MATCHER);
    if let Some(policy) = found.member("path_match_policy") {
        let template = template_of(&policy);
        let pattern = template.as_deref().and_then(super::template::pattern);
        let Some(pattern) = pattern else {
            policy.differs(
                "only URI templates can be translated; the rule is left out, so that the next one \
                 decides; hint: write it as `safe_regex`",
            );
            return None;
        };
        matcher.insert("safe_regex".to_owned(), json!({"regex": pattern}));
    }
    kept.insert("match".to_owned(), matcher.into());
    Some(kept.into())
}

fn template_of(policy: &Item<'_>) -> Option<String> {
    policy.member("typed_config")?.text_of("path_template")
}

/// Unverified claims have no equivalent; what is written instead lets every request through as
/// well, and passes on verified claims.
fn without_validation(item: &Item<'_>, kept: &mut Map<String, Value>) {
    const UNVERIFIED: &str = "extract_only_without_validation";
    fn replaced(value: &mut Value) -> bool {
        match value {
            Value::Object(members) => {
                let is_there = members.remove(UNVERIFIED).is_some();
                if is_there {
                    members.insert("allow_missing_or_failed".to_owned(), json!({}));
                }
                let inner = members.values_mut().map(replaced);
                inner.fold(is_there, |found, one| found | one)
            }
            Value::Array(elements) => {
                let inner = elements.iter_mut().map(replaced);
                inner.fold(false, |found, one| found | one)
            }
            _ => false,
        }
    }
    let found = kept.values_mut().map(replaced);
    if found.fold(false, |found, one| found | one) {
        item.differs(
            "`extract_only_without_validation` passes on what nothing has verified; \
             `allow_missing_or_failed` takes its place, which lets every request through too, and \
             passes on only what is good",
        );
    }
}

fn provider(name: &str, item: &Item<'_>, files: Files<'_>) -> Map<String, Value> {
    let mut kept = fields(item, &PROVIDER);
    for part in [
        "issuer",
        "audiences",
        "subjects",
        "require_expiration",
        "max_lifetime",
    ] {
        if let Some(part) = item.member(part) {
            part.lost_is_open();
        }
    }
    if kept.get("issuer") == Some(&"".into()) {
        kept.remove("issuer");
    }
    if let Some(local) = item.member("local_jwks") {
        kept.insert("local_jwks".to_owned(), local_keys(name, &local, files));
    }
    if let Some(claims) = item.member("normalize_payload_in_metadata")
        && !item
            .value
            .get("payload_in_metadata")
            .is_some_and(Value::is_string)
    {
        claims.note("has no effect without `payload_in_metadata`, so it is left out");
    }
    if let Some(skew) = item.member("clock_skew_seconds")
        && kept.get("clock_skew_seconds") == Some(&0.into())
    {
        skew.note("means 60 to `jwt_authn`, which is the default here too, where 0 would be 0");
        kept.remove("clock_skew_seconds");
    }
    as_before(item, &mut kept);
    kept
}

/// The defaults of `jwt_authn` for a provider, for every source that configures it.
pub(super) fn as_before(item: &Item<'_>, provider: &mut Map<String, Value>) {
    let requires = provider.get("require_expiration") == Some(&true.into());
    if !requires && !provider.contains_key("max_lifetime") {
        item.note(
            "tokens without `exp` are let in, as before, and never expire; hint: leave \
             `require_expiration: false` out if your issuer always writes it",
        );
        provider.insert("require_expiration".to_owned(), false.into());
    }
    let mut locations = ["from_headers", "from_params", "from_cookies"].into_iter();
    let is_empty = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    if locations.all(|key| provider.get(key).is_none_or(is_empty)) {
        item.note(
            "tokens are taken from `Authorization` and from the query parameter `access_token`, as \
             before; addresses stand in logs and histories; hint: leave `from_headers` and \
             `from_params` out, which is `Authorization` alone",
        );
        let bearer = json!([{"name": "Authorization", "value_prefix": "Bearer "}]);
        provider.insert("from_headers".to_owned(), bearer);
        provider.insert("from_params".to_owned(), json!(["access_token"]));
        provider.remove("from_cookies");
    }
    let forwards = provider.get("forward") == Some(&true.into());
    if !forwards
        && let Some(cookies) = provider.get("from_cookies")
        && !is_empty(cookies)
    {
        let cookies = item.member("from_cookies").unwrap_or_else(|| item.clone());
        cookies.differs(
            "a cookie with a token went on to the upstream and is taken out now; hint: \
             `forward: true` lets it go on, and the tokens of the other locations too",
        );
    }
    if let Some(text) = provider.get("local_jwks").and_then(inline_keys)
        && has_secrets(&text)
    {
        item.note("the keys are shared secrets (HMAC), for which `allow_symmetric_keys` is set");
        provider.insert("allow_symmetric_keys".to_owned(), true.into());
    }
}

fn inline_keys(local: &Value) -> Option<String> {
    use base64::Engine as _;
    let bytes = || {
        let text = local.get("inline_bytes")?.as_str()?;
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(text)
            .ok()?;
        String::from_utf8(bytes).ok()
    };
    let inline = local.get("inline_string").and_then(Value::as_str);
    inline.map(str::to_owned).or_else(bytes)
}

fn has_secrets(set: &str) -> bool {
    let set: Option<Value> = serde_json::from_str(set).ok();
    let keys = set.as_ref().and_then(|set| set.get("keys")?.as_array());
    let mut keys = keys.into_iter().flatten();
    keys.any(|key| key.get("kty").is_some_and(|kind| kind == "oct"))
}

/// A module cannot read files, so the keys in a file are copied where the file can be read here.
fn local_keys(provider: &str, item: &Item<'_>, files: Files<'_>) -> Value {
    static LOCAL_KEYS: [Member; 5] = [
        Member::kept("inline_string", &TEXT),
        Member::kept("inline_bytes", &TEXT),
        Member::kept("environment_variable", &TEXT),
        Member::elsewhere("filename"),
        Member::needless("watched_directory", "is left out with the file"),
    ];
    let mut kept = fields(item, &LOCAL_KEYS);
    if let Some(file) = item.member("filename")
        && let Some(name) = file.text()
    {
        let rules = KeyRules {
            allow_symmetric: true,
            ..KeyRules::default()
        };
        let text = files(&name).filter(|text| KeySet::parse(text.as_bytes(), &rules).is_ok());
        if let Some(text) = text {
            file.note(
                "a WebAssembly module cannot read files, so the keys are copied from the file of \
                 this name here; when they change, so must the configuration; hint: `remote_jwks` \
                 follows them by itself",
            );
            kept.insert("inline_string".to_owned(), text.trim().into());
        } else {
            let variable = variable(provider);
            file.differs(format!(
                "a WebAssembly module cannot read files, and there are no keys in one of this name \
                 here; put them into the variable `{variable}`, and name that in \
                 `vm_config.environment_variables`; hint: `remote_jwks` needs neither"
            ));
            kept.insert("environment_variable".to_owned(), variable.into());
        }
    }
    kept.into()
}

/// `my-idp` → `JWKS_MY_IDP`.
pub(super) fn variable(provider: &str) -> String {
    let letters = provider
        .chars()
        .map(|letter| match letter.to_ascii_uppercase() {
            upper if upper.is_ascii_alphanumeric() => upper,
            _ => '_',
        });
    letters.fold("JWKS_".to_owned(), |mut name, letter| {
        name.push(letter);
        name
    })
}
