//! What an operator's own settings, logs and deliveries could open.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Before, Row, World, genuine};
use crate::support::{
    Authority, Bootstrap, Envoy, JwksServer, Plugin, Request, Token, assert_refused, configuration,
    module,
};

pub(super) const ROWS: &[Row] = &[
    Row {
        id: 35,
        threat: "tokens in logs",
        sources: "GHSA-h2ph-vhm7-g4hp",
        attack: tokens_in_logs,
    },
    Row {
        id: 39,
        threat: "the time that private RSA operations take",
        sources: "RUSTSEC-2023-0071",
        attack: private_keys,
    },
    Row {
        id: 41,
        threat: "another module in place of this one",
        sources: "Istio's WasmPlugin checks no signatures",
        attack: swapped_module,
    },
    Row {
        id: 42,
        threat: "defaults that let every request through when something is missing",
        sources: "Istio's FailStrategy",
        attack: open_defaults,
    },
];

fn tokens_in_logs(_: &mut World) {
    let bootstrap = Bootstrap::with_plugin(Plugin::new(&configuration()));
    let envoy = Envoy::start(&bootstrap.with_wasm_log_level("trace"));
    let before = Before::of(&envoy);
    let mut client = envoy.client();
    let tokens = [
        genuine().to_string(),
        genuine().expiring_in(-1000).to_string(),
        genuine().with_claims_text("[1]"),
        Token::signed_by("es256-other")
            .header("kid", "test-es256")
            .into(),
        genuine().claim("sub", "a\r\nb").to_string(),
    ];
    let bodies = tokens.each_ref().map(|token| {
        let request = Request::get("/api")
            .bearer(token)
            .header("x-request-id", token);
        client.send(&request)
    });
    let log = envoy.log();
    assert!(log.contains("refused request_id="), "{log}");
    for token in &tokens {
        // The id of a request is the client's own text, so it may be what is logged, cut; what
        // makes a token one, its signature, comes too late for that.
        let (_, signature) = token.rsplit_once('.').unwrap();
        for piece in signature.as_bytes().chunks_exact(16) {
            let piece = str::from_utf8(piece).unwrap();
            assert!(!log.contains(piece), "{log}");
            let refused = bodies.iter().filter(|reply| reply.status != 200);
            for reply in refused {
                assert!(!reply.body.contains(piece), "{reply:?}");
            }
        }
    }
    before.assert_unharmed(&envoy, genuine());
}

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The filter takes no private key wherever it may come from, so there is no operation of one whose
/// time could be measured.
fn private_keys(_: &mut World) {
    let text = file("tests/vectors/keys/rs256.private.jwk.json");
    let private: Value = serde_json::from_str(&text).unwrap();
    let set = json!({"keys": [private]}).to_string();
    let left_out = "keys[0] (`kid` test-rs256) is left out: a private key";
    let mut local = configuration();
    local["providers"]["demo"]["local_jwks"] = json!({"inline_string": set});
    let log = Envoy::refuses(&Bootstrap::with_plugin(Plugin::new(&local)));
    assert!(log.contains(left_out), "{log}");

    let server = JwksServer::with_keys(set);
    let envoy = Envoy::start(&fetching_keys("keys", server.address()));
    let token = Token::signed_by("rs256");
    let reply = envoy.client().send(&Request::get("/api").bearer(token));
    assert_refused(&reply, 503, "keys_unavailable");
    let log = envoy.log();
    assert!(log.contains(left_out), "{log}");
}

/// With keys that are fetched from this cluster.
fn fetching_keys(cluster: &'static str, server: SocketAddr) -> Bootstrap {
    let mut remote = configuration();
    let provider = remote["providers"]["demo"].as_object_mut().unwrap();
    provider.remove("local_jwks");
    let uri = json!({"uri": "http://issuer.example/jwks", "cluster": cluster, "timeout": "1s"});
    provider.insert("remote_jwks".to_owned(), json!({"http_uri": uri}));
    Bootstrap::with_plugin(Plugin::new(&remote)).with_cluster(cluster, server)
}

