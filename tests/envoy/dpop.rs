//! Tokens that are bound to a key, and the proofs that come with them (DPoP, RFC 9449), over real TLS.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Barrier;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::signer::Signer;
use portcullis::token::thumbprint;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Bootstrap, Envoy, Issuer, Listener, Plugin, Request, Response, Token, assert_refused,
    configuration, program,
};

/// What is asked for, of any gate.
const URL: &str = "https://api.example/api";

/// How clients ask.
const VERSIONS: [&str; 2] = ["--http1.1", "--http2"];

/// What has a key of its own: a user's phone, or a thief.
struct Device {
    key: String,
    /// Of the key.
    thumbprint: String,
    _directory: TempDir,
}

impl Device {
    fn new() -> Self {
        Self::with("ES256")
    }

    fn with(algorithm: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = directory
            .path()
            .join("key.jwk")
            .to_str()
            .unwrap()
            .to_owned();
        let public = portcullis(&["keygen", "--algorithm", algorithm, "--out", &key]);
        let public: Value = serde_json::from_str(&public).unwrap();
        Self {
            key,
            // What it is called by, unless it is given a name.
            thumbprint: public["keys"][0]["kid"].as_str().unwrap().to_owned(),
            _directory: directory,
        }
    }

    /// The private key.
    fn jwk(&self) -> String {
        fs::read_to_string(&self.key).unwrap()
    }

    /// A token that is bound to its key.
    fn token(&self) -> String {
        self.token_called("first")
    }

    fn token_called(&self, id: &str) -> String {
        let token = Token::signed_by("es256").claim("jti", id);
        token
            .claim("cnf", json!({"jkt": self.thumbprint}))
            .to_string()
    }

    /// A new proof for a `GET` of [`URL`] with this token.
    fn proof(&self, token: &str) -> String {
        self.proof_with(token, &["--url", URL])
    }

    fn proof_with(&self, token: &str, more: &[&str]) -> String {
        let arguments = ["proof", "--key", &self.key, "--token", token];
        portcullis(&[&arguments, more].concat())
    }
}

