//! An identity provider, an authority, and an Envoy that follows it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::application::{API, Application, Provider, Tokens};
use crate::support::{
    Authority, Bootstrap, Client, Envoy, PATIENCE, Plugin, Request, Response, assert_refused, until,
};

/// Applications with a key of another algorithm each.
pub(super) const WEB: Application = Application {
    client_id: "web",
    algorithm: "RS256",
    is_told_sessions: true,
};
pub(super) const PHONE: Application = Application {
    client_id: "phone",
    algorithm: "ES256",
    is_told_sessions: true,
};
/// One that is not told which session has ended.
pub(super) const OLD: Application = Application {
    client_id: "old",
    algorithm: "RS256",
    is_told_sessions: false,
};
pub(super) const TELEVISION: Application = Application {
    client_id: "television",
    algorithm: "EdDSA",
    is_told_sessions: true,
};

/// How long ago the user may have signed in to pay.
pub(super) const FRESH: Duration = Duration::from_secs(8);

pub(super) struct Scene<P> {
    pub(super) provider: P,
    pub(super) authority: Authority,
    _envoy: Envoy,
    workers: Vec<Client>,
}

impl<P: Provider> Scene<P> {
    /// One in which every worker has loaded the feed, the provider knows these applications, and the
    /// authority is told of sign-outs.
    pub(super) fn new(provider: P, applications: &[Application]) -> Self {
        Self::with(provider, applications, |_| ())
    }

    /// The same, with changes to what the authority knows of the provider.
    pub(super) fn with(
        provider: P,
        applications: &[Application],
        change: impl FnOnce(&mut Value),
    ) -> Self {
        let client_ids = applications.iter().map(|application| application.client_id);
        let mut issuer = json!({
            "issuer": provider.issuer(),
            "keys": {"discovery": format!("{}/.well-known/openid-configuration", provider.issuer())},
            "client_ids": client_ids.collect::<Vec<_>>(),
            "receivers": {"back_channel_logout": true},
        });
        change(&mut issuer);
        // Provider and authority have one clock, so that a sign-in counts a second after a cut-off.
        let authority = Authority::receiving_signals(&json!([issuer]), &["--clock-skew", "0s"]);
        let receiver = format!("{}/backchannel-logout", authority.signals_url());
        for application in applications {
            provider.register(application, &receiver);
        }
        let bootstrap = Bootstrap::with_plugin(Plugin::new(&settings(&provider, &authority)));
        let bootstrap = bootstrap
            .with_authority(authority.address())
            .with_cluster("provider", address_of(provider.issuer()));
        let envoy = Envoy::start(&bootstrap);
        let workers = envoy.client_of_every_worker();
        let generations = "wasmcustom.portcullis.feed.generations";
        until(|| envoy.log(), || envoy.stat(generations).unwrap_or(0) > 0);
        Self {
            provider,
            authority,
            _envoy: envoy,
            workers,
        }
    }

    /// Waits until every worker lets the token through: the first have to fetch the keys, and know of
    /// the feed a tick later.
    #[track_caller]
    pub(super) fn wait_until_accepted(&mut self, tokens: &Tokens) {
        let since = Instant::now();
        while self.ask(tokens).iter().any(|reply| reply.status != 200) {
            assert!(since.elapsed() < PATIENCE, "{:?}", self.ask(tokens));
        }
    }

    #[track_caller]
    pub(super) fn assert_accepted(&mut self, tokens: &Tokens) {
        for reply in self.ask(tokens) {
            assert_eq!(reply.status, 200, "{reply:?}");
        }
    }

    /// Waits until every worker refuses the token as revoked; how long that took.
    #[track_caller]
    pub(super) fn wait_until_refused(&mut self, tokens: &Tokens) -> Duration {
        let since = Instant::now();
        while self.ask(tokens).iter().any(|reply| reply.status == 200) {
            assert!(since.elapsed() < PATIENCE, "{:?}", self.ask(tokens));
        }
        self.assert_refused(tokens);
        since.elapsed()
    }

    #[track_caller]
    pub(super) fn assert_refused(&mut self, tokens: &Tokens) {
        for reply in self.ask(tokens) {
            assert_refused(&reply, 401, "token_revoked");
        }
    }

    fn ask(&mut self, tokens: &Tokens) -> Vec<Response> {
        self.ask_for("/api", tokens)
    }

    /// The answer of every worker.
    pub(super) fn ask_for(&mut self, path: &str, tokens: &Tokens) -> Vec<Response> {
        let request = Request::get(path).bearer(&*tokens.access);
        let workers = self.workers.iter_mut();
        workers.map(|client| client.send(&request)).collect()
    }

    /// Revokes what a claim of the token names.
    pub(super) fn revoke(&self, kind: &str, tokens: &Tokens, claim: &str) {
        let claims = tokens.claims();
        let revocation = json!({"kind": kind, "issuer": claims["iss"], "value": claims[claim]});
        let (status, answer) = self
            .authority
            .post("/v1/revocations", &revocation.to_string());
        assert_eq!(status, 200, "{answer}");
    }
}

/// What an operator writes for such a provider.
fn settings(provider: &impl Provider, authority: &Authority) -> Value {
    let keys = provider.endpoints().of("jwks_uri");
    let mut settings = json!({
        "providers": {
            "provider": {
                "issuer": provider.issuer(),
                "audiences": [API],
                "remote_jwks": {"http_uri": {"uri": keys, "cluster": "provider", "timeout": "5s"}},
            },
        },
        "rules": [
            {
                "match": {"prefix": "/api"},
                "requires": {"provider_name": "provider", "token_types": ["at+jwt"]},
            },
            {
                "match": {"prefix": "/pay"},
                "requires": {
                    "provider_name": "exact",
                    "token_types": ["at+jwt"],
                    "max_authentication_age": format!("{}s", FRESH.as_secs()),
                },
            },
        ],
        "revocation": authority.settings(),
    });
    // For the age of a sign-in to the second: all have one clock.
    settings["providers"]["exact"] = settings["providers"]["provider"].clone();
    settings["providers"]["exact"]["clock_skew_seconds"] = 0.into();
    settings["revocation"]["reload_jitter"] = "0.001s".into();
    settings
}

pub(super) fn address_of(url: &str) -> SocketAddr {
    let address = url.split('/').nth(2).expect("a host");
    address.parse().expect("address and port")
}
