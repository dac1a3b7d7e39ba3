//! A generated `JwtProvider`.

use serde_json::{Map, Value, json};

use super::Features;
use crate::support::{Random, jwks};

/// A provider with what the generator remembers of it.
#[derive(Clone, Debug)]
pub(super) struct Provider {
    pub(super) name: &'static str,
    pub(super) issuer: Option<String>,
    pub(super) audiences: Vec<&'static str>,
    /// A `sub` that the provider takes.
    pub(super) subject: &'static str,
    pub(super) keys: Vec<&'static str>,
    /// Where tokens are found, the default included.
    pub(super) locations: Vec<Location>,
    /// Whether no locations are configured.
    pub(super) has_default_locations: bool,
    /// Names of the headers that it fills.
    pub(super) headers: Vec<String>,
    pub(super) json: Value,
    /// Keys of Portcullis only.
    pub(super) own: Value,
    pub(super) features: Features,
}

/// The location of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Location {
    Header(&'static str, &'static str),
    Parameter(&'static str),
    Cookie(&'static str),
}

const NAMES: &[&str] = &["alpha", "beta", "gamma"];

const KEYS: &[&str] = &[
    "es256", "rs256", "eddsa", "es384", "es512", "rs384", "rs512", "ps256", "ps384", "ps512",
    "hs256", "hs512",
];

const HEADERS: &[(&str, &str)] = &[
    ("Authorization", "Bearer "),
    ("Authorization", "Token "),
    ("X-Token", ""),
    ("x-prefixed", "jwt="),
];

/// Claims that go into headers.
const CLAIMS: &[&str] = &[
    "sub",
    "account.plan.name",
    "groups",
    "flag",
    "number",
    "text",
    "account",
];

impl Provider {
    /// The provider with this index in a configuration.
    pub(super) fn random(random: &mut Random, index: usize) -> Self {
        let name = NAMES[index];
        let mut provider = Self {
            name,
            issuer: None,
            audiences: Vec::new(),
            subject: "alice",
            keys: Vec::new(),
            locations: Vec::new(),
            has_default_locations: false,
            headers: Vec::new(),
            json: json!({}),
            own: json!({}),
            features: Features::default(),
        };
        provider.keys(random);
        provider.identity(random);
        provider.times(random);
        provider.locations(random);
        provider.headers(random);
        provider.nulls(index);
        provider
    }

    /// Where `null` means the default for both, it may stand for what is left out.
    fn nulls(&mut self, index: usize) {
        let keys = ["forward", "require_expiration", "clear_route_cache"];
        for key in keys.into_iter().filter(|_| index == 1) {
            if self.json.get(key).is_none() {
                self.json[key] = Value::Null;
                self.features.add("null");
            }
        }
    }

    /// Sets a key of the configuration, which is a feature of that name.
    fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.json[key] = value.into();
        self.features.add(key);
    }

    fn keys(&mut self, random: &mut Random) {
        for _ in 0..=random.below(3) {
            let key = *random.pick(KEYS);
            if !self.keys.contains(&key) {
                self.keys.push(key);
            }
        }
        let mut set: Value = serde_json::from_str(&jwks(&self.keys)).expect("JSON");
        let secrets = self.keys.iter().filter(|key| key.starts_with("hs")).count();
        let has_secret = secrets > 0;
        // A set without any usable key is refused as a whole.
        if has_secret && (random.chance(70) || secrets == self.keys.len()) {
            self.own["allow_symmetric_keys"] = true.into();
        } else if has_secret {
            self.features.add("secrets not allowed");
        }
        for key in set["keys"].as_array_mut().expect("a list") {
            let key = key.as_object_mut().expect("an object");
            if random.chance(10) {
                key.remove("kid");
                self.features.add("key without kid");
            }
            if random.chance(10) {
                key.remove("alg");
                self.features.add("key without alg");
            }
            if random.chance(20) {
                oddly_published(key, random);
            }
        }
        self.set("local_jwks", json!({"inline_string": set.to_string()}));
    }

    fn identity(&mut self, random: &mut Random) {
        if random.chance(90) {
            let issuer = format!("https://{}.example", self.name);
            self.set("issuer", issuer.clone());
            self.issuer = Some(issuer);
        }
        if random.chance(70) {
            let choices: [&[&str]; 4] = [
                &["api"],
                &["api", "orders"],
                &["https://api.example/"],
                &["http://api.example", "web"],
            ];
            let audiences = *random.pick(&choices);
            self.audiences = audiences.to_vec();
            self.set("audiences", audiences);
        }
        if random.chance(25) {
            let (matcher, subject) = random
                .pick(&[
                    (json!({"exact": "alice"}), "alice"),
                    (json!({"prefix": "user-"}), "user-7"),
                    (json!({"suffix": "@corp.example"}), "bob@corp.example"),
                    (json!({"contains": "lic"}), "alice"),
                    (json!({"safe_regex": {"regex": "[a-z]+"}}), "alice"),
                    (json!({"exact": "ALICE", "ignore_case": true}), "Alice"),
                ])
                .clone();
            self.subject = subject;
            self.set("subjects", matcher);
        }
    }

    fn times(&mut self, random: &mut Random) {
        match random.below(10) {
            0..4 => self.set("require_expiration", false),
            4..8 => self.set("require_expiration", true),
            _ => self.features.add("require_expiration not set"),
        }
        if random.chance(20) {
            let longest = *random.pick(&["1800s", "7200s"]);
            self.set("max_lifetime", longest);
        }
        match random.below(10) {
            0 => {
                self.set("clock_skew_seconds", 0);
                self.features.add("clock_skew_seconds: 0");
            }
            1..4 => {
                let skew = *random.pick(&[120, 300]);
                self.set("clock_skew_seconds", skew);
            }
            _ => {}
        }
    }

    fn locations(&mut self, random: &mut Random) {
        if random.chance(35) {
            self.has_default_locations = true;
            self.features.add("default locations");
            self.locations = vec![Location::Header("Authorization", "Bearer ")];
            return;
        }
        let (mut headers, mut parameters, mut cookies) = (Vec::new(), Vec::new(), Vec::new());
        for (name, prefix) in HEADERS {
            if random.chance(35) {
                self.locations.push(Location::Header(name, prefix));
                headers.push(match *prefix {
                    "" => json!({"name": name}),
                    prefix => json!({"name": name, "value_prefix": prefix}),
                });
            }
        }
        if random.chance(30) {
            self.locations.push(Location::Parameter("token"));
            parameters.push("token");
        }
        if self.locations.is_empty() || random.chance(30) {
            self.locations.push(Location::Cookie("session"));
            cookies.push("session");
        }
        if !headers.is_empty() {
            self.set("from_headers", headers);
        }
        if !parameters.is_empty() {
            self.set("from_params", parameters);
        }
        if !cookies.is_empty() {
            self.set("from_cookies", cookies);
        }
    }

    fn headers(&mut self, random: &mut Random) {
        if random.chance(40) {
            self.set("forward", true);
        }
        if random.chance(25) {
            let name = format!("x-{}-payload", self.name);
            self.headers.push(name.clone());
            self.set("forward_payload_header", name);
            if random.chance(50) {
                self.set("pad_forward_payload_header", true);
            }
        }
        let mut claims = Vec::new();
        for claim in CLAIMS {
            if random.chance(20) {
                let header = format!("X-{}-{}", self.name, claim.replace('.', "-"));
                self.headers.push(header.to_ascii_lowercase());
                claims.push(json!({"header_name": header, "claim_name": claim}));
                self.features.add_if(claim.contains('.'), "nested claim");
            }
        }
        if random.chance(10) {
            let header = format!("x-{}-role", self.name);
            self.headers.push(header.clone());
            let path = json!([{"key": "https://claims.example/role"}, {"key": "name"}]);
            claims.push(json!({"header_name": header, "claim_path": path}));
            self.features.add("claim_path");
        }
        if !claims.is_empty() {
            self.set("claim_to_headers", claims);
        }
    }
}

/// What some libraries write and a gate should accept.
fn oddly_published(key: &mut Map<String, Value>, random: &mut Random) {
    let is_rsa = key["kty"] == "RSA";
    let (name, value) = match random.below(6) {
        0 => ("d", Value::Null),
        1 => ("use", "SIG".into()),
        2 => ("key_ops", json!(["verify", "sign"])),
        3 => ("x5t", "AAAA".into()),
        4 if is_rsa => ("e", "AAEAAQ".into()),
        5 if is_rsa => ("x", "".into()),
        _ => ("use", Value::Null),
    };
    key.insert(name.to_owned(), value);
}
