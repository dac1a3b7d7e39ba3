//! Tokens that are bound to a client's certificate, over real mutual TLS.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{
    Bootstrap, Envoy, Issuer, Listener, Plugin, Request, Token, assert_refused, configuration,
    make_certificate,
};

/// The page that says how to find a certificate's thumbprint.
const PAGE: &str = include_str!("../../envoy/applications.md");

/// A client's certificate and key.
type Pair = (String, String);

struct Scene {
    envoy: Envoy,
    /// The server's certificate.
    trusted: String,
    phone: Pair,
    thief: Pair,
    /// Of the phone's certificate.
    thumbprint: String,
    _directory: tempfile::TempDir,
    issuer: Issuer,
    server: Pair,
}

impl Scene {
    fn new(proof: &Value) -> Self {
        Self::with(proof, "SANITIZE")
    }

    /// The same, with this done to `x-forwarded-client-cert`.
    fn with(proof: &Value, forwarding: &'static str) -> Self {
        Self::of("proof_of_possession", proof, forwarding)
    }

    /// With this setting of the provider.
    fn of(key: &str, value: &Value, forwarding: &'static str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = make_certificate(directory.path());
        let issuer = Issuer::make("clients");
        let (phone, thief) = (issuer.issue("DNS:phone"), issuer.issue("DNS:thief"));
        let mut configuration = configuration();
        configuration["providers"]["demo"][key] = value.clone();
        let listener = Listener::portcullis(Plugin::new(&configuration));
        let listener = listener
            .over_tls(&server, &issuer.certificate())
            .forwarding_certificates(forwarding);
        Self {
            server: server.clone(),
            envoy: Envoy::start(&Bootstrap::new([listener])),
            trusted: server.0,
            thumbprint: thumbprint(directory.path(), &phone.0),
            phone,
            thief,
            _directory: directory,
            issuer,
        }
    }

    fn bound(&self) -> Token {
        Token::signed_by("es256").claim("cnf", json!({"x5t#S256": self.thumbprint}))
    }

    /// Status and code of the answer to a client with this certificate, by HTTP/1.1 and by HTTP/2.
    #[track_caller]
    fn ask(&self, token: &Token, certificate: Option<&Pair>) -> (u16, String) {
        self.ask_at(self.envoy.address_of("portcullis"), token, certificate)
    }

    /// The same, of another Envoy.
    #[track_caller]
    fn ask_at(
        &self,
        address: SocketAddr,
        token: &Token,
        certificate: Option<&Pair>,
    ) -> (u16, String) {
        self.ask_with(address, token, certificate, &[])
    }

    /// The same, with these lines of `x-forwarded-client-cert`.
    #[track_caller]
    fn ask_with(
        &self,
        address: SocketAddr,
        token: &Token,
        certificate: Option<&Pair>,
        forwarded: &[&str],
    ) -> (u16, String) {
        let [first, second] = ["--http1.1", "--http2"].map(|version| {
            let mut command = Command::new("curl");
            command.args(["-sS", version, "--noproxy", "*", "--cacert", &self.trusted]);
            if let Some((certificate, key)) = certificate {
                command.args(["--cert", certificate, "--key", key]);
            }
            let output =
                command
                    .args(["-w", "\n%{http_code}", "-H"])
                    .arg(format!("Authorization: Bearer {token}"))
                    .args(forwarded.iter().flat_map(|line| {
                        ["-H".to_owned(), format!("X-Forwarded-Client-Cert: {line}")]
                    }))
                    .arg(format!("https://{address}/api"))
                    .output()
                    .expect("curl");
            let shown = String::from_utf8(output.stdout).unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            let (body, status) = shown.rsplit_once('\n').expect(&told);
            let body: Value = serde_json::from_str(body).unwrap();
            let code = body["code"].as_str().unwrap_or_default();
            (status.parse().unwrap(), code.to_owned())
        });
        assert_eq!(first, second);
        first
    }
}

/// An Envoy in front that ends the mutual TLS of clients, and shows this certificate itself.
fn balancer(scene: &Scene, own: &Pair, forwarding: &'static str) -> Envoy {
    let listener = Listener::open("balancer")
        .over_tls(&scene.server, &scene.issuer.certificate())
        .forwarding_certificates(forwarding)
        .leading_to(Some("gate"));
    let context = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
    let shown = json!({
        "certificate_chain": {"filename": own.0},
        "private_key": {"filename": own.1},
    });
    let tls = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": format!("type.googleapis.com/{context}"),
            "common_tls_context": {
                "tls_certificates": [shown],
                "validation_context": {"trusted_ca": {"filename": scene.trusted}},
            },
        },
    });
    let gate = scene.envoy.address_of("portcullis");
    let bootstrap = Bootstrap::new([listener]).with_cluster("gate", gate);
    Envoy::start(&bootstrap.with_cluster_member("gate", "transport_socket", tls))
}

