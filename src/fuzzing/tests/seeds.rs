//! What a fuzzer begins with: real tokens, keys, configurations and requests, and a feed that was
//! made by an authority. Each is accepted by the code that it is for, or it would lead nowhere.

use serde_json::{Value, json};

use super::*;
use crate::authority::fuzzing::{in_an_hour, published as published_by_an_authority};
use crate::cli::yaml;
use crate::gate::fuzzing::{GENUINE_MARK, OTHER_MARK, encoded, proofs};
use crate::gate::read_configuration;
use crate::keys::fuzzing::records;
use crate::revocation::cut_off;
use crate::revocation::{Batch, Change};
use crate::signer::Signer;
use crate::token::fixtures::{eddsa, es256, jwk_set as public_set, rs256, rsa, symmetric};
use crate::token::fuzzing::genuine_claims;
use crate::token::{Algorithm, KeyRules, KeySet, UnverifiedToken};

/// The name of a target and what it begins with.
type Seed = (&'static str, Vec<u8>);

pub(super) fn all() -> Vec<Seed> {
    let mut seeds = Vec::new();
    seeds.extend(tokens().into_iter().map(|seed| ("token", seed)));
    seeds.extend(key_sets().into_iter().map(|seed| ("jwk_set", seed)));
    seeds.extend(
        configurations()
            .into_iter()
            .map(|seed| ("configuration", seed)),
    );
    seeds.extend(requests().into_iter().map(|seed| ("request", seed)));
    seeds.extend(proofs().into_iter().map(|seed| ("proof", seed)));
    seeds.push(("import", LINES.into()));
    let claims = logout_claims().map(|claims| claims.to_string().into_bytes());
    seeds.extend(claims.map(|seed| ("logout_token", seed)));
    let events = security_events().into_iter();
    seeds.extend(events.map(|claims| ("security_event", claims.to_string().into_bytes())));
    seeds.extend(FORMS.map(|form| ("logout_form", form.into())));
    seeds.extend(OAUTH_FORMS.map(|form| ("oauth_form", form.into())));
    seeds.extend(status_lists().map(|seed| ("status_list", seed)));
    seeds.extend(POLLS.map(|answer| ("poll_answer", answer.into())));
    seeds.extend(feed());
    seeds.extend(records().into_iter().map(|seed| ("shared_record", seed)));
    seeds.extend(meddlings().into_iter().map(|seed| ("shared_feed", seed)));
    seeds
}

const FORMS: [&str; 4] = [
    "logout_token=eyJhbGciOiJFUzI1NiJ9.e30.AA",
    "logout%5ftoken=a%2Eb.c&state=1",
    "x=1&logout_token=a.b.c&y=%20+",
    "logout_token=a&logout_token=b",
];

/// With what stands in `Authorization` in front of a line break, where it is not in the form.
const OAUTH_FORMS: [&str; 5] = [
    "web:secret\ntoken=eyJhbGciOiJFUzI1NiJ9.e30.AA&token_type_hint=access_token",
    "w%65b:s%3a\ntoken=a%2Eb.c&client_id=web",
    "token=a.b.c&client_id=web&client_secret=%20+",
    "token=a&client_assertion=a.b.c&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer",
    "web:secret\ntoken=a&token=b",
];

const POLLS: [&str; 3] = [
    r#"{"sets": {"a": "h.eyJzdWJfaWQiOnsiZm9ybWF0IjoiZW1haWwifX0.s"}, "moreAvailable": true}"#,
    r#"{"moreAvailable": false, "sets": {"b": "x", "a": 7, "b": "\u0041"}, "x": [{}]}"#,
    r#"{"sets": {}}"#,
];

/// What providers send, and what is refused.
fn logout_claims() -> [Value; 5] {
    let event = "http://schemas.openid.net/event/backchannel-logout";
    // 2026-01-01T00:00:00Z.
    let now = 1_767_225_600;
    [
        json!({"iss": "i", "aud": "web", "iat": now, "exp": now + 120, "jti": "j", "sub": "alice",
               "sid": "s", "events": {event: {}}}),
        json!({"iss": "i", "aud": ["app", "web"], "iat": now - 60, "jti": "j", "sub": "alice",
               "events": {event: {}}}),
        json!({"iss": "i", "aud": "web", "iat": now, "jti": "j", "sid": "s", "nonce": "n",
               "events": {event: {}, "other": []}}),
        json!({"iss": "i", "aud": "web", "iat": now, "jti": "j", "sub": "alice",
               "events": {event: {}, "other": []}}),
        // As Keycloak sends it where offline sessions end as well.
        json!({"iss": "i", "aud": "web", "iat": now, "exp": now + 120, "jti": "j", "sub": "alice",
               "sid": "s", "events": {event: {}, "revoke_offline_access": true}}),
    ]
}

/// As tokens, and packed alone.
fn status_lists() -> [Vec<u8>; 3] {
    // 2026-01-01T00:00:00Z.
    let now = 1_767_225_600;
    let sub = "https://i/lists/1";
    let list = json!({"bits": 2, "lst": "eNo76fITAAPfAgc"});
    let packed = [0x78, 0xda, 0xdb, 0xb9, 0x18, 0x00, 0x02, 0x17, 0x01, 0x5d];
    let claims = [
        json!({"sub": sub, "iss": "i", "iat": now, "exp": now + 60, "ttl": 30, "status_list": list}),
        json!({"sub": sub, "iat": now - 60, "status_list": list}),
    ];
    let [first, second] = claims.map(|claims| claims.to_string().into_bytes());
    [first, second, [&[1][..], &packed].concat()]
}

/// The examples of the specifications, as of the stream and the time of the target.
fn security_events() -> Vec<Value> {
    let vectors = include_str!("../../../tests/vectors/security-events.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let vectors = vectors["events"].as_array().unwrap().iter();
    let claims = vectors.map(|vector| {
        let mut claims = vector["claims"].clone();
        let iss = claims["iss"].to_string();
        claims["aud"] = json!("edge");
        claims["iat"] = json!(1_767_225_600);
        // Subjects are of the same issuer.
        serde_json::from_str(&claims.to_string().replace(&iss, "\"i\"")).unwrap()
    });
    claims.chain(complex_subjects()).collect()
}

/// Of a user, and what else the subject has.
fn complex_subjects() -> [Value; 3] {
    let opaque = json!({"format": "opaque", "id": "1"});
    let with = |member: &str, event: &str, payload: Value| {
        json!({
            "iss": "i", "aud": "edge", "iat": 1_767_225_600, "jti": "j",
            "sub_id": {
                "format": "complex", "user": {"format": "iss_sub", "iss": "i", "sub": "u"},
                member: opaque,
            },
            "events": {event: payload},
        })
    };
    let caep = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
    let risc = "https://schemas.openid.net/secevent/risc/event-type/credential-compromise";
    let found = json!({"credential_type": "password", "event_timestamp": 1_767_222_000});
    [
        with("application", caep, json!({})),
        with("group", caep, json!({})),
        with("device", risc, found),
    ]
}

/// One of every algorithm.
fn tokens() -> Vec<Vec<u8>> {
    let claims = genuine_claims();
    let mut tokens = Vec::new();
    for algorithm in Algorithm::ALL {
        let token = if algorithm.is_symmetric() {
            symmetric(algorithm, &claims).1
        } else {
            crate::token::fixtures::token(&signer(algorithm), &claims)
        };
        assert!(
            UnverifiedToken::parse(token.as_bytes()).is_ok(),
            "{algorithm}"
        );
        tokens.push(token);
    }
    tokens.into_iter().map(String::into_bytes).collect()
}

fn signer(algorithm: Algorithm) -> Signer {
    match algorithm {
        Algorithm::Es256 => es256(),
        Algorithm::EdDsa => eddsa(),
        Algorithm::Es384 | Algorithm::Es512 => Signer::generate(algorithm, None).unwrap(),
        _ => rsa(algorithm),
    }
}

fn key_sets() -> Vec<Vec<u8>> {
    let (secret, _) = symmetric(Algorithm::Hs256, &json!({}));
    let mut sets = vec![
        public_set(&[&rs256(), &es256(), &eddsa()]),
        json!({"keys": [secret, {"kty": "EC", "crv": "P-256", "use": "enc"}]}).to_string(),
    ];
    for algorithm in [Algorithm::Es384, Algorithm::Es512, Algorithm::Ps256] {
        sets.push(public_set(&[&signer(algorithm)]));
    }
    sets.extend(published());
    let rules = KeyRules {
        allow_symmetric: true,
        ..KeyRules::default()
    };
    for set in &sets {
        assert!(KeySet::parse(set.as_bytes(), &rules).is_ok(), "{set}");
    }
    sets.into_iter().map(String::into_bytes).collect()
}

/// Certificates, PEM and whatever else identity providers have.
fn published() -> Vec<String> {
    let sets: Value =
        serde_json::from_str(include_str!("../../../tests/vectors/published/sets.json")).unwrap();
    let sets = sets.as_array().unwrap().iter();
    let usable = sets.filter(|set| set["genuine"] != json!([]));
    usable
        .map(|set| set["text"].as_str().unwrap().to_owned())
        .collect()
}

/// Those of the test vectors and of the examples for operators, as text and as a `Struct`.
fn configurations() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for file in [
        "tests/vectors/configurations/every-key.json",
        "tests/vectors/configurations/as-people-write-it.yaml",
        "envoy/envoy.yaml",
        "envoy/istio-wasmplugin.yaml",
    ] {
        let text = fs::read_to_string(root.join(file)).unwrap();
        let before = found.len();
        for document in yaml::documents(&text).unwrap() {
            collect_configurations(&document.value, &mut found);
        }
        assert!(found.len() > before, "{file}");
    }
    let keys = public_set(&[&eddsa()]);
    let small = json!({
        "providers": {"idp": {"issuer": "i", "local_jwks": {"inline_string": keys}}},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}],
    });
    assert!(read_configuration(small.to_string().as_bytes(), &|_| None).is_ok());
    found.push(small);
    let as_struct = found.iter().filter_map(encoded);
    let as_text = found.iter().map(|value| value.to_string().into_bytes());
    as_text.chain(as_struct).collect()
}

