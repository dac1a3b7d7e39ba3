//! A gate as in production: authorities, edges, an identity provider, a webhook, users; and what can
//! happen to it.

use std::cell::RefCell;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::observability::stats_tags;
use crate::revocation::scene::{session, settings};
use crate::support::{
    Authority, Bootstrap, Client, Envoy, ISSUER, JwksServer, Meddler, Plugin, Prometheus, Request,
    Targets, Token, jwks, reports_of_theft, until,
};

/// How much faster time runs in Prometheus: an interval is 375 ms, an hour a minute and a half.
pub(super) const HASTE: u32 = 40;

const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

pub(super) struct Scene {
    pub(super) prometheus: Prometheus,
    authority: RefCell<Authority>,
    /// Of the authority, from before what was revoked last.
    backup: TempDir,
    /// Another one that is scraped, with no edges.
    other: RefCell<Option<Authority>>,
    other_address: String,
    edge: Envoy,
    /// Between the edge and the authority.
    meddler: Meddler,
    /// An edge that trusts the other authority's key, and calls this one. It has no keys either.
    stranger: RefCell<Option<Envoy>>,
    stranger_address: RefCell<String>,
    idp: JwksServer,
    files: TempDir,
    forges: AtomicBool,
}

impl Scene {
    /// One in which all is well.
    pub(super) fn start() -> Self {
        let idp = JwksServer::with_keys(jwks(&["es256"]));
        // Of the webhook: what is sent there is not wanted.
        idp.answer("/events", 400, None, "");
        let files = tempfile::tempdir().unwrap();
        let signals = write_signals(&files, &idp, false);
        fs::write(files.path().join("secret"), SECRET).unwrap();
        let webhook = json!({
            "url": format!("http://{}/events", idp.address()),
            "secret_file": files.path().join("secret"),
        });
        let mut authority =
            Authority::for_users_with(&json!({"webhook": webhook}), &["--signals", &*signals]);
        authority.revoke("session", "saved");
        let backup = authority.back_up();
        let other = authority.start_another();
        let meddler = Meddler::before(authority.address());
        let edge = start_edge(
            &settings(&authority, &json!({})),
            meddler.address(),
            idp.address(),
        );
        let targets = Targets {
            authorities: vec![authority.address(), other.address()],
            edges: vec![edge.admin()],
        };
        let credential = authority.scrape_credential();
        let prometheus = Prometheus::start(&targets, credential, HASTE.into());
        Self {
            prometheus,
            authority: authority.into(),
            backup,
            other_address: other.address().to_string(),
            other: Some(other).into(),
            edge,
            meddler,
            stranger: None.into(),
            stranger_address: RefCell::default(),
            idp,
            files,
            forges: false.into(),
        }
    }

    pub(super) fn authority_address(&self) -> String {
        self.authority.borrow().address().to_string()
    }

    pub(super) fn other_address(&self) -> String {
        self.other_address.clone()
    }

    /// Where the stranger is scraped, which is started for this.
    pub(super) fn stranger_address(&self) -> String {
        if self.stranger_address.borrow().is_empty() {
            self.start_the_stranger();
        }
        self.stranger_address.borrow().clone()
    }

    /// What the servers have logged.
    pub(super) fn told(&self) -> String {
        format!("{}\n{}", self.authority.borrow().log(), self.edge.log())
    }

    /// Does this while users come and go.
    pub(super) fn serve_while(&self, story: impl FnOnce()) {
        let is_over = AtomicBool::new(false);
        let address = self.edge.address_of("portcullis");
        let forges = &self.forges;
        thread::scope(|scope| {
            scope.spawn(|| drive(&mut Client::new(address), forges, &is_over));
            // Also when the story panics.
            let _end = End(&is_over);
            story();
        });
    }

