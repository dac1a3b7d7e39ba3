//! `glewlwyd`, an OpenID provider from Debian.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::application::{API, Application, CALLBACK, Endpoints, Provider, Tokens, claims};
use super::browser::Browser;
use super::process::{Process, is_there};
use crate::support::until;

const PROGRAM: &str = "/usr/bin/glewlwyd";

/// The statements that make its database, as its package's own installation uses them.
const DATABASE: &str = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3";

const KEY: &str = include_str!("../../vectors/keys/rs256.private.jwk.json");

pub(super) struct Glewlwyd {
    _process: Process,
    _directory: TempDir,
    base: String,
    issuer: String,
    endpoints: Endpoints,
}

impl Glewlwyd {
    /// With users `alice` and `bob`. `None` where it is not installed.
    pub(super) fn start() -> Option<Self> {
        let is_installed = Path::new(PROGRAM).exists() && Path::new(DATABASE).exists();
        let how =
            "sudo apt-get install -y --no-install-recommends glewlwyd sqlite3 dbconfig-sqlite3";
        is_there(is_installed, "glewlwyd", how)?;
        let directory = tempfile::tempdir().expect("a temporary directory");
        make_database(directory.path());
        // It cannot be told to choose a port, and another program may take one that is free.
        let started = (0..10).find_map(|_| start_on_a_free_port(directory.path()));
        let (process, base) = started.expect("a port that stays free");
        set_up(&base);
        let issuer = format!("{base}/oidc");
        let endpoints = Endpoints::discover(&issuer);
        Some(Self {
            _process: process,
            _directory: directory,
            base,
            issuer,
            endpoints,
        })
    }
}

impl Provider for Glewlwyd {
    fn issuer(&self) -> &str {
        &self.issuer
    }

    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    fn register(&self, application: &Application, receiver: &str) {
        let mut admin = administrator(&self.base);
        let client = json!({
            "client_id": application.client_id,
            "name": application.client_id,
            "enabled": true,
            "confidential": false,
            "token_endpoint_auth_method": ["none"],
            "redirect_uri": [CALLBACK],
            "authorization_type": ["code", "refresh_token"],
            "resource": [API],
            "scope": [],
            "backchannel_logout_uri": receiver,
            "backchannel_logout_session_required": application.is_told_sessions.to_string(),
        });
        let page = admin.call("POST", &format!("{}/client/", self.base), &client);
        assert_eq!(page.status, 200, "{page:?}");
    }

    /// By the calls that the scripts of its pages make.
    fn sign_in(&self, browser: &mut Browser, application: &Application) -> Tokens {
        sign_in(browser, &self.base);
        let consent = format!("{}/auth/grant/{}", self.base, application.client_id);
        let page = browser.call("PUT", &consent, &json!({"scope": "openid"}));
        assert_eq!(page.status, 200, "{page:?}");
        let page = browser.open(&self.endpoints.authorization(application, "g_continue"));
        self.endpoints.redeem(application, &page)
    }

    /// Answers before any application was told.
    fn sign_out(&self, browser: &mut Browser, tokens: &Tokens) {
        let session = claims(&tokens.id)["sid"].take();
        let session = session.as_str().expect("a session");
        let url = format!("{}/oidc/session/{session}", self.base);
        let page = browser.call("DELETE", &url, &json!({}));
        assert_eq!(page.status, 200, "{page:?}");
    }
}

fn make_database(directory: &Path) {
    let status = Command::new("sqlite3")
        .arg(directory.join("database"))
        .stdin(File::open(DATABASE).expect("a file to read"))
        .status();
    assert!(status.expect("sqlite3").success());
}

/// The program and the address of its interface; `None` where it has ended.
fn start_on_a_free_port(directory: &Path) -> Option<(Process, String)> {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.expect("a free port");
    let file = directory.join("configuration");
    fs::write(&file, configuration(directory, address)).expect("a file to write");
    let mut command = Command::new(PROGRAM);
    let mut process = Process::start(command.arg("--config-file").arg(file));
    let mut listens = false;
    until(
        || "glewlwyd listens or ends".to_owned(),
        || {
            listens = TcpStream::connect(address).is_ok();
            listens || process.has_ended()
        },
    );
    listens.then(|| (process, format!("http://{address}/api")))
}

fn configuration(directory: &Path, address: SocketAddr) -> String {
    let directory = directory.display();
    let mut text = format!(
        "port={}\nbind_address=\"{}\"\nexternal_url=\"http://{address}\"\n",
        address.port(),
        address.ip()
    );
    for (name, value) in [
        ("login_url", "login.html"),
        ("api_prefix", "api"),
        ("log_mode", "console"),
        ("log_level", "DEBUG"),
        ("hash_algorithm", "SHA512"),
        ("user_module_path", "/usr/lib/glewlwyd/user"),
        ("client_module_path", "/usr/lib/glewlwyd/client"),
        ("user_auth_scheme_module_path", "/usr/lib/glewlwyd/scheme"),
        ("plugin_module_path", "/usr/lib/glewlwyd/plugin"),
    ] {
        writeln!(text, "{name}=\"{value}\"").expect("room");
    }
    let database = format!("{{ type = \"sqlite3\"; path = \"{directory}/database\" }}");
    writeln!(text, "cookie_secure=0\ndatabase = {database}").expect("room");
    text
}

/// Switches OpenID Connect on, and adds users. The administrator and the password are those of every
/// new database.
fn set_up(base: &str) {
    let mut admin = administrator(base);
    let keys = format!("{{\"keys\":[{KEY}]}}");
    let plugin = json!({
        "module": "oidc",
        "name": "oidc",
        "display_name": "oidc",
        "enabled": true,
        "parameters": {
            "iss": format!("{base}/oidc"),
            "jwks-private": keys,
            "jwks-show": true,
            "code-duration": 60,
            "refresh-token-duration": 86_400,
            "access-token-duration": 3_600,
            "allow-non-oidc": false,
            "auth-type-code-enabled": true,
            "auth-type-refresh-enabled": true,
            "auth-type-implicit-enabled": true,
            "auth-type-token-enabled": false,
            "auth-type-client-enabled": false,
            "auth-type-password-enabled": false,
            "pkce-allowed": true,
            "session-management-allowed": true,
            "back-channel-logout-allowed": true,
            "session-cookie-name": "session",
            "session-cookie-expiration": 86_400,
            "resource-allowed": true,
            "resource-scope": {"openid": [API]},
            "resource-client-property": "resource",
            "resource-scope-and-client-property": false,
        },
    });
    let page = admin.call("POST", &format!("{base}/mod/plugin/"), &plugin);
    assert_eq!(page.status, 200, "{page:?}");
    for name in ["alice", "bob"] {
        let user = json!({
            "username": name,
            "password": "password",
            "scope": ["g_profile", "openid"],
            "enabled": true,
        });
        let page = admin.call("POST", &format!("{base}/user/"), &user);
        assert_eq!(page.status, 200, "{page:?}");
    }
}

fn administrator(base: &str) -> Browser {
    let mut browser = Browser::of("admin");
    sign_in(&mut browser, base);
    browser
}

fn sign_in(browser: &mut Browser, base: &str) {
    let user = json!({"username": browser.user, "password": "password"});
    let page = browser.call("POST", &format!("{base}/auth/"), &user);
    assert_eq!(page.status, 200, "{page:?}");
}
