//! `oidc-provider`, a certified OpenID provider from npm.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::application::{Application, CALLBACK, Endpoints, Provider, Tokens};
use super::browser::{Browser, Page, agent};
use super::process::{Process, is_there};

/// The program that makes a provider of the library.
const PROGRAM: &str = "tests/envoy/providers/oidc_provider.mjs";

pub(super) struct OidcProvider {
    pub(super) process: Process,
    issuer: String,
    endpoints: Endpoints,
}

impl OidcProvider {
    /// With these claims in its access tokens, besides those that they need. `None` where it is not
    /// installed.
    pub(super) fn start(claims: &[&str]) -> Option<Self> {
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
        let library = target.join("tools/oidc-provider/node_modules/oidc-provider");
        let how = "`./build.sh test envoy` installs it";
        is_there(library.exists(), "oidc-provider", how)?;
        let mut command = Command::new("node");
        command
            .arg(PROGRAM)
            .arg(library.canonicalize().expect("a path"));
        let process = Process::start(command.args(claims));
        let ready: Value = process.wait_for_line(r#"{"issuer":"#);
        let issuer = ready["issuer"].as_str().expect("text").to_owned();
        let endpoints = Endpoints::discover(&issuer);
        Some(Self {
            process,
            issuer,
            endpoints,
        })
    }

    /// Has the user give the password again, whatever session there is.
    pub(super) fn sign_in_anew(&self, browser: &mut Browser, application: &Application) -> Tokens {
        self.ask(browser, application, "prompt=login%20consent")
    }

    /// Has the user sign in as a refusal asks for it. Without a consent there is no refresh token.
    pub(super) fn sign_in_as_asked(
        &self,
        browser: &mut Browser,
        application: &Application,
        asked: &str,
    ) -> Tokens {
        self.ask(browser, application, &format!("prompt=consent&{asked}"))
    }

    fn ask(&self, browser: &mut Browser, application: &Application, prompt: &str) -> Tokens {
        let page = self.authorize(browser, application, prompt);
        self.endpoints.redeem(application, &page)
    }

    /// What the browser brings back to the application, by the forms that the library has for trying it out: a
    /// sign-in, then a consent.
    pub(super) fn authorize(
        &self,
        browser: &mut Browser,
        application: &Application,
        prompt: &str,
    ) -> Page {
        let mut page = browser.open(&self.endpoints.authorization(application, prompt));
        while !page.url.starts_with(CALLBACK) {
            let user = browser.user;
            page = browser.submit(&page, &[("login", user), ("password", "any")]);
        }
        page
    }
}

impl Provider for OidcProvider {
    fn issuer(&self) -> &str {
        &self.issuer
    }

    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    fn register(&self, application: &Application, receiver: &str) {
        let metadata = json!({
            "redirect_uris": [CALLBACK],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "id_token_signed_response_alg": application.algorithm,
            "backchannel_logout_uri": receiver,
            "backchannel_logout_session_required": application.is_told_sessions,
        });
        let url = format!("{}/clients/{}", self.issuer, application.client_id);
        let reply = agent().put(url).send(metadata.to_string());
        assert_eq!(reply.expect("an answer").status(), 204);
    }

    fn sign_in(&self, browser: &mut Browser, application: &Application) -> Tokens {
        // Without a consent there is no refresh token.
        self.ask(browser, application, "prompt=consent")
    }

    /// Answers when every application was told.
    fn sign_out(&self, browser: &mut Browser, tokens: &Tokens) {
        let end = self.endpoints.of("end_session_endpoint");
        let page = browser.open(&format!("{end}?id_token_hint={}", tokens.id));
        let page = browser.submit(&page, &[("logout", "yes")]);
        assert_eq!(page.status, 200, "{page:?}");
    }
}