/// Whatever has providers, at any depth.
fn collect_configurations(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Object(members) if members.contains_key("providers") => found.push(value.clone()),
        Value::Object(members) => {
            for member in members.values() {
                collect_configurations(member, found);
            }
        }
        Value::Array(values) => {
            for value in values {
                collect_configurations(value, found);
            }
        }
        _ => {}
    }
}

fn requests() -> Vec<Vec<u8>> {
    [
        "/api/x\nauthorization: Bearer <\nx-session-subject: mallory\nx_roles: admin",
        "/api/x?a=1&access_token=<&b=2\ncookie: theme=dark; session=<; s=\"<\"",
        "/api/x?t=<#access_token=<\nx-token: jwt=<\nx-token: other",
        "/api/x\nauthorization: Bearer >\ncookie: session=<",
        "/api/x\nauthorization: bearer  <, Basic YTpi\nx-request-id: 1",
        "/public/%2e%2e/api/..;a=b/x\nauthorization: Basic YTpi",
        "/public/x?access_token=<\nx.session.id: 1",
        "/public/%252e%252e%2Fapi\\..//x/./",
        "/api\ncontent-type: application/grpc\naccept: text/plain;q=0.5, application/json",
        "POST /session/sign-out?scope=everywhere\nauthorization: Bearer <",
        "POST /session/sign-out?scope=others&scope=session\ncookie: session=<\nsec-fetch-site: none",
        "/session/sign-out?scope=everywhere\ncookie: session=<\norigin: https://app.example",
        "POST /session/./Sign-out;a=b\nauthorization: Bearer <\ncontent-type: application/grpc",
        "/session/devices?limit=20&after=x\nauthorization: Bearer <",
        "DELETE /session/devices/0123456789abcdef0123456789abcdef\nauthorization: Bearer <",
        "/api/x\nauthorization: Bearer <\nuser-agent: okhttp/4.12\nx-forwarded-for: 203.0.113.9, ::1",
        "\n:method: CONNECT\norigin: https://a\naccess-control-request-method: GET",
    ]
    .iter()
    .map(|request| {
        let bytes = request.bytes().map(|byte| match byte {
            b'<' => GENUINE_MARK,
            b'>' => OTHER_MARK,
            byte => byte,
        });
        bytes.collect()
    })
    .collect()
}

