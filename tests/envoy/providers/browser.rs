//! A user's browser, as far as signing in and out needs one: it keeps cookies, follows redirects and
//! sends forms.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;
use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body};

use super::application::CALLBACK;
use crate::support::PATIENCE;

/// A browser without cookies at first. It sends all that it has to every page, since it visits one site
/// only.
pub(super) struct Browser {
    /// Who signs in with it.
    pub(super) user: &'static str,
    agent: Agent,
    cookies: BTreeMap<String, String>,
}

/// What a browser has come to.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) url: String,
    pub(super) status: u16,
    pub(super) text: String,
}

/// Redirects that are followed for one click.
const MAX_REDIRECTS: usize = 10;

impl Browser {
    pub(super) fn of(user: &'static str) -> Self {
        Self {
            user,
            agent: agent(),
            cookies: BTreeMap::new(),
        }
    }

    /// Opens an address, and what it redirects to.
    pub(super) fn open(&mut self, url: &str) -> Page {
        let request = self.agent.get(url).header("cookie", self.cookie_line());
        let response = request.call();
        self.follow(url, response)
    }

    /// Sends the page's form, with these fields besides those that are hidden in it.
    #[track_caller]
    pub(super) fn submit(&mut self, page: &Page, fields: &[(&str, &str)]) -> Page {
        let hidden = ["prompt", "xsrf"].map(|name| (name, page.attribute_after(name, "value")));
        let hidden = hidden
            .iter()
            .filter_map(|(name, value)| Some((*name, (*value)?)));
        let form: Vec<_> = hidden.chain(fields.iter().copied()).collect();
        let action = page.attribute_after("<form", "action");
        let action = action.unwrap_or_else(|| panic!("no form: {page:?}"));
        let request = self.agent.post(action).header("cookie", self.cookie_line());
        let response = request.send_form(form);
        self.follow(action, response)
    }

    /// Sends JSON, as a script in a page does.
    pub(super) fn call(&mut self, method: &str, url: &str, body: &Value) -> Page {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(url)
            .header("content-type", "application/json")
            .header("cookie", self.cookie_line())
            .body(body.to_string());
        let response = self.agent.run(request.expect("a request"));
        self.follow(url, response)
    }

    fn follow(&mut self, url: &str, response: Result<Response<Body>, ureq::Error>) -> Page {
        let (mut url, mut response) = (url.to_owned(), response);
        for _ in 0..MAX_REDIRECTS {
            let reply = response.unwrap_or_else(|error| panic!("{url}: {error}"));
            self.keep_cookies(reply.headers());
            let location = reply.headers().get("location");
            let Some(location) = location.map(|value| value.to_str().expect("text")) else {
                return Page::new(url, reply);
            };
            url = absolute(&url, location);
            if url.starts_with(CALLBACK) {
                return Page::new(url, reply);
            }
            let request = self.agent.get(&url).header("cookie", self.cookie_line());
            response = request.call();
        }
        panic!("redirected more than {MAX_REDIRECTS} times, lastly to {url}");
    }

    fn keep_cookies(&mut self, headers: &HeaderMap) {
        for line in headers.get_all("set-cookie") {
            let line = line.to_str().expect("text");
            let pair = line.split_once(';').map_or(line, |(pair, _)| pair);
            let (name, value) = pair.split_once('=').expect("a name and a value");
            // One that is taken away has no value.
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    fn cookie_line(&self) -> String {
        let mut line = String::new();
        for (name, value) in &self.cookies {
            let separator = if line.is_empty() { "" } else { "; " };
            write!(line, "{separator}{name}={value}").expect("room");
        }
        line
    }
}

impl Page {
    fn new(url: String, mut reply: Response<Body>) -> Self {
        let text = reply.body_mut().read_to_string();
        Self {
            url,
            status: reply.status().as_u16(),
            text: text.expect("a page of text"),
        }
    }

    /// A parameter of the address.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.url.split_once('?')?;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find_map(|(other, value)| (other == name).then_some(value))
    }

    /// The value of the first attribute of this name behind some other text.
    fn attribute_after(&self, text: &str, attribute: &str) -> Option<&str> {
        let text = if text.starts_with('<') {
            text.to_owned()
        } else {
            format!("name=\"{text}\"")
        };
        let (_, rest) = self.text.split_once(&text)?;
        let (_, rest) = rest.split_once(&format!("{attribute}=\""))?;
        Some(rest.split_once('"')?.0)
    }
}

/// A client that takes any answer as it is.
pub(super) fn agent() -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(PATIENCE));
    config.build().into()
}

fn absolute(page: &str, location: &str) -> String {
    if !location.starts_with('/') {
        return location.to_owned();
    }
    let origin = page.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    origin + location
}