    /// Users sign out: at the gate, at the identity provider, and by an operator.
    pub(super) fn sign_users_out(&self) {
        let authority = self.authority.borrow();
        let mut client = self.edge.client();
        let token = |sid: &str| session(sid).claim("sub", "bob").claim("client_id", "web");
        let is_known = |sid: &str| authority.get("/v1/sessions?subject=bob").1.contains(sid);
        for sid in ["at the gate", "at the provider", "by an operator"] {
            let request = Request::get("/api").bearer(token(sid));
            assert_eq!(client.send(&request).status, 200);
        }
        until(|| self.told(), || is_known("by an operator"));
        let sign_out = Request::post("/api/sign-out", "").bearer(token("at the gate"));
        assert_eq!(client.send(&sign_out).status, 204);
        assert_eq!(
            send_signal(&authority, &logout("at the provider", "web")),
            200
        );
        authority.revoke("session", "by an operator");
        authority.revoke("subject", "mallory");
        // The edge asks about a token that its filter has.
        let refused = Request::get("/api").bearer(token("by an operator"));
        until(|| self.told(), || client.send(&refused).status == 401);
        // More than the generation has room for, so that a new one is built.
        let line = |number: u32| {
            let entry = json!({"kind": "session", "issuer": ISSUER, "value": format!("s{number}")});
            format!("{entry}\n")
        };
        authority.import(&(0..40_000).map(line).collect::<String>());
    }

    fn start_the_stranger(&self) {
        let authority = self.authority.borrow();
        let other = self.other.borrow();
        let other = other.as_ref().unwrap();
        let mut settings = settings(&authority, &json!({}));
        settings["revocation"]["public_keys"] = other.settings()["public_keys"].clone();
        // Nothing listens there.
        let nowhere = "127.0.0.1:1".parse().unwrap();
        let stranger = start_edge(&settings, authority.address(), nowhere);
        *self.stranger_address.borrow_mut() = stranger.admin().to_string();
        self.prometheus.scrape(&Targets {
            authorities: vec![authority.address(), other.address()],
            edges: vec![self.edge.admin(), stranger.admin()],
        });
        *self.stranger.borrow_mut() = Some(stranger);
    }

    /// Makes every cause that needs no other to have come to something first.
    pub(super) fn break_everything(&self) {
        self.break_the_other();
        self.restore_an_older_state();
        self.forges.store(true, Ordering::Relaxed);
        let authority = self.authority.borrow();
        assert_eq!(send_signal(&authority, &logout("refused", "another")), 400);
        for number in 0..30 {
            steal(&authority, &format!("stolen {number}"));
        }
        // The edge asks on, and learns nothing.
        self.meddler.alter(|path, body| {
            if path.starts_with("/v1/feed/deltas") {
                b"altered".to_vec()
            } else {
                body
            }
        });
        authority.revoke("session", "unheard of");
    }

    /// Its clock is an hour behind that of an edge, and its store is taken away.
    fn break_the_other(&self) {
        let other = self.other.borrow();
        let other = other.as_ref().unwrap();
        let time = now_milliseconds() + 3_600_000;
        let path = format!("/v1/feed/deltas?epoch=0&after=0&wait=0&time={time}");
        let request = ureq::get(format!("http://{}{path}", other.address()));
        let request = request.header(
            "authorization",
            format!("Bearer {}", other.edge_credential()),
        );
        let request = request.config().http_status_as_error(false).build();
        assert_eq!(request.call().unwrap().status(), 410);
        let store = other.data().join("authority.redb");
        fs::rename(&store, store.with_extension("away")).unwrap();
        let request = json!({"kind": "session", "issuer": ISSUER, "value": "a"});
        assert_eq!(other.post("/v1/revocations", &request.to_string()).0, 503);
    }

    /// The edge knows a change that the store does not have any more. The authority comes back with
    /// streams and issuers whose servers are away.
    fn restore_an_older_state(&self) {
        let mut authority = self.authority.borrow_mut();
        write_signals(&self.files, &self.idp, true);
        let loads = || {
            let log = self.edge.log();
            let loaded = |line: &&str| line.ends_with("is in force, sequence 1");
            log.lines().filter(loaded).count()
        };
        let before = loads();
        authority.restore(&self.backup);
        drop(authority);
        until(|| self.told(), || loads() > before);
    }

    /// As often as is wanted.
    pub(super) fn end_the_other(&self) {
        drop(self.other.borrow_mut().take());
    }

    /// The same.
    pub(super) fn end_the_stranger(&self) {
        drop(self.stranger.borrow_mut().take());
    }

    /// A user whose token the stranger cannot decide about.
    pub(super) fn ask_the_stranger(&self) {
        if let Some(stranger) = &*self.stranger.borrow() {
            let request = Request::get("/api").bearer(session("s"));
            assert_eq!(stranger.client().send(&request).status, 503);
        }
    }
}

