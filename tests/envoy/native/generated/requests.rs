//! Generated requests.

use std::fmt::Write as _;

use super::configuration::Configuration;
use super::provider::{Location, Provider};
use super::requirement::Requirement;
use super::rules::{self, Aim, PATHS};
use super::{Features, tokens};
use crate::support::{Random, Request};

/// A request, and what is known about it.
pub(super) struct Generated {
    pub(super) request: Request,
    pub(super) features: Features,
}

/// What goes over the wire, before it is put together.
struct Draft {
    aim: Aim,
    /// The path as it is sent.
    path: String,
    headers: Vec<(String, String)>,
    /// Parameters of the query, encoded.
    parameters: Vec<String>,
    cookies: Vec<String>,
}

pub(super) fn random(random: &mut Random, configuration: &Configuration) -> Generated {
    let mut features = configuration.features.clone();
    let method = *random.pick(&["GET", "GET", "GET", "POST", "DELETE"]);
    let mut aim = Aim {
        method,
        host: "api.example",
        path: (*random.pick(PATHS)).to_owned(),
        headers: Vec::new(),
        parameters: Vec::new(),
    };
    if random.chance(75) {
        let rule = random.pick(&configuration.rules);
        rule.matcher.satisfy(&mut aim, random);
    }
    rules::clutter(&mut aim, random);
    let mut draft = Draft {
        path: spelled(&aim.path, random, &mut features),
        aim,
        headers: Vec::new(),
        parameters: Vec::new(),
        cookies: Vec::new(),
    };
    let decisive = draft.decisive_rule(configuration, &mut features);
    draft.tokens(random, configuration, decisive, &mut features);
    draft.extras(random, configuration, &mut features);
    let request = draft.assembled(random, &mut features);
    Generated { request, features }
}

/// Another spelling of the path, now and then.
fn spelled(path: &str, random: &mut Random, features: &mut Features) -> String {
    if !random.chance(8) {
        return path.to_owned();
    }
    features.add("odd path");
    let rest = &path[1..];
    match random.below(7) {
        0 => format!("/public/..{path}"),
        1 => format!("/public/%2e%2E{path}"),
        2 => format!("/.{path}"),
        3 => format!("/{path}"),
        4 if !rest.is_empty() => format!("/%{:02x}{}", rest.as_bytes()[0], &rest[1..]),
        5 => format!("{path};v=1"),
        _ => format!("/x/..;a=b{path}"),
    }
}

