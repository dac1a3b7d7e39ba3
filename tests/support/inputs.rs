//! Small inputs as they are found in use, with the expected results: the keys of
//! `tests/vectors/published/sets.json`, and the configurations and tokens of `inputs.json` there.

use serde_json::{Map, Value, json};

use super::keys::jwks;
use super::token::{AUDIENCE, ISSUER, Token};

/// The keys under which `inputs.json` tries tokens unless it names others.
const KEYS: [&str; 3] = ["rs256", "es256", "eddsa"];

/// A configuration with its keys, and the expected results of both.
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) configuration: Value,
    /// The keys as their issuer publishes them.
    pub(crate) keys: String,
    /// The beginnings of what is wrong with the configuration; with none it is valid.
    pub(crate) faults: Vec<String>,
    /// What is warned of in it, keys that are left out among that.
    pub(crate) warnings: Vec<String>,
    /// Why the keys alone cannot be used.
    pub(crate) fault_of_keys: Option<String>,
    /// The keys of the set that are left out.
    pub(crate) left_out: Vec<String>,
    pub(crate) trials: Vec<Trial>,
}

/// A request with a token.
pub(crate) struct Trial {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    /// If `None`, the request passes.
    pub(crate) refusal: Option<Refusal>,
}

/// What the client is told, and what the operator is told.
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) reason: String,
}

/// All of them.
pub(crate) fn inputs() -> Vec<Input> {
    let list = |text: &str| -> Vec<Value> { serde_json::from_str(text).expect("a list") };
    let sets = list(include_str!("../vectors/published/sets.json"));
    let inputs = list(include_str!("../vectors/published/inputs.json"));
    let sets = sets.iter().map(of_set);
    sets.chain(inputs.iter().map(of_input)).collect()
}

impl Input {
    /// Whether the provider fetches its keys, from `/jwks` of the cluster `issuer`.
    pub(crate) fn is_fetched(&self) -> bool {
        self.configuration["providers"]["idp"]
            .get("remote_jwks")
            .is_some()
    }

    /// The same with other keys that stand in the configuration.
    pub(crate) fn with_local_keys(&self, keys: &str) -> Value {
        self.with_keys("local_jwks", json!({"inline_string": keys}))
    }

    /// The same with keys that are fetched.
    pub(crate) fn with_fetched_keys(&self) -> Value {
        let uri = json!({"uri": "http://issuer.example/jwks", "cluster": "issuer"});
        self.with_keys("remote_jwks", json!({"http_uri": uri}))
    }

    fn with_keys(&self, name: &str, keys: Value) -> Value {
        let mut configuration = self.configuration.clone();
        let provider = configuration["providers"]["idp"].as_object_mut();
        let provider = provider.expect("a provider");
        provider.retain(|key, _| !["local_jwks", "localJwks", "remote_jwks"].contains(&&**key));
        provider.insert(name.to_owned(), keys);
        configuration
    }
}

/// Keys, tokens that are genuine under them, and which of the keys are left out.
fn of_set(set: &Value) -> Input {
    let keys = text(&set["text"]);
    let left_out: Vec<_> = elements(&set["left_out"]).iter().map(left_out).collect();
    let trials: Vec<_> = elements(&set["genuine"])
        .iter()
        .map(|token| Trial {
            path: "/".to_owned(),
            headers: vec![(
                "authorization".to_owned(),
                format!("Bearer {}", text(token)),
            )],
            refusal: None,
        })
        .collect();
    let is_usable = !trials.is_empty();
    let unusable = (!is_usable).then(|| left_out[0].clone());
    let no_key = "providers.idp.local_jwks.inline_string: expected a set of keys: no usable key: ";
    Input {
        name: text(&set["name"]),
        configuration: configuration(&set["settings"], &keys, &Value::Null, &Value::Null),
        keys,
        faults: unusable
            .iter()
            .map(|key| format!("{no_key}{key}"))
            .collect(),
        warnings: if is_usable {
            left_out.clone()
        } else {
            Vec::new()
        },
        fault_of_keys: unusable,
        left_out: if is_usable { left_out } else { Vec::new() },
        trials,
    }
}