/// Ends the traffic.
struct End<'s>(&'s AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends what an edge is sent all day, and forged tokens between if told to.
fn drive(client: &mut Client, with_forgeries: &AtomicBool, is_over: &AtomicBool) {
    let known = session("known").to_string();
    let forged = Token::signed_by("es256-other").header("kid", "test-es256");
    let forged = forged.to_string();
    for number in 0_u32.. {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let request = match number % 8 {
            0 => Request::get("/public"),
            1 => Request::get("/remote").bearer(session(&format!("remote {number}"))),
            2 if number % 80 == 2 => Request::get("/api"),
            2 | 3 => Request::get("/api").bearer(session(&format!("new {number}"))),
            4 | 5 if with_forgeries.load(Ordering::Relaxed) => {
                Request::get("/api").bearer(&*forged)
            }
            _ => Request::get("/api").bearer(&*known),
        };
        // What comes of it is what the alerts tell.
        let _ = client.try_send(&request);
        thread::sleep(Duration::from_millis(20));
    }
}

/// An Envoy of this configuration, which fetches the keys of one of its providers.
fn start_edge(
    configuration: &Value,
    authority: std::net::SocketAddr,
    idp: std::net::SocketAddr,
) -> Envoy {
    let mut configuration = configuration.clone();
    let mut fetched = configuration["providers"]["demo"].clone();
    let members = fetched.as_object_mut().unwrap();
    members.remove("local_jwks");
    let uri = json!({"uri": "http://idp.example/jwks", "cluster": "idp", "timeout": "5s"});
    members.insert("remote_jwks".to_owned(), json!({"http_uri": uri}));
    configuration["providers"]["idp"] = fetched;
    configuration["rules"].as_array_mut().unwrap().push(json!({
        "match": {"prefix": "/remote"}, "requires": {"provider_name": "idp"},
    }));
    configuration["activity"] = json!({"report": true, "interval": "1s"});
    configuration["sign_out"] = json!({"path": "/api/sign-out"});
    let bootstrap = Bootstrap::with_plugin(Plugin::new(&configuration))
        .with_authority(authority)
        .with_cluster("idp", idp)
        .with_workers(1)
        .with_stats_tags(stats_tags());
    let envoy = Envoy::start(&bootstrap);
    let is_trusted = authority.port() != 1 && idp.port() != 1;
    if is_trusted {
        let mut client = envoy.client();
        let request = Request::get("/remote").bearer(session("first"));
        until(|| envoy.log(), || client.send(&request).status == 200);
    }
    envoy
}

/// The signals file: an issuer, and later another one and a stream whose servers are away.
fn write_signals(files: &TempDir, idp: &JwksServer, is_broken: bool) -> String {
    let uri = format!("http://{}/jwks", idp.address());
    let mut issuers = vec![json!({
        "issuer": ISSUER, "keys": {"jwks_uri": uri}, "client_ids": ["web"],
        "receivers": {"back_channel_logout": true},
    })];
    let mut streams = Vec::new();
    if is_broken {
        issuers.push(json!({
            "issuer": "https://gone.example", "keys": {"jwks_uri": "http://127.0.0.1:1/jwks"},
            "client_ids": ["web"], "receivers": {"back_channel_logout": true},
        }));
        streams.push(json!({
            "name": "silent", "issuer": ISSUER, "audiences": ["web"],
            "delivery": {"poll": {}},
            "transmitter": {"metadata": "http://127.0.0.1:1/ssf"},
        }));
    }
    let file = files.path().join("signals.json");
    let mut signals = json!({"listen": "127.0.0.1:0", "issuers": issuers});
    if is_broken {
        signals["streams"] = streams.into();
    }
    fs::write(&file, signals.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

fn logout(sid: &str, audience: &str) -> Token {
    session(sid)
        .claim("sub", "bob")
        .header("typ", "logout+jwt")
        .claim("aud", audience)
        .claim("jti", sid)
        .claim("events", json!({LOGOUT: {}}))
        .expiring_in(120)
}

fn send_signal(authority: &Authority, token: &Token) -> u16 {
    let url = format!("{}/backchannel-logout", authority.signals_url());
    let request = ureq::post(&url).content_type("application/x-www-form-urlencoded");
    let request = request.config().http_status_as_error(false).build();
    let answer = request.send(format!("logout_token={token}").as_bytes());
    answer.unwrap().status().as_u16()
}

/// A session that two clients use in turn.
fn steal(authority: &Authority, sid: &str) {
    for body in reports_of_theft(ISSUER, sid) {
        assert_eq!(authority.post("/v1/activity", &body.to_string()).0, 204);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an edge tells the time of its machine"
)]
fn now_milliseconds() -> u128 {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_millis()
}
