//! The recipes of `envoy/tls.md` as they are pasted: certificates by its commands, an authority with
//! these, and Envoys with its clusters. What has another issuer or another name is refused.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::documents::{Document, root};
use crate::support::process::{Authority as Process, ISSUER, binary};
use crate::support::{
    Authority, Bootstrap, Envoy, Plugin, Request, Token, assert_refused, configuration, until,
};

const NAME: &str = "authority.internal";

fn page() -> Document {
    Document::at(&root().join("envoy/tls.md"))
}

/// The block of this language that has this text in it.
fn block(language: &str, text: &str) -> String {
    let mut blocks = page().blocks().into_iter();
    let found = blocks.find(|block| block.language == language && block.text.contains(text));
    found.unwrap_or_else(|| panic!("no {text:?}")).text
}

/// A directory with what the commands of the page make in it.
struct Scene(TempDir);

impl Scene {
    /// With the certificates of the page, made for this name.
    fn with_certificates(name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        symlink(binary(), directory.path().join("portcullis")).unwrap();
        let scene = Self(directory);
        scene.run(&block("sh", "-keyout authority-ca.key"));
        let said = scene.run(&block("sh", "-keyout server.key").replace(NAME, name));
        assert_eq!(said, "server.pem: OK\n");
        scene
    }

    fn directory(&self) -> &Path {
        self.0.path()
    }