/// Envoy takes only the module with the configured hash, and lets no request through without it.
/// The documents say how to pin it, for every way to fetch the module.
fn swapped_module(_: &mut World) {
    let bytes = fs::read(module()).unwrap();
    let server = JwksServer::start();
    let hash = |bytes: &[u8]| {
        let hash = Sha256::digest(bytes);
        let digits = hash.iter().map(|byte| format!("{byte:02x}"));
        digits.collect::<Vec<_>>().concat()
    };
    let fetching = |expected: &str| {
        let plugin = Plugin::new(&configuration()).fetched_from("modules", expected);
        Bootstrap::with_plugin(plugin).with_cluster("modules", server.address())
    };
    // An empty custom section at its end: another module, as good as this one.
    let other = [&bytes[..], &[0, 2, 1, b'x']].concat();
    server.serve("/portcullis.wasm", other.clone());
    let envoy = Envoy::start(&fetching(&hash(&other)));
    Before::of(&envoy).assert_unharmed(&envoy, genuine());

    let envoy = Envoy::start(&fetching(&hash(&bytes)));
    for path in ["/api", "/public"] {
        let reply = envoy.client().send(&Request::get(path).bearer(genuine()));
        assert_eq!(reply.status, 503, "{path}: {reply:?}");
    }
    assert_eq!(server.requests("/portcullis.wasm"), 2);

    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("envoy");
    let mut fetching = 0;
    for entry in fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        let is_text = path
            .extension()
            .is_some_and(|kind| kind == "yaml" || kind == "md");
        if !is_text {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let mut lines = text.lines();
        let fetches =
            |line: &str| line.trim_start().starts_with("url: ") && line.contains("portcullis");
        if lines.any(fetches) {
            fetching += 1;
            assert!(text.contains("sha256"), "{}", path.display());
        }
    }
    assert!(fetching >= 3, "{fetching} examples fetch the module");
}

fn open_defaults(_: &mut World) {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let mut followed = configuration();
    followed["revocation"] = Authority::start().settings();
    followed["revocation"]["cluster"] = "nowhere".into();
    let bootstrap = Bootstrap::with_plugin(Plugin::new(&followed));
    let envoy = Envoy::start(&bootstrap.with_cluster("nowhere", nowhere));
    let reply = envoy
        .client()
        .send(&Request::get("/api").bearer(genuine().claim("sid", "s")));
    assert_refused(&reply, 503, "revocation_unavailable");
    assert!(reply.header("retry-after").is_some(), "{reply:?}");

    let without_keys = Envoy::start(&fetching_keys("nowhere", nowhere));
    let reply = without_keys
        .client()
        .send(&Request::get("/api").bearer(genuine()));
    assert_refused(&reply, 503, "keys_unavailable");

    // A path that was forgotten, and a configuration that cannot be read.
    assert_refused(
        &envoy.client().send(&Request::get("/forgotten")),
        403,
        "no_rule",
    );
    let mut misspelt = configuration();
    misspelt["rulez"] = json!([]);
    let log = Envoy::refuses(&Bootstrap::with_plugin(Plugin::new(&misspelt)));
    assert!(log.contains("rulez"), "{log}");

    for name in [
        "envoy.yaml",
        "envoy-replicas.yaml",
        "envoy-sign-in.yaml",
        "istio-wasmplugin.yaml",
        "istio-trafficextension.yaml",
        "envoy-gateway.yaml",
        "kubernetes/overlays/istio/filter.yaml",
        "kubernetes/overlays/istio-wasmplugin/filter.yaml",
        "kubernetes/overlays/envoy-gateway/filter.yaml",
        "kubernetes/overlays/plain-envoy/bootstrap.yaml",
    ] {
        let example = file(&format!("envoy/{name}"));
        let lines = example.lines();
        let settings = lines.filter(|line| !line.trim_start().starts_with('#'));
        let settings = settings.collect::<Vec<_>>().join("\n");
        for open in [
            "FAIL_OPEN",
            "failOpen: true",
            "fail_open: true",
            "allow_unmatched: true",
        ] {
            assert!(!settings.contains(open), "{name}: {open}");
        }
    }
}