/// What the program prints.
#[track_caller]
fn portcullis(arguments: &[&str]) -> String {
    let output = Command::new(program()).args(arguments).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {told}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// An API with one name, and gates in front of it that all have its certificate.
struct Site {
    issuer: Issuer,
    server: (String, String),
}

impl Site {
    fn new() -> Self {
        let issuer = Issuer::make("servers");
        let server = issuer.issue("DNS:api.example,IP:127.0.0.1");
        Self { issuer, server }
    }

    fn listener(&self, dpop: &Value) -> Listener {
        let listener = Listener::portcullis(Plugin::new(&verifying(dpop)));
        listener.over_tls(&self.server, &self.issuer.certificate())
    }

    fn gate(&self, dpop: &Value) -> Envoy {
        Envoy::start(&Bootstrap::new([self.listener(dpop)]))
    }

    /// The answer of a gate to a `GET` of [`URL`] with these headers, by this version of HTTP.
    #[track_caller]
    fn ask(&self, gate: &Envoy, version: &str, headers: &[String]) -> Response {
        self.ask_at(gate.address_of("portcullis"), headers, &[version, URL])
    }

    /// The same at this address, with more for the client to go by.
    #[track_caller]
    fn ask_at(&self, gate: SocketAddr, headers: &[String], more: &[&str]) -> Response {
        let output = Command::new("curl")
            .args(["-sSi", "--noproxy", "*", "--cacert"])
            .arg(self.issuer.certificate())
            .args(["--connect-to", &format!("api.example:443:{gate}")])
            .args(headers.iter().flat_map(|header| ["-H", header]))
            .args(more)
            .output()
            .expect("curl");
        let shown = String::from_utf8(output.stdout).unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        let (head, body) = shown.split_once("\r\n\r\n").expect(&told);
        let (status, lines) = head.split_once("\r\n").unwrap();
        let lines = lines.lines().map(|line| line.split_once(": ").unwrap());
        Response {
            status: status.split(' ').nth(1).unwrap().parse().unwrap(),
            headers: lines
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }
}

fn verifying(dpop: &Value) -> Value {
    let mut configuration = configuration();
    configuration["providers"]["demo"]["proof_of_possession"] = json!({ "dpop": dpop });
    configuration["session_headers"] = true.into();
    configuration
}

/// The headers of a request with these.
fn with_proof(token: &str, proof: &str) -> Vec<String> {
    let lines = [("Authorization: DPoP", token), ("DPoP:", proof)];
    lines.map(|(name, value)| format!("{name} {value}")).into()
}

/// The same, for a client that sends them without TLS.
fn plain(token: &str, proof: &str) -> Request {
    let request = Request::get("/api").header("Authorization", format!("DPoP {token}"));
    request.header("DPoP", proof)
}

/// The error that the only challenge of an answer names.
#[track_caller]
fn error_of(reply: &Response) -> &str {
    let challenges = reply.headers.iter();
    let mut challenges = challenges.filter(|(name, _)| name == "www-authenticate");
    let (Some((_, challenge)), None) = (challenges.next(), challenges.next()) else {
        panic!("expected one challenge, found {reply:?}");
    };
    assert!(challenge.starts_with("DPoP "), "{challenge}");
    let (_, error) = challenge.split_once("error=\"").unwrap();
    error.split('"').next().unwrap()
}

#[track_caller]
fn assert_passes(reply: &Response) {
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[test]
fn a_stolen_copy_of_a_token_is_of_no_use_without_its_key() {
    let site = Site::new();
    let gate = site.gate(&json!({}));
    let (phone, thief) = (Device::new(), Device::new());
    let token = phone.token();
    for version in VERSIONS {
        let ask = |headers: &[String]| site.ask(&gate, version, headers);
        let mut headers = with_proof(&token, &phone.proof(&token));
        headers.push(format!("X-Session-Key: {}", thief.thumbprint));
        let forwarded = ask(&headers).forwarded();
        let key = forwarded.header("x-session-key");
        assert_eq!(key, Some(&*phone.thumbprint));
        assert_eq!(forwarded.header("dpop"), None);
        assert_eq!(forwarded.header("authorization"), None);

        // A copy of all that was sent.
        let reply = ask(&headers);
        assert_refused(&reply, 401, "proof_replayed");
        assert_eq!(reply.json()["action"], "retry");
        assert_eq!(error_of(&reply), "invalid_dpop_proof");
        // The token by itself, and with a proof of the thief's own.
        let reply = ask(&[format!("Authorization: Bearer {token}")]);
        assert_refused(&reply, 401, "scheme_mismatch");
        let reply = ask(&[format!("Authorization: DPoP {token}")]);
        assert_refused(&reply, 401, "proof_missing");
        let refused = |proof: &str, code: &str| {
            assert_refused(&ask(&with_proof(&token, proof)), 401, code);
        };
        refused(&thief.proof(&token), "proof_invalid");
        // Proofs of the phone that were never used: of another token, for another request, and an old one.
        refused(&phone.proof(&phone.token_called("other")), "proof_invalid");
        for other in [
            ["--url", URL, "--method", "POST"],
            ["--url", "https://api.example/api/x", "--method", "GET"],
        ] {
            refused(&phone.proof_with(&token, &other), "proof_invalid");
        }
        let old = ["--url", URL, "--issued-in", "-3m"];
        refused(&phone.proof_with(&token, &old), "proof_outdated");

        assert_passes(&ask(&with_proof(&token, &phone.proof(&token))));
    }
    let versions = VERSIONS.len() as u64;
    for (reason, expected) in [
        ("proof_replayed", 1),
        ("scheme_mismatch", 1),
        ("proof_missing", 1),
        // By another key, and for another token.
        ("proof_token_mismatch", 2),
        ("proof_target_mismatch", 2),
        ("proof_outdated", 1),
    ] {
        let name = format!("wasmcustom.portcullis.requests.refused.{reason}.demo");
        assert_eq!(gate.stat(&name), Some(expected * versions), "{reason}");
    }
}

#[test]
fn proofs_of_every_kind_of_key_count_and_go_on_where_the_token_does() {
    let site = Site::new();
    // All of them are listed, since PS256 would not count otherwise.
    let all = ["ES256", "ES384", "ES512", "EdDSA", "RS256", "PS256"];
    let mut configuration = verifying(&json!({ "algorithms": all }));
    configuration["providers"]["demo"]["forward"] = true.into();
    let listener = Listener::portcullis(Plugin::new(&configuration));
    let listener = listener.over_tls(&site.server, &site.issuer.certificate());
    let gate = Envoy::start(&Bootstrap::new([listener]));
    for algorithm in all {
        let phone = Device::with(algorithm);
        let token = phone.token();
        let proof = phone.proof(&token);
        let ask = |proof: &str| site.ask(&gate, "--http2", &with_proof(&token, proof));
        let forged = forged(&proof, &phone.proof(&token));
        let refuse_forged = || {
            for forged in &forged {
                assert_refused(&ask(forged), 401, "proof_invalid");
            }
        };
        refuse_forged();
        let forwarded = ask(&proof).forwarded();
        // Now that its key is known as well.
        refuse_forged();
        let key = forwarded.header("x-session-key");
        assert_eq!(key, Some(&*phone.thumbprint), "{algorithm}");
        assert_eq!(forwarded.header("dpop"), Some(&*proof), "{algorithm}");
        let sent = format!("DPoP {token}");
        assert_eq!(forwarded.header("authorization"), Some(&*sent));
    }
    let name = "wasmcustom.portcullis.requests.refused.proof_forged.demo";
    let expected = 2 * FORGED * all.len();
    assert_eq!(gate.stat(name), Some(expected as u64));
}

/// In how many ways a signature is forged.
const FORGED: usize = 3;

/// The first proof with signatures that are not its own: that of the second one, its own with another letter, and
/// all zeros.
fn forged(proof: &str, other: &str) -> [String; FORGED] {
    let (said, signature) = proof.rsplit_once('.').unwrap();
    let (_, of_another) = other.rsplit_once('.').unwrap();
    let middle = signature.len() / 2;
    let letter = if &signature[middle..=middle] == "A" {
        "B"
    } else {
        "A"
    };
    let changed = format!(
        "{}{letter}{}",
        &signature[..middle],
        &signature[middle + 1..]
    );
    let zeros = "A".repeat(signature.len());
    [of_another, &changed, &zeros].map(|signature| format!("{said}.{signature}"))
}

/// A gate, a token, a good proof of its key, and the parts to make others of.
struct Workshop {
    site: Site,
    gate: Envoy,
    phone: Device,
    token: String,
    good: String,
    header: Value,
    claims: Value,
}

impl Workshop {
    fn new() -> Self {
        let site = Site::new();
        let phone = Device::new();
        let token = phone.token();
        let good = phone.proof(&token);
        let decoded = |part: usize| -> Value {
            let part = good.split('.').nth(part).unwrap();
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        Self {
            gate: site.gate(&json!({})),
            header: decoded(0),
            claims: decoded(1),
            site,
            phone,
            token,
            good,
        }
    }

    #[track_caller]
    fn ask(&self, headers: &[String]) -> Response {
        self.site.ask(&self.gate, "--http2", headers)
    }

    /// Asserts that this is refused with this code.
    #[track_caller]
    fn refuse(&self, proof: &str, code: &str) {
        assert_refused(&self.ask(&with_proof(&self.token, proof)), 401, code);
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signer = Signer::from_jwk(&self.phone.jwk()).unwrap();
        signer.sign_token(header, claims).unwrap()
    }

    /// Asserts that what was refused has not used the good proof.
    #[track_caller]
    fn close(&self) {
        assert_passes(&self.ask(&with_proof(&self.token, &self.good)));
    }
}

/// The object with another value; without it if that is `null`.
fn with(object: &Value, name: &str, value: Value) -> Value {
    let mut object = object.clone();
    let members = object.as_object_mut().unwrap();
    match value {
        Value::Null => members.remove(name),
        value => members.insert(name.to_owned(), value),
    };
    object
}

/// RFC 9449 section 4.3, points 1, 2, 4 to 7.
#[test]
fn a_proof_whose_header_lacks_anything_is_refused_for_it() {
    let shop = Workshop::new();
    let private: Value = serde_json::from_str(&shop.phone.jwk()).unwrap();
    let thief: Value = serde_json::from_str(&Device::new().jwk()).unwrap();
    let other = json!({"kty": "EC", "crv": "P-256", "x": thief["x"], "y": thief["y"]});
    for (name, value) in [
        ("typ", Value::Null),
        ("typ", json!("JWT")),
        ("alg", Value::Null),
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("alg", json!("RS256")),
        ("crit", json!(["exp"])),
        ("jwk", Value::Null),
        ("jwk", json!({})),
        ("jwk", json!(shop.phone.thumbprint)),
        ("jwk", private),
        ("jwk", other),
        ("jwk", json!({"kty": "oct", "k": "AAAA"})),
    ] {
        let header = with(&shop.header, name, value);
        shop.refuse(&shop.sign(&header, &shop.claims), "proof_invalid");
    }
    let (said, signature) = shop.good.rsplit_once('.').unwrap();
    let long = with(&shop.claims, "x", json!("x".repeat(4_096)));
    for odd in [
        "x".to_owned(),
        said.to_owned(),
        format!("{said}."),
        format!("{}=", shop.good),
        format!("{}.{signature}", shop.good),
        format!("{0},{0}", shop.good),
        format!("DPoP {}", shop.good),
        shop.sign(&shop.header, &long),
    ] {
        shop.refuse(&odd, "proof_invalid");
    }
    let mut twice = with_proof(&shop.token, &shop.good);
    twice.push(format!("DPoP: {}", shop.phone.proof(&shop.token)));
    assert_refused(&shop.ask(&twice), 401, "proof_invalid");
    shop.close();
}

/// The other points.
#[test]
fn a_proof_that_says_anything_else_is_refused_for_it() {
    let shop = Workshop::new();
    let iat = shop.claims["iat"].as_u64().unwrap();
    for (name, value, code) in [
        ("jti", Value::Null, "proof_invalid"),
        ("jti", json!(""), "proof_invalid"),
        ("jti", json!(7), "proof_invalid"),
        ("htm", Value::Null, "proof_invalid"),
        ("htm", json!("get"), "proof_invalid"),
        ("htu", Value::Null, "proof_invalid"),
        ("htu", json!("/api"), "proof_invalid"),
        ("htu", json!("http://api.example/api"), "proof_invalid"),
        (
            "htu",
            json!("https://api.example:8443/api"),
            "proof_invalid",
        ),
        ("htu", json!("https://api.example/API"), "proof_invalid"),
        ("iat", Value::Null, "proof_invalid"),
        ("iat", json!(iat.to_string()), "proof_invalid"),
        ("iat", json!(iat * 1_000), "proof_invalid"),
        ("iat", json!(iat - 130), "proof_outdated"),
        ("iat", json!(iat + 130), "proof_outdated"),
        ("ath", Value::Null, "proof_invalid"),
        ("ath", json!(shop.phone.thumbprint), "proof_invalid"),
    ] {
        let claims = with(&shop.claims, name, value);
        shop.refuse(&shop.sign(&shop.header, &claims), code);
    }
    shop.close();
}

/// An issuer may bind tokens to all that a client calls its key.
#[test]
fn a_key_that_is_none_proves_nothing() {
    let site = Site::new();
    let gate = site.gate(&json!({}));
    let phone = Device::new();
    for (curve, bytes, algorithm) in [("P-256", 32, "ES256"), ("P-384", 48, "ES384")] {
        // Not a point of the curve.
        let zero = URL_SAFE_NO_PAD.encode(vec![0; bytes]);
        let jwk = json!({"kty": "EC", "crv": curve, "x": zero, "y": zero});
        let bound = json!({"jkt": thumbprint(&jwk).unwrap()});
        let token = Token::signed_by("es256").claim("cnf", bound).to_string();
        let header = json!({"typ": "dpop+jwt", "alg": algorithm, "jwk": jwk});
        let proof = phone.proof(&token);
        let claims = proof.split('.').nth(1).unwrap();
        // Twice the length of a coordinate, and no zeros.
        let signature = URL_SAFE_NO_PAD.encode(vec![1; bytes * 2]);
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        let proof = format!("{header}.{claims}.{signature}");
        let reply = site.ask(&gate, "--http2", &with_proof(&token, &proof));
        assert_refused(&reply, 401, "proof_invalid");
    }
}

#[test]
fn of_many_connections_with_one_proof_one_gets_through() {
    const CONNECTIONS: usize = 16;
    let site = Site::new();
    let bootstrap = Bootstrap::new([site.listener(&json!({}))]);
    let gate = Envoy::start(&bootstrap.with_workers(4));
    let phone = Device::new();
    let token = phone.token();
    for version in VERSIONS {
        let headers = with_proof(&token, &phone.proof(&token));
        let replies: Vec<_> = thread::scope(|scope| {
            let clients =
                [(); CONNECTIONS].map(|()| scope.spawn(|| site.ask(&gate, version, &headers)));
            clients.map(|client| client.join().unwrap()).into()
        });
        assert_once(&replies);
    }
}

/// Asserts that one of these passes, and the others are refused for it.
#[track_caller]
fn assert_once(replies: &[Response]) {
    let refused = replies.iter().filter(|reply| reply.status != 200);
    let refused: Vec<_> = refused.collect();
    for reply in &refused {
        assert_refused(reply, 401, "proof_replayed");
    }
    assert_eq!(refused.len() + 1, replies.len());
}

/// Each worker has memory of its own, but for what they share.
#[test]
fn workers_that_get_one_proof_at_the_same_time_let_it_through_once() {
    const ROUNDS: usize = 100;
    let workers = 4;
    let plugin = Plugin::new(&verifying(&json!({})));
    let bootstrap = Bootstrap::with_plugin(plugin).with_workers(workers);
    let gate = Envoy::start(&bootstrap);
    let mut clients = gate.client_of_every_worker();
    assert_eq!(clients.len(), workers as usize);
    let phone = Device::new();
    let token = phone.token();
    for _ in 0..ROUNDS {
        let proof = phone.proof_with(&token, &["--url", "http://api.example/api"]);
        let request = plain(&token, &proof);
        let start = Barrier::new(clients.len());
        let replies: Vec<_> = thread::scope(|scope| {
            let asking = clients.iter_mut().map(|client| {
                scope.spawn(|| {
                    start.wait();
                    client.send(&request)
                })
            });
            let asking: Vec<_> = asking.collect();
            let replies = asking.into_iter().map(|asking| asking.join().unwrap());
            replies.collect()
        });
        assert_once(&replies);
    }
    let replayed = "wasmcustom.portcullis.requests.refused.proof_replayed.demo";
    let expected = ROUNDS as u64 * u64::from(workers - 1);
    assert_eq!(gate.stat(replayed), Some(expected));
}

#[test]
fn a_proof_is_used_for_all_listeners_of_an_envoy_and_stays_so_when_they_are_replaced() {
    let site = Site::new();
    let bootstrap = |dpop: &Value| {
        let first = site.listener(dpop);
        let second = first.clone().named("second");
        Bootstrap::new([first, second]).with_replaceable_listeners()
    };
    let mut gate = Envoy::start(&bootstrap(&json!({})));
    let phone = Device::new();
    let token = phone.token();
    let headers = with_proof(&token, &phone.proof(&token));
    let ask = |gate: &Envoy, listener: &str, headers: &[String]| {
        site.ask_at(gate.address_of(listener), headers, &[URL])
    };
    assert_passes(&ask(&gate, "portcullis", &headers));
    assert_refused(&ask(&gate, "second", &headers), 401, "proof_replayed");
    gate.replace_listeners(&bootstrap(&json!({"algorithms": ["ES256"]})));
    for listener in ["portcullis", "second"] {
        // The listener that was replaced asks for any algorithm.
        let told = ask(&gate, listener, &[]);
        let challenges = told.headers.iter().map(|(_, value)| value);
        assert!(
            challenges
                .clone()
                .any(|value| value.ends_with("algs=\"ES256\"")),
            "{told:?}"
        );
        let reply = ask(&gate, listener, &headers);
        assert_refused(&reply, 401, "proof_replayed");
        assert_passes(&ask(
            &gate,
            listener,
            &with_proof(&token, &phone.proof(&token)),
        ));
    }
}

#[test]
fn another_envoy_takes_a_used_proof_once_where_no_nonce_is_required() {
    let site = Site::new();
    let gates = [(); 2].map(|()| site.gate(&json!({})));
    let phone = Device::new();
    let token = phone.token();
    let headers = with_proof(&token, &phone.proof(&token));
    for gate in &gates {
        assert_passes(&site.ask(gate, "--http2", &headers));
    }
    for gate in &gates {
        let reply = site.ask(gate, "--http2", &headers);
        assert_refused(&reply, 401, "proof_replayed");
    }
}

#[test]
fn where_a_nonce_is_required_a_proof_is_of_no_use_at_another_envoy() {
    let site = Site::new();
    let gates = [(); 2].map(|()| site.gate(&json!({"nonce": "required"})));
    let phone = Device::new();
    let token = phone.token();
    let proof = |nonce: &str| phone.proof_with(&token, &["--url", URL, "--nonce", nonce]);
    for version in VERSIONS {
        let ask = |gate: &Envoy, proof: &str| site.ask(gate, version, &with_proof(&token, proof));
        // What a client is told that has no nonce, or one of another gate.
        let nonce_of = |gate: &Envoy, proof: &str| {
            let reply = ask(gate, proof);
            assert_refused(&reply, 401, "proof_nonce_missing");
            assert_eq!(reply.json()["action"], "retry");
            assert_eq!(error_of(&reply), "use_dpop_nonce");
            reply.header("dpop-nonce").expect("a nonce").to_owned()
        };
        let [here, there] = &gates;
        let first = nonce_of(here, &phone.proof(&token));
        let used = proof(&first);
        let reply = ask(here, &used);
        assert_passes(&reply);
        // As the documents say.
        assert_eq!(reply.header("dpop-nonce"), None);
        let second = nonce_of(there, &used);
        assert_ne!(first, second);
        assert_eq!(nonce_of(there, &proof(&first)), second);
        assert_refused(&ask(here, &used), 401, "proof_replayed");
        // A nonce is good for more than one proof.
        for _ in 0..2 {
            assert_passes(&ask(there, &proof(&second)));
            assert_passes(&ask(here, &proof(&first)));
        }
        let replayed = proof(&second);
        assert_passes(&ask(there, &replayed));
        assert_refused(&ask(there, &replayed), 401, "proof_replayed");
    }
}

#[test]
fn the_uri_of_a_proof_has_the_port_that_the_client_uses() {
    let site = Site::new();
    let gate = site.gate(&json!({}));
    let address = gate.address_of("portcullis");
    let phone = Device::new();
    let token = phone.token();
    let asked = format!("https://{address}/api/%7e?of=it");
    for version in VERSIONS {
        let ask = |more: &[&str]| {
            let proof = phone.proof_with(&token, more);
            let how = [version, "--request", "POST", &asked];
            site.ask_at(address, &with_proof(&token, &proof), &how)
        };
        let post = |url: &str| ask(&["--method", "POST", "--url", url]);
        for same in [
            asked.clone(),
            format!("HTTPS://{address}/api/~"),
            format!("https://{address}/api/%7E?of=another"),
        ] {
            assert_passes(&post(&same));
        }
        for other in [
            "https://127.0.0.1/api/~".to_owned(),
            format!("https://127.0.0.1:{}/api/~", address.port() ^ 1),
            format!("http://{address}/api/~"),
            format!("https://{address}/api"),
            format!("https://api.example:{}/api/~", address.port()),
        ] {
            assert_refused(&post(&other), 401, "proof_invalid");
        }
        let get = ask(&["--url", &asked]);
        assert_refused(&get, 401, "proof_invalid");
    }
}

#[test]
fn without_tls_the_scheme_is_http_unless_a_trusted_proxy_says_https() {
    let phone = Device::new();
    let token = phone.token();
    let gates = [false, true].map(|trusts| {
        let dpop = json!({"trust_forwarded_proto": trusts});
        Envoy::with(&verifying(&dpop))
    });
    for (trusts, forwarded, good) in [
        (false, None, "http"),
        // Any client can write that.
        (false, Some("https"), "http"),
        (true, None, "http"),
        (true, Some("http"), "http"),
        (true, Some("https"), "https"),
    ] {
        let gate = &gates[usize::from(trusts)];
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://api.example/api");
            let mut request = plain(&token, &phone.proof_with(&token, &["--url", &url]));
            if let Some(forwarded) = forwarded {
                request = request.header("X-Forwarded-Proto", forwarded);
            }
            let reply = gate.client().send(&request);
            if scheme == good {
                assert_passes(&reply);
            } else {
                assert_refused(&reply, 401, "proof_invalid");
            }
        }
    }
}
