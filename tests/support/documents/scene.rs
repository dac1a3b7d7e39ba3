//! A directory in which the shell blocks of a document find what they name.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Block, Document, Trial};

/// What the commands of a block work with.
pub(crate) struct Scene<'a> {
    pub(crate) program: &'a Path,
    /// Where the authority is, and the credential of an operator there.
    pub(crate) authority: &'a str,
    pub(crate) credential: &'a str,
    /// A gate for `http://127.0.0.1:10000`; without one, `curl` does nothing and is not heard.
    pub(crate) gate: Option<SocketAddr>,
    /// Where the authority is told of sign-outs, for `http://127.0.0.1:10003`.
    pub(crate) signals: Option<SocketAddr>,
}

/// A stand-in for `portcullis` and `curl` that records how each of them ended. `serve` goes on
/// until it is stopped: here, until it says where it listens.
const STAND_IN: &str = r#"#!/bin/sh
name=${0##*/}
if [ "$name $1" = "portcullis serve" ]; then
    "$PORTCULLIS" "$@" >served & server=$!
    while kill -0 $server 2>/dev/null && [ ! -s served ]; do sleep 0.05; done
    kill $server 2>/dev/null
    wait $server
    cat served
    [ -s served ]
elif [ "$name" = portcullis ]; then
    "$PORTCULLIS" "$@"
elif [ -n "$GATE" ]; then
    command -p curl -sS --noproxy '*' --connect-to "127.0.0.1:10000:$GATE" \
        --connect-to "127.0.0.1:10003:${SIGNALS:-127.0.0.1:10003}" "$@"
fi
code=$?
echo "$code $name $*" >>"$SCENE/ended"
exit $code
"#;

impl Scene<'_> {
    /// Runs all blocks of the document that can be run, in one shell, as a reader does who pastes
    /// them one after the other; says what went wrong.
    pub(crate) fn run(&self, document: &Document) -> Vec<String> {
        let mut blocks = document.shell_blocks();
        blocks.retain(|block| block.trial() == Ok(Trial::Run));
        let directory = TempDir::new().unwrap();
        self.furnish(directory.path());
        let mut script = String::new();
        for (index, block) in blocks.iter().enumerate() {
            // What would leave the directory of the test, or be reached from without.
            let text = block.text.replace("/var/lib/portcullis", "data");
            let text = text.replace("0.0.0.0:10002", "127.0.0.1:0");
            let streams = format!("exec <token.jwt >said.{index} 2>told.{index}\n");
            script.extend([streams, text]);
        }
        script.push_str("echo >\"$SCENE/at_the_end\"\n");
        let path = format!(
            "{}/bin:{}",
            directory.path().display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let status = Command::new("sh")
            .args(["-u", "-c", &script])
            .current_dir(directory.path())
            .env("PATH", path)
            .env("SCENE", directory.path())
            .env("PORTCULLIS", self.program)
            .env("PORTCULLIS_AUTHORITY", self.authority)
            .env("PORTCULLIS_CREDENTIAL", self.credential)
            .env("GATE", text(self.gate))
            .env("SIGNALS", text(self.signals))
            .stdin(Stdio::null())
            .status();
        status.unwrap();
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap_or_default();
        let mut faults = Vec::new();
        let mut told = |line: usize, fault: &str| {
            faults.push(format!("{}:{line}: {fault}", document.name));
        };
        for (index, block) in blocks.iter().enumerate() {
            let (said, errors) = (
                read(&format!("said.{index}")),
                read(&format!("told.{index}")),
            );
            let is_heard = self.gate.is_some() || !block.text.contains("curl");
            if let Some(missing) = missing(block, &said)
                && is_heard
            {
                told(
                    block.line,
                    &format!("expected {missing:?} in {said:?}; {errors}"),
                );
            }
        }
        for line in read("ended").lines() {
            // That something is revoked is an answer, and so is that an authority, which was just
            // started, cannot know yet whether every edge has heard of it.
            let answers = ["0 ", "1 portcullis check ", "11 portcullis revoke "];
            if !answers.iter().any(|answer| line.starts_with(answer)) {
                told(0, &format!("ended with {line}"));
            }
        }
        if !directory.path().join("at_the_end").is_file() {
            let last = (0..blocks.len())
                .rev()
                .map(|index| read(&format!("told.{index}")));
            let last = last.into_iter().find(|errors| !errors.is_empty());
            told(
                0,
                &format!("the shell gave up: {}", last.unwrap_or_default()),
            );
        }
        faults
    }

    fn furnish(&self, directory: &Path) {
        for name in ["bin", "target/debug", "target/demo"] {
            fs::create_dir_all(directory.join(name)).unwrap();
        }
        let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
        for name in ["portcullis", "curl", "helm"] {
            let path = directory.join("bin").join(name);
            let script = if name == "helm" {
                "#!/bin/sh\ncat \"$SCENE/envoy.yaml\"\n"
            } else {
                STAND_IN
            };
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        symlink(
            "../../bin/portcullis",
            directory.join("target/debug/portcullis"),
        )
        .unwrap();
        let keys = super::root().join("tests/vectors/keys");
        for algorithm in ["rs256", "es256", "eddsa"] {
            let name = format!("{algorithm}.private.jwk.json");
            fs::copy(keys.join(&name), directory.join(&name)).unwrap();
        }
        let key = directory.join("es256.private.jwk.json");
        fs::copy(&key, directory.join("target/demo/es256.jwk")).unwrap();
        write("target/demo/admin.credential", self.credential);
        let set = self.output(&["jwks".as_ref(), key.as_ref()]);
        write("envoy.yaml", &envoy(&set).to_string());
        write("request-authentication.yaml", REQUEST_AUTHENTICATION);
        write("authorization-policy.yaml", AUTHORIZATION_POLICY);
        let claims = ["--issuer", "https://issuer.example", "--audience", "api"];
        let names = ["--subject", "ada", "--session", "laptop"];
        let arguments = ["mint", "--key"].iter().map(AsRef::as_ref);
        let arguments = arguments.chain([key.as_os_str()]);
        let arguments = arguments.chain(claims.iter().chain(&names).map(AsRef::as_ref));
        write("token.jwt", &self.output(&arguments.collect::<Vec<_>>()));
        let (certificate, key) = super::super::certificate::make_certificate(directory);
        fs::rename(certificate, directory.join("server.pem")).unwrap();
        fs::rename(key, directory.join("server.key")).unwrap();
    }

    fn output(&self, arguments: &[&std::ffi::OsStr]) -> String {
        let output = Command::new(self.program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

fn text(address: Option<SocketAddr>) -> String {
    address.map_or(String::new(), |address| address.to_string())
}

/// The first line of the answer in the document that is not there, in whatever order headers come.
/// `…` stands for anything. Blanks do not matter, and one instant is as good as another.
fn missing(block: &Block, said: &str) -> Option<String> {
    let said = comparable(said);
    let has = |line: &&str| {
        let mut rest = Some(said.as_str());
        for piece in line.split('…') {
            let piece = comparable(piece);
            rest = rest.and_then(|rest| Some(rest.split_once(&*piece)?.1));
        }
        rest.is_some()
    };
    let mut lines = block.answer.as_deref().unwrap_or_default().lines();
    lines.find(|line| !has(line)).map(str::to_owned)
}

fn comparable(text: &str) -> String {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    for word in &mut words {
        let is_instant = word.len() == 20 && word.ends_with('Z') && word.contains('T');
        if is_instant {
            *word = "<instant>";
        }
    }
    words.concat()
}

/// A file of Envoy with a filter of each kind that the commands take.
fn envoy(keys: &str) -> Value {
    let provider = json!({
        "issuer": "https://issuer.example", "audiences": ["api"],
        "local_jwks": {"inline_string": keys},
    });
    let rule = json!({"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}});
    let settings = json!({"providers": {"idp": provider}, "rules": [rule]});
    let gate = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "failure_policy": "FAIL_RELOAD",
            "vm_config": {"code": {"local": {"filename": "/etc/envoy/portcullis.wasm"}}},
            "configuration": {
                "@type": "type.googleapis.com/google.protobuf.Struct",
                "value": settings,
            },
        },
    });
    let mut native = settings.clone();
    native["@type"] =
        "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication".into();
    let listener = |name: &str, filter: &str, settings: &Value| {
        json!({"name": name, "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {"http_filters": [{"name": filter, "typed_config": settings}]},
        }]}]})
    };
    json!({"static_resources": {"listeners": [
        listener("gate", "envoy.filters.http.wasm", &gate),
        listener("native", "envoy.filters.http.jwt_authn", &native),
    ]}})
}

const REQUEST_AUTHENTICATION: &str = "\
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: api, namespace: default}
spec: {jwtRules: [{issuer: 'https://issuer.example', audiences: [api]}]}
";

const AUTHORIZATION_POLICY: &str = "\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: api, namespace: default}
spec: {rules: [{from: [{source: {requestPrincipals: ['*']}}]}]}
";