impl Draft {
    /// The requirement that decides, unless it is not known; and facts about the rules.
    fn decisive_rule<'c>(
        &self,
        configuration: &'c Configuration,
        features: &mut Features,
    ) -> Option<&'c Requirement> {
        let sent = configuration.rule(&self.path, &self.aim);
        let normal = configuration.rule(&self.aim.path, &self.aim);
        features.add_if(sent.is_none(), "no rule");
        features.add_if(sent != normal, "path under two rules");
        let rule = &configuration.rules[sent?];
        rule.matcher.features(features);
        rule.requirement.features(features);
        Some(&rule.requirement)
    }

    fn tokens(
        &mut self,
        random: &mut Random,
        configuration: &Configuration,
        requirement: Option<&Requirement>,
        features: &mut Features,
    ) {
        let any_token = (random.below(configuration.providers.len()), &[][..]);
        let mut wanted = requirement.map(Requirement::tokens).unwrap_or_default();
        if wanted.is_empty() || random.chance(8) {
            wanted = vec![any_token];
        }
        let everything = requirement.is_some_and(|requirement| {
            requirement.is_or_has(|part| matches!(part, Requirement::All(_)))
        });
        if !(everything && random.chance(70)) {
            wanted = vec![*random.pick(&wanted)];
        }
        if random.chance(12) {
            features.add("no token");
            return;
        }
        let mut texts: Vec<String> = Vec::new();
        for (index, audiences) in wanted {
            let provider = &configuration.providers[index];
            features.extend(&provider.features);
            let text = tokens::random(random, provider, audiences, features);
            self.place(&text, provider, random, features);
            if random.chance(5) {
                features.add("token in two locations");
                self.place(&text, provider, random, features);
            }
            texts.push(text);
        }
        if random.chance(4) {
            let provider = random.pick(&configuration.providers);
            features.extend(&provider.features);
            let text = tokens::random(random, provider, &[], features);
            self.place(&text, provider, random, features);
            texts.push(text);
        }
        texts.sort();
        texts.dedup();
        features.add_if(texts.len() > 1, "several tokens");
    }

    /// Puts a token where the provider looks for it, mostly.
    fn place(
        &mut self,
        token: &str,
        provider: &Provider,
        random: &mut Random,
        features: &mut Features,
    ) {
        if random.chance(3) {
            features.add("token elsewhere");
            let elsewhere = Location::Header("x-elsewhere", "");
            self.put(token, &elsewhere, random, features);
        } else if random.chance(if provider.has_default_locations { 8 } else { 2 }) {
            features.add("access_token in the query");
            self.parameters.push(format!("access_token={token}"));
        } else {
            self.put(token, random.pick(&provider.locations), random, features);
        }
    }

    fn put(
        &mut self,
        token: &str,
        location: &Location,
        random: &mut Random,
        features: &mut Features,
    ) {
        match location {
            Location::Header(name, prefix) => {
                let value = with_prefix(token, name, prefix, random, features);
                let name = match random.below(25) {
                    0..5 => name.to_ascii_uppercase(),
                    5 if name.contains('-') => {
                        features.add("another spelling of a location");
                        let sign = *random.pick(&["_", ".", "!"]);
                        name.replace('-', sign)
                    }
                    _ => (*name).to_owned(),
                };
                let is_named = |(other, _): &(String, String)| other.eq_ignore_ascii_case(&name);
                let is_there = self.headers.iter().any(is_named);
                if random.chance(4) {
                    self.headers.push((name.clone(), value.clone()));
                    features.add("repeated header");
                }
                features.add_if(is_there, "repeated header");
                self.headers.push((name, value));
            }
            Location::Parameter(name) => {
                features.add("token in the query");
                match random.below(20) {
                    0 | 1 => {
                        features.add("repeated parameter");
                        self.parameters.push(format!("{name}=abc"));
                        self.parameters.push(format!("{name}={token}"));
                    }
                    2 | 3 => {
                        features.add("another spelling of a location");
                        let upper = name.to_ascii_uppercase();
                        let spelling = random
                            .pick(&[
                                format!("%20{name}={token}"),
                                format!("{name}[]={token}"),
                                format!("{name}%00={token}"),
                                format!("{upper}={token}"),
                                format!("c=d;{name}={token}"),
                            ])
                            .clone();
                        self.parameters.push(spelling);
                    }
                    _ => self.parameters.push(format!("{name}={token}")),
                }
            }
            Location::Cookie(name) => {
                features.add("token in a cookie");
                match random.below(12) {
                    0 => self.cookies.push(format!("{name}=\"{token}\"")),
                    1 => {
                        features.add("repeated cookie");
                        self.cookies.push(format!("{name}=abc"));
                        self.cookies.push(format!("{name}={token}"));
                    }
                    2 | 3 => {
                        features.add("another spelling of a location");
                        let upper = name.to_ascii_uppercase();
                        let spelling = random
                            .pick(&[
                                format!("{name} ={token}"),
                                format!("{name}= {token}"),
                                format!("={name}={token}"),
                                format!("{upper}={token}"),
                                format!("{name}[]={token}"),
                                format!("a=b, {name}={token}"),
                                format!("a=b {name}={token}"),
                            ])
                            .clone();
                        self.cookies.push(spelling);
                    }
                    _ => self.cookies.push(format!("{name}={token}")),
                }
            }
        }
    }

    /// What has nothing to do with tokens.
    fn extras(
        &mut self,
        random: &mut Random,
        configuration: &Configuration,
        features: &mut Features,
    ) {
        if random.chance(6) {
            features.add("preflight");
            self.aim.method = "OPTIONS";
            self.header("Origin", "https://app.example");
            if random.chance(70) {
                self.header("Access-Control-Request-Method", "POST");
            }
        }
        let filled: Vec<_> = configuration
            .providers
            .iter()
            .flat_map(|one| &one.headers)
            .collect();
        if !filled.is_empty() && random.chance(25) {
            let name = random.pick(&filled).as_str();
            let name = match random.below(4) {
                0 => {
                    features.add("alias of a filled header");
                    let sign = *random.pick(&["_", ".", "!", "~"]);
                    name.replace('-', sign)
                }
                1 => name.to_ascii_uppercase(),
                _ => name.to_owned(),
            };
            features.add("spoofed header");
            self.header(&name, "mallory");
        }
        if random.chance(4) {
            features.add("two Authorization headers");
            self.headers
                .insert(0, ("Authorization".to_owned(), "Basic YTpi".to_owned()));
        }
        if random.chance(15) {
            self.parameters
                .push((*random.pick(&["a=b", "a=%26&b", "c=d+e%2f", "a"])).to_owned());
        }
        if random.chance(15) {
            self.cookies.push("theme=dark".to_owned());
        }
    }

    fn header(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    fn assembled(mut self, random: &mut Random, features: &mut Features) -> Request {
        for (name, value) in &self.aim.parameters {
            self.parameters.push(format!("{name}={value}"));
        }
        let is_authorization =
            |(name, _): &&(String, String)| name.eq_ignore_ascii_case("authorization");
        let repeated = self.headers.iter().filter(is_authorization).count() > 1;
        features.add_if(repeated, "repeated Authorization");
        let mut target = self.path;
        if !self.parameters.is_empty() {
            let _ = write!(target, "?{}", self.parameters.join("&"));
        }
        let mut request = Request::get(target)
            .for_host(self.aim.host)
            .method(self.aim.method);
        if self.aim.method == "POST" {
            request = request.header("content-length", "0");
        }
        for (name, value) in &self.aim.headers {
            request = request.header(name, value);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if self.cookies.len() > 1 && random.chance(30) {
            for cookie in &self.cookies {
                request = request.header("Cookie", cookie);
            }
        } else if !self.cookies.is_empty() {
            request = request.header("Cookie", self.cookies.join("; "));
        }
        request
    }
}

/// A header's value with a token in it, now and then slightly wrong.
fn with_prefix(
    token: &str,
    name: &str,
    prefix: &str,
    random: &mut Random,
    features: &mut Features,
) -> String {
    let is_scheme = name == "Authorization";
    match random.below(100) {
        0..3 if is_scheme => {
            features.add("scheme in another case");
            format!("{}{token}", prefix.to_ascii_lowercase())
        }
        3..5 if is_scheme => {
            features.add("prefix in second position");
            format!("Basic YTpi, {prefix}{token}")
        }
        5..7 if !prefix.is_empty() => {
            features.add("prefix in second position");
            format!("a=b {prefix}{token}")
        }
        7..9 if is_scheme => format!("{prefix} {token}"),
        9..12 if is_scheme => {
            features.add("more after the token");
            format!("{prefix}{token}, Basic YTpi")
        }
        12..14 => {
            features.add("empty token");
            prefix.to_owned()
        }
        14 if !prefix.is_empty() => {
            features.add("no prefix");
            token.to_owned()
        }
        15 => format!("{prefix}{token} "),
        _ => format!("{prefix}{token}"),
    }
}