/// Every kind, with every member that it may have.
const LINES: &str = r#"
{"kind":"token","issuer":"https://issuer.example","value":"token-1","expires_at":1767229200,"subject":"alice","reason":"lost \u2013 \"stolen\"","actor":"desk"}
{"kind":"session","issuer":"https://issuer.example","value":"session-1"}
{"kind":"device","issuer":"https://issuer.example","value":"device-1"}
{"kind":"subject","issuer":"https://issuer.example","value":"alice","not_before":1767225600,"except_session":"session-2"}
{"kind":"client","issuer":"https://issuer.example","value":"client-1","not_before":0}
{"kind":"issuer","issuer":"https://issuer.example"}
{"kind":"session","issuer":"https://issuer.example","value":"session-3","until_sign_in":true,"origin":"signal"}
{"kind":"claim","issuer":"https://issuer.example","claim":"tenant","value":"acme"}
{"kind":"subject_and_client","issuer":"https://issuer.example","client":"client-1","value":"alice","not_before":5}
"#;

/// The lines of [`LINES`] as an authority publishes them: a manifest, its cut-offs, the batch of
/// all changes, one in which cut-offs come and go, and a heartbeat.
fn feed() -> Vec<Seed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let published = runtime.block_on(published_by_an_authority(&lines_of_today()));
    let cut_offs = published.cut_offs;
    assert_eq!(cut_off::decode(&cut_offs).unwrap().len(), 5);
    let mut seeds = vec![
        ("manifest", published.manifest),
        // With what goes before it for the target.
        ("segment", [&[1, 2], &cut_offs[..]].concat()),
    ];
    for ((body, batch), changes) in published.batches.into_iter().zip([9, 0]) {
        assert_eq!(batch.changes.len(), changes);
        seeds.push(("batch", body));
        if changes > 0 {
            seeds.push(("batch", taken_back(batch).encode()));
        }
    }
    seeds
}