    fn path(&self, name: &str) -> String {
        self.directory().join(name).to_str().unwrap().to_owned()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// A shell that finds the program, and stops at the first failure.
    fn shell(&self, script: &str) -> Command {
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-eu", "-c", script])
            .current_dir(self.directory())
            .env("PATH", format!("{}:{path}", self.directory().display()));
        command
    }

    fn run(&self, script: &str) -> String {
        let Output {
            status,
            stdout,
            stderr,
        } = self.shell(script).output().unwrap();
        let told = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{script}: {told}");
        String::from_utf8(stdout).unwrap()
    }

    /// The authority of the page, on any port.
    fn authority(&self) -> Process {
        let script = block("sh", "portcullis serve")
            .replace("portcullis serve", "exec portcullis serve")
            .replace("0.0.0.0:10002", "127.0.0.1:0")
            .replace("/var/lib/portcullis", "data");
        Process::spawn(&mut self.shell(&script))
    }

    /// The block of the command line, with one more command.
    fn command_line(&self, authority: &Process, command: &str) -> String {
        let variables = block("sh", "export PORTCULLIS_AUTHORITY");
        let variables = variables.replace(&format!("https://{NAME}:10002"), &authority.url);
        let stats = block("sh", "portcullis stats");
        self.run(&format!("{variables}{stats}{command}"))
    }

    /// The cluster of the page, with what leads to a server on this machine and to the files here.
    fn cluster(&self, address: &str) -> String {
        let (host, port) = address.split_once(':').unwrap();
        let expected = format!("{{address: {NAME}, port_value: 10002}}");
        let here = format!("{{address: {host}, port_value: {port}}}");
        let cluster = block("yaml", "UpstreamTlsContext");
        assert!(cluster.contains(&expected), "{cluster}");
        self.localized(&cluster.replace(&expected, &here))
    }

    fn localized(&self, text: &str) -> String {
        text.replace("/etc/envoy", self.directory().to_str().unwrap())
    }

    /// A file by which Envoy discovers what this block, an element of a list, says.
    fn discovered(&self, kind: &str, element: &str) -> Value {
        let (name, of) = kind.rsplit_once('.').unwrap();
        let file = self.path(&format!("{of}.yaml"));
        let element = element.strip_prefix("- ").unwrap();
        let head = format!("resources:\n- \"@type\": type.googleapis.com/{name}.{of}\n  ");
        fs::write(&file, head + element).unwrap();
        json!({"path_config_source": {"path": file}, "resource_api_version": "V3"})
    }

    /// A gate that follows an authority with these keys over this cluster.
    fn gate(&self, cluster: &str, feed_keys: &[String], credential: &str) -> Envoy {
        let mut configuration = configuration();
        configuration["revocation"] = json!({
            "cluster": "revocation_authority",
            "credential": {"inline_string": credential.trim()},
            "public_keys": feed_keys,
        });
        let clusters = self.discovered("envoy.config.cluster.v3.Cluster", cluster);
        let bootstrap = Bootstrap::with_plugin(Plugin::new(&configuration));
        Envoy::start(&bootstrap.with_member("dynamic_resources", json!({"cds_config": clusters})))
    }

    /// The same, of the page's authority.
    fn gate_of(&self, cluster: &str, authority: &Process) -> Envoy {
        self.gate(cluster, &authority.feed_keys, &self.read("edge.credential"))
    }
}

/// Without the lines that have these texts, each of which is there.
fn without(block: &str, texts: &[&str]) -> String {
    assert!(texts.iter().all(|text| block.contains(text)), "{block}");
    let is_kept = |line: &&str| !texts.iter().any(|text| line.contains(text));
    let lines = block.lines().filter(is_kept);
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn request() -> Request {
    let token = Token::signed_by("es256").claim("sid", "laptop");
    Request::get("/api").bearer(token)
}

#[track_caller]
fn assert_follows(envoy: &Envoy) {
    let loaded = || envoy.stat("wasmcustom.portcullis.feed.loaded");
    until(|| envoy.log(), || loaded() == Some(1));
    let mut client = envoy.client();
    until(|| envoy.log(), || client.send(&request()).status == 200);
}

/// Expects the cluster to count refused certificates so, and no feed.
#[track_caller]
fn assert_not_believed(envoy: &Envoy, counter: &str) {
    let counter = format!("cluster.revocation_authority.ssl.{counter}");
    let count = || envoy.stat(&counter);
    until(|| envoy.log(), || count() > Some(2));
    assert_eq!(envoy.stat("wasmcustom.portcullis.feed.loaded"), Some(0));
    let reply = envoy.client().send(&request());
    assert_refused(&reply, 503, "revocation_unavailable");
}

const SAN: [&str; 2] = ["match_typed_subject_alt_names", "san_type"];

#[test]
fn a_revocation_arrives_over_the_pasted_certificates_cluster_and_commands() {
    let scene = Scene::with_certificates(NAME);
    let authority = scene.authority();
    let envoy = scene.gate_of(&scene.cluster(authority.address()), &authority);
    assert_follows(&envoy);
    let revoke = format!("portcullis revoke session --issuer {ISSUER} laptop");
    let said = scene.command_line(&authority, &revoke);
    assert!(said.contains("store writable  yes"), "{said}");
    for mut client in envoy.client_of_every_worker() {
        until(|| envoy.log(), || client.send(&request()).status == 401);
    }
    // What the page's command shows of the certificate.
    let shown = block("sh", "openssl s_client");
    let connect = format!("-connect {NAME}:10002");
    assert!(shown.contains(&connect), "{shown}");
    let shown = scene.run(&shown.replace(&connect, &format!("-connect {}", authority.address())));
    // Since OpenSSL 3.2 without the blanks.
    let shown = shown.replace("CN = ", "CN=");
    for expected in [
        "issuer=CN=authority-ca",
        "notAfter=",
        "DNS:authority.internal",
    ] {
        assert!(shown.contains(expected), "{shown}");
    }
}

#[test]
fn a_certificate_of_another_authority_is_refused_and_without_one_to_trust_believed() {
    let scene = Scene::with_certificates(NAME);
    let authority = scene.authority();
    let other = Scene::with_certificates(NAME);
    let cluster = scene.cluster(authority.address());
    let (own, others) = (
        scene.path("authority-ca.pem"),
        other.path("authority-ca.pem"),
    );
    let wrong = cluster.replace(&own, &others);
    // Both in one file, as while one takes the place of the other.
    let both = [
        other.read("authority-ca.pem"),
        scene.read("authority-ca.pem"),
    ]
    .concat();
    fs::write(scene.path("both.pem"), both).unwrap();
    let both = cluster.replace(&own, &scene.path("both.pem"));
    assert_follows(&scene.gate_of(&both, &authority));
    assert_not_believed(&scene.gate_of(&wrong, &authority), "fail_verify_error");
    let texts = ["validation_context:", "trusted_ca", SAN[0], SAN[1]];
    assert_follows(&scene.gate_of(&without(&cluster, &texts), &authority));
}

#[test]
fn a_certificate_for_another_name_is_refused_and_without_a_name_to_expect_believed() {
    let scene = Scene::with_certificates("other.internal");
    let authority = scene.authority();
    let cluster = scene.cluster(authority.address());
    assert_not_believed(&scene.gate_of(&cluster, &authority), "fail_verify_san");
    assert_follows(&scene.gate_of(&without(&cluster, &SAN), &authority));
}

#[test]
fn an_endpoint_may_say_which_name_is_expected_of_it() {
    for (name, is_believed) in [(NAME, true), ("other.internal", false)] {
        let scene = Scene::with_certificates(name);
        let authority = scene.authority();
        let cluster = without(&scene.cluster(authority.address()), &SAN);
        let cluster = cluster
            .replace(
                "sni: authority.internal",
                "auto_host_sni: true\n      auto_sni_san_validation: true",
            )
            .replace(
                "- endpoint:\n",
                "- endpoint:\n              hostname: authority.internal\n",
            );
        assert!(cluster.contains("auto_host_sni") && cluster.contains("hostname"));
        let envoy = scene.gate_of(&cluster, &authority);
        if is_believed {
            assert_follows(&envoy);
        } else {
            assert_not_believed(&envoy, "fail_verify_san");
        }
    }
}

/// The page's proxy in front of an authority on loopback.
fn proxy(scene: &Scene, authority: &Authority) -> Envoy {
    let listener = block("yaml", "DownstreamTlsContext");
    let here = "{address: 127.0.0.1, port_value: 0}";
    let there = "{address: 0.0.0.0, port_value: 10004}";
    assert!(listener.contains(there), "{listener}");
    let listener = scene.localized(&listener.replace(there, here));
    let listeners = scene.discovered("envoy.config.listener.v3.Listener", &listener);
    let bootstrap = Bootstrap::new([]).with_cluster("authority_on_loopback", authority.address());
    Envoy::start(&bootstrap.with_member("dynamic_resources", json!({"lds_config": listeners})))
}

#[test]
fn a_proxy_lets_edges_in_that_have_a_certificate_and_no_others() {
    let scene = Scene::with_certificates(NAME);
    // For edges, as the page says: the same commands with other names, and for clients.
    let authority_of_edges =
        block("sh", "-keyout authority-ca.key").replace("authority-ca", "edge-ca");
    scene.run(&authority_of_edges);
    let certificate = block("sh", "-keyout server.key");
    let (made, _) = certificate.split_once("openssl verify").unwrap();
    let made = made
        .replace("authority-ca", "edge-ca")
        .replace("serverAuth", "clientAuth")
        .replace("server.", "edge.");
    scene.run(&made);
    let authority = Authority::start();
    let proxy = proxy(&scene, &authority);
    let cluster = scene.cluster(&proxy.address_of("authority").to_string());
    let settings = authority.settings();
    let feed_keys: Vec<String> = serde_json::from_value(settings["public_keys"].clone()).unwrap();
    let credential = authority.edge_credential();

    let shown = scene.localized(&block("yaml", "edge.pem"));
    let shown = shown.replace('\n', "\n        ");
    let with_own = cluster.replace(
        "common_tls_context:\n",
        &format!("common_tls_context:\n        {}\n", shown.trim_end()),
    );
    assert_follows(&scene.gate(&with_own, &feed_keys, credential));

    let stranger = scene.gate(&cluster, &feed_keys, credential);
    let mut names = proxy.stat_names().into_iter();
    let counter = names.find(|name| name.ends_with(".ssl.fail_verify_no_cert"));
    let counter = counter.unwrap();
    until(|| stranger.log(), || proxy.stat(&counter) > Some(2));
    assert_eq!(stranger.stat("wasmcustom.portcullis.feed.loaded"), Some(0));
    let reply = stranger.client().send(&request());
    assert_refused(&reply, 503, "revocation_unavailable");
}
