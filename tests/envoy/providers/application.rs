//! An application that signs its users in at an identity provider: authorization code with PKCE
//! (RFC 7636), refresh tokens, and a public client, as a mobile application is one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::browser::{Browser, Page, agent};

/// What users are sent back to. Nothing listens there.
pub(super) const CALLBACK: &str = "http://127.0.0.1:1/callback";

/// `aud` of its access tokens.
pub(super) const API: &str = "https://api.example";

/// What an application is known by, and what it wants to be told.
#[derive(Clone, Copy)]
pub(super) struct Application {
    pub(super) client_id: &'static str,
    /// What the provider signs with for it, where the provider has a choice.
    pub(super) algorithm: &'static str,
    /// Whether a logout token for it names the session.
    pub(super) is_told_sessions: bool,
}

/// What an application has of a user who has signed in.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    pub(super) client_id: &'static str,
    pub(super) access: String,
    pub(super) refresh: String,
    pub(super) id: String,
}

/// A provider's addresses, as it publishes them.
pub(super) struct Endpoints(Value);

/// Of a test, so that nobody has to guess it.
pub(super) const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters";

impl Endpoints {
    pub(super) fn discover(issuer: &str) -> Self {
        let url = format!("{issuer}/.well-known/openid-configuration");
        let mut reply = agent().get(&url).call().expect("an answer");
        assert_eq!(reply.status(), 200, "{url}");
        Self(reply.body_mut().read_json().expect("JSON"))
    }

    pub(super) fn of(&self, name: &str) -> &str {
        let endpoint = self.0[name].as_str();
        endpoint.unwrap_or_else(|| panic!("no `{name}` in {}", self.0))
    }

    /// Where a browser begins to sign in; `more` is more parameters.
    pub(super) fn authorization(&self, application: &Application, more: &str) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let callback = CALLBACK.replace(':', "%3A").replace('/', "%2F");
        let api = API.replace(':', "%3A").replace('/', "%2F");
        format!(
            "{}?response_type=code&client_id={}&redirect_uri={callback}&resource={api}\
             &scope=openid%20offline_access%20api&state=s&nonce=n&{more}\
             &code_challenge={challenge}&code_challenge_method=S256",
            self.of("authorization_endpoint"),
            application.client_id
        )
    }

    /// The tokens for a code that a browser has brought back.
    #[track_caller]
    pub(super) fn redeem(&self, application: &Application, callback: &Page) -> Tokens {
        let code = callback.parameter("code");
        let code = code.unwrap_or_else(|| panic!("no code: {callback:?}"));
        let tokens = self.ask(&[
            ("grant_type", "authorization_code"),
            ("client_id", application.client_id),
            ("code", code),
            ("code_verifier", VERIFIER),
            ("redirect_uri", CALLBACK),
            ("resource", API),
        ]);
        let tokens = tokens.unwrap_or_else(|error| panic!("no tokens: {error}"));
        let text = |name: &str| tokens[name].as_str().expect(name).to_owned();
        Tokens {
            client_id: application.client_id,
            access: text("access_token"),
            refresh: text("refresh_token"),
            id: text("id_token"),
        }
    }

    /// What a refresh gives, or the error that the provider answers.
    pub(super) fn refresh(&self, tokens: &Tokens) -> Result<Tokens, String> {
        let fresh = self.ask(&[
            ("grant_type", "refresh_token"),
            ("client_id", tokens.client_id),
            ("refresh_token", &tokens.refresh),
        ])?;
        let text = |name: &str| fresh[name].as_str().map(str::to_owned);
        Ok(Tokens {
            access: text("access_token").expect("an access token"),
            refresh: text("refresh_token").unwrap_or_else(|| tokens.refresh.clone()),
            ..tokens.clone()
        })
    }

    fn ask(&self, form: &[(&str, &str)]) -> Result<Value, String> {
        let request = agent().post(self.of("token_endpoint"));
        let mut reply = request.send_form(form.iter().copied()).expect("an answer");
        let text = reply.body_mut().read_to_string().expect("text");
        if reply.status() == 200 {
            Ok(serde_json::from_str(&text).expect("JSON"))
        } else {
            Err(format!("{}: {text}", reply.status()))
        }
    }
}

impl Tokens {
    /// The claims of the access token.
    pub(super) fn claims(&self) -> Value {
        claims(&self.access)
    }
}

/// A JWT's claims, of one that was not verified.
pub(super) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a JWT");
    let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&payload).expect("JSON")
}

/// What signs users in and out.
pub(super) trait Provider {
    fn issuer(&self) -> &str;

    fn endpoints(&self) -> &Endpoints;

    /// Makes an application known, whose logout tokens go to `receiver`.
    fn register(&self, application: &Application, receiver: &str);

    /// Signs the browser's user in, unless it has a session already.
    fn sign_in(&self, browser: &mut Browser, application: &Application) -> Tokens;

    /// Ends the session that the browser has.
    fn sign_out(&self, browser: &mut Browser, tokens: &Tokens);
}