/// The batch, then every cut-off is restored, and all but the last are set again.
fn taken_back(mut batch: Batch) -> Batch {
    let is_cut_off = |change: &&Change| matches!(change, Change::SetCutOff(_));
    let cut_offs: Vec<_> = batch.changes.iter().filter(is_cut_off).copied().collect();
    let clearing = cut_offs.iter().map(Change::fingerprint);
    batch.changes.extend(clearing.map(Change::ClearCutOff));
    batch.changes.extend(cut_offs.iter().rev().skip(1));
    batch.head = batch.through();
    batch
}

/// The lines with times that the authority's clock does not find too far away.
fn lines_of_today() -> String {
    LINES.replace("1767229200", &in_an_hour().to_string())
}

/// Every way of overwriting every record of the feed, and a state that has counted all batches that
/// there can be.
fn meddlings() -> Vec<Vec<u8>> {
    let mut meddlings = Vec::new();
    for how in 0..5 {
        for record in 0..6 {
            meddlings.push(vec![record, how, 4, record * 9, 0, 1, 0xff]);
        }
    }
    meddlings.push(meddlings.concat());
    // All bits but one of `batches`, and one of the chain, which it is behind.
    let mut counted = vec![5, 4, 27, 40, 0, 0xfd];
    counted.extend([0xff; 7]);
    counted.extend([0; 16]);
    counted.push(1);
    meddlings.push(counted);
    meddlings
}