#[test]
fn a_proxy_in_front_is_believed_only_if_it_is_trusted() {
    for forwarding in ["FORWARD_ONLY", "APPEND_FORWARD"] {
        let trusted = json!({"dns_sans": ["balancer"]});
        let scene = Scene::with(&json!({"mtls": {"xfcc": {"trusted": trusted}}}), forwarding);
        let token = scene.bound();
        let own = scene.issuer.issue("DNS:balancer");
        let front = balancer(&scene, &own, "SANITIZE_SET");
        let front = front.address_of("balancer");
        let ask = |certificate| scene.ask_at(front, &token, certificate);
        assert_eq!(
            ask(Some(&scene.phone)),
            (200, String::new()),
            "{forwarding}"
        );
        let mismatch = refused("certificate_mismatch");
        assert_eq!(ask(Some(&scene.thief)), mismatch, "{forwarding}");
        assert_eq!(ask(None), mismatch, "{forwarding}");
        let other = balancer(&scene, &scene.thief, "SANITIZE_SET");
        let other = other.address_of("balancer");
        let asked = scene.ask_at(other, &token, Some(&scene.phone));
        assert_eq!(asked, mismatch, "{forwarding}");
        let counted = "wasmcustom.portcullis.requests.refused.certificate_untrusted.demo";
        assert_eq!(scene.envoy.stat(counted), Some(2), "{forwarding}");
        // Its own certificate is still good for who comes without one in between.
        assert_eq!(scene.ask(&token, Some(&scene.phone)), (200, String::new()));
    }
}

#[test]
fn no_client_is_believed_that_names_the_certificate_itself() {
    for forwarding in [
        "SANITIZE",
        "FORWARD_ONLY",
        "APPEND_FORWARD",
        "ALWAYS_FORWARD_ONLY",
    ] {
        let trusted = json!({"dns_sans": ["balancer"]});
        let scene = Scene::with(&json!({"mtls": {"xfcc": {"trusted": trusted}}}), forwarding);
        let token = scene.bound();
        let hash = digest(&scene.phone.0);
        let plain = format!("Hash={hash}");
        let open = format!("Hash={hash};Subject=\"");
        let own = scene.issuer.issue("DNS:balancer");
        // Some proxies add to what comes from their clients.
        let fronts = ["SANITIZE_SET", "APPEND_FORWARD"].map(|how| balancer(&scene, &own, how));
        let direct = scene.envoy.address_of("portcullis");
        let addresses = [
            direct,
            fronts[0].address_of("balancer"),
            fronts[1].address_of("balancer"),
        ];
        // Nor is a name in the certificate that Envoy writes there as it is.
        let named = format!("URI:x://thief;Hash={hash}");
        let named = scene.issuer.issue_to("a\"b", &named);
        for address in addresses {
            let asked = scene.ask_at(address, &token, Some(&named));
            assert_eq!(asked.0, 401, "{forwarding}: {asked:?}");
        }
        for lines in [
            &[&*plain][..],
            &[&*open],
            &[&*plain, "Hash=00"],
            &["By=x", &*plain],
        ] {
            for address in addresses {
                let asked = scene.ask_with(address, &token, Some(&scene.thief), lines);
                assert_eq!(asked.0, 401, "{forwarding}: {lines:?}: {asked:?}");
            }
            let asked = scene.ask_with(direct, &token, None, lines);
            assert_eq!(asked.0, 401, "{forwarding}: {lines:?}: {asked:?}");
            // Nor does it keep out the one whose token it is.
            let asked = scene.ask_with(direct, &token, Some(&scene.phone), lines);
            assert_eq!(asked.0, 200, "{forwarding}: {lines:?}: {asked:?}");
        }
    }
}

/// SHA-256 of a certificate, in hexadecimal.
fn digest(certificate: &str) -> String {
    let output = Command::new("openssl")
        .args([
            "x509",
            "-noout",
            "-fingerprint",
            "-sha256",
            "-in",
            certificate,
        ])
        .output()
        .expect("openssl");
    let shown = String::from_utf8(output.stdout).unwrap();
    let (_, digits) = shown.trim().split_once('=').unwrap();
    digits.replace(':', "").to_lowercase()
}

/// What the page's command prints for this certificate.
fn thumbprint(directory: &Path, certificate: &str) -> String {
    let command = PAGE.lines().find(|line| line.starts_with("openssl x509 "));
    fs::copy(certificate, directory.join("client.pem")).unwrap();
    let output = Command::new("sh")
        .args(["-c", command.expect("the command")])
        .current_dir(directory)
        .output()
        .expect("sh");
    let shown = String::from_utf8(output.stdout).unwrap();
    let shown = shown.trim().to_owned();
    assert_eq!(shown.len(), 43, "{shown}");
    shown
}

fn refused(code: &str) -> (u16, String) {
    (401, code.to_owned())
}