/// The line about a key that is left out, up to the beginning of the reason.
fn left_out(key: &Value) -> String {
    let id = key["kid"].as_str().map(|id| format!(" (`kid` {id})"));
    let reason = text(&key["reason"]);
    format!(
        "keys[{}]{} is left out: {reason}",
        key["position"],
        id.unwrap_or_default()
    )
}

fn of_input(input: &Value) -> Input {
    let names = match input.get("keys") {
        Some(names) => texts(names),
        None => KEYS.map(str::to_owned).into(),
    };
    let keys = match input.get("text") {
        Some(keys) => text(keys),
        None => named_keys(&names, input["key_id"].as_str()),
    };
    Input {
        name: text(&input["name"]),
        configuration: configuration(
            &input["provider"],
            &keys,
            &input["rules"],
            &input["configuration"],
        ),
        keys,
        faults: texts(&input["faults"]),
        warnings: texts(&input["warnings"]),
        fault_of_keys: input["jwks"].as_str().map(str::to_owned),
        left_out: Vec::new(),
        trials: elements(&input["tokens"]).iter().map(trial).collect(),
    }
}

/// The public set of these keys, all of them with one id if there is one.
fn named_keys(names: &[String], key_id: Option<&str>) -> String {
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut set: Value = serde_json::from_str(&jwks(&names)).expect("a set");
    for key in set["keys"].as_array_mut().expect("a list") {
        if let Some(id) = key_id {
            key["kid"] = id.into();
        }
    }
    set.to_string()
}

/// The usual configuration with these settings of its provider in place of the usual ones.
fn configuration(settings: &Value, keys: &str, rules: &Value, members: &Value) -> Value {
    let mut provider = json!({"issuer": ISSUER, "audiences": [AUDIENCE]});
    for (name, value) in pairs(settings) {
        provider[name] = value;
    }
    let has_keys = |key| provider.get(key).is_some();
    if has_keys("localJwks") {
        provider["localJwks"]["inlineString"] = keys.into();
    } else if !has_keys("remote_jwks") {
        provider["local_jwks"] = json!({"inline_string": keys});
    }
    let everything = json!([{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}]);
    let rules = if rules.is_null() { &everything } else { rules };
    let mut configuration = json!({"providers": {"idp": provider}, "rules": rules});
    for (name, value) in pairs(members) {
        configuration[name] = value;
    }
    configuration
}

fn trial(described: &Value) -> Trial {
    let token = described.get("text").map_or_else(|| token(described), text);
    let filled = |text: &str| text.replace("$token", &token);
    let bearer = json!({"authorization": "Bearer $token"});
    let headers = described.get("headers").unwrap_or(&bearer);
    let status = described["status"].as_u64();
    Trial {
        path: filled(described["path"].as_str().unwrap_or("/")),
        headers: pairs(headers)
            .into_iter()
            .map(|(name, value)| (name, filled(&text(&value))))
            .collect(),
        refusal: described["code"].as_str().map(|code| Refusal {
            status: status.expect("a status").try_into().expect("a status"),
            code: code.to_owned(),
            reason: described["reason"].as_str().unwrap_or(code).to_owned(),
        }),
    }
}

/// A genuine token except for what is described.
fn token(described: &Value) -> String {
    let key = described["key"].as_str().unwrap_or("es256");
    let known = KEYS.into_iter().chain(["es256-other", "hs256"]);
    let key = known
        .into_iter()
        .find(|known| *known == key)
        .expect("a key");
    let mut token = Token::signed_by(key);
    let seconds = |name: &str| described[name].as_i64();
    if let Some(seconds) = seconds("expires_in") {
        token = token.expiring_in(seconds);
    }
    if let Some(seconds) = seconds("valid_in") {
        token = token.valid_in(seconds);
    }
    for (name, value) in pairs(&described["claims"]) {
        token = token.claim(&name, value);
    }
    for (name, value) in pairs(&described["header"]) {
        token = token.header(&name, value);
    }
    for name in texts(&described["without"]) {
        token = token.without_claim(&name);
    }
    for name in texts(&described["without_header"]) {
        token = token.without_header(&name);
    }
    token.to_string()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    elements(value).iter().map(text).collect()
}

fn elements(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn pairs(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}