#[test]
fn a_stolen_copy_of_a_token_is_of_no_use_over_another_connection() {
    let scene = Scene::new(&json!({"mtls": {}}));
    let token = scene.bound();
    let accepted = (200, String::new());
    let mismatch = refused("certificate_mismatch");
    assert_eq!(scene.ask(&token, Some(&scene.phone)), accepted);
    assert_eq!(scene.ask(&token, Some(&scene.thief)), mismatch);
    assert_eq!(scene.ask(&token, None), mismatch);
    assert_eq!(scene.ask(&token, Some(&scene.phone)), accepted);
    // One that is bound to nothing is good with or without a certificate.
    let bearer = Token::signed_by("es256");
    assert_eq!(scene.ask(&bearer, Some(&scene.thief)), accepted);
    assert_eq!(scene.ask(&bearer, None), accepted);
    let by_dpop = Token::signed_by("es256").claim("cnf", json!({"jkt": scene.thumbprint}));
    let asked = scene.ask(&by_dpop, Some(&scene.phone));
    assert_eq!(asked, refused("token_bound"));
}

#[test]
fn where_tokens_have_to_be_bound_a_bearer_token_is_refused() {
    let scene = Scene::new(&json!({"mtls": {}, "required": "always"}));
    let accepted = (200, String::new());
    assert_eq!(scene.ask(&scene.bound(), Some(&scene.phone)), accepted);
    let bearer = Token::signed_by("es256");
    let asked = scene.ask(&bearer, Some(&scene.phone));
    assert_eq!(asked, refused("token_unbound"));
}

#[test]
fn a_token_is_of_use_to_the_client_alone_whose_certificate_it_names() {
    let bound = json!([{"claim_name": "azp", "property": "connection.dns_san_peer_certificate"}]);
    let scene = Scene::of("bind_to", &bound, "SANITIZE");
    let token = |azp: &str| Token::signed_by("es256").claim("azp", azp);
    let let_through = (200, String::new());
    assert_eq!(scene.ask(&token("phone"), Some(&scene.phone)), let_through);
    let mismatch = refused("bound_claim_mismatch");
    for (azp, certificate) in [
        ("phone", Some(&scene.thief)),
        ("phone", None),
        ("Phone", Some(&scene.phone)),
        ("", None),
    ] {
        assert_eq!(scene.ask(&token(azp), certificate), mismatch, "{azp}");
    }
    let bare = Token::signed_by("es256").without_claim("azp");
    assert_eq!(scene.ask(&bare, Some(&scene.phone)), mismatch);
    assert_eq!(scene.ask(&token("phone"), Some(&scene.phone)), let_through);
    let counted = "wasmcustom.portcullis.requests.refused.bound_claim_mismatch.demo";
    // By both versions of HTTP.
    assert_eq!(scene.envoy.stat(counted), Some(2 * 5));
}

/// What an earlier filter has found out of the device, whatever the client says of it.
#[test]
fn a_token_is_of_use_on_the_device_alone_that_an_earlier_filter_has_verified() {
    const DEVICE: &str = "phone-1";
    let typed = |name: &str, kind: &str, settings: Value| {
        let mut typed = settings;
        let kind = format!("type.googleapis.com/envoy.extensions.filters.http.{kind}");
        typed["@type"] = kind.into();
        json!({"name": format!("envoy.filters.http.{name}"), "typed_config": typed})
    };
    let header = typed(
        "header_mutation",
        "header_mutation.v3.HeaderMutation",
        json!({"mutations": {"request_mutations": [{"append": {
            "header": {"key": "x-device-id", "value": DEVICE},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }}]}}),
    );
    let state = typed(
        "set_filter_state",
        "set_filter_state.v3.Config",
        json!({"on_request_headers": [{
            "object_key": "device",
            "factory_key": "envoy.string",
            "format_string": {"text_format_source": {"inline_string": DEVICE}},
        }]}),
    );
    for (filter, to) in [
        (
            header,
            json!({"claim_name": "device.id", "header": "X-Device-Id"}),
        ),
        (
            state,
            json!({"claim_name": "device.id", "filter_state": "device"}),
        ),
    ] {
        let mut configuration = configuration();
        configuration["providers"]["demo"]["bind_to"] = json!([to]);
        let listener = Listener::portcullis(Plugin::new(&configuration));
        let listener = listener.with_first_filter(&filter);
        let envoy = Envoy::start(&Bootstrap::new([listener]));
        let ask = |device: &str| {
            let token = Token::signed_by("es256").claim("device", json!({"id": device}));
            let request = Request::get("/api").header("x-device-id", device);
            envoy.client().send(&request.bearer(token.to_string()))
        };
        assert_eq!(ask(DEVICE).status, 200, "{to}");
        let reply = ask("phone-2");
        assert_refused(&reply, 401, "bound_claim_mismatch");
        assert_eq!(reply.json()["action"], "none");
    }
}
