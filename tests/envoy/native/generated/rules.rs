//! The requests that a generated rule matches, as JSON and as a model.
//!
//! The model is not the judge of the two filters. It only tells which facts hold of a request, so
//! that a deviation cannot excuse a request that it is not about.

use regex_lite::Regex;
use serde_json::{Value, json};

use super::Features;
use crate::support::Random;

/// A request as far as rules look at it.
#[derive(Clone, Debug)]
pub(super) struct Aim {
    pub(super) method: &'static str,
    pub(super) host: &'static str,
    /// Without the query.
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) parameters: Vec<(&'static str, &'static str)>,
}

/// `RouteMatch`.
#[derive(Clone, Debug)]
pub(super) struct Matcher {
    path: PathMatcher,
    ignores_case: bool,
    host: Option<HostMatcher>,
    header: Option<HeaderMatcher>,
    parameter: Option<ParameterMatcher>,
}

#[derive(Clone, Copy, Debug)]
enum PathMatcher {
    Prefix(&'static str),
    Exact(&'static str),
    Segments(&'static str),
    /// A pattern, and a path that fits.
    Pattern(&'static str, &'static str),
}

/// A condition on the host, and the name of the header in the rule.
#[derive(Clone, Copy, Debug)]
struct HostMatcher {
    name: &'static str,
    value: HeaderMatcher,
}

#[derive(Clone, Copy, Debug)]
enum HeaderMatcher {
    Exact(&'static str),
    Prefix(&'static str),
    Present(bool),
    /// Anything but this.
    Not(&'static str),
    /// Anything but this, and nothing.
    NotOrAbsent(&'static str),
    Range(i64, i64),
}

#[derive(Clone, Copy, Debug)]
enum ParameterMatcher {
    Exact(&'static str),
    Present,
}

/// Hosts that requests are for.
const HOSTS: &[&str] = &["api.example", "admin.example", "admin.example:8443"];
const HEADER: &str = "x-kind";
const PARAMETER: &str = "mode";
const HEADER_VALUES: &[&str] = &["a", "alpha", "beta", "7", "12", "x7"];
const PARAMETER_VALUES: &[&str] = &["full", "short", "", "ful%6c"];

/// Paths that fit some of the matchers below.
pub(super) const PATHS: &[&str] = &[
    "/api",
    "/api/",
    "/api/orders",
    "/API/orders",
    "/apiary",
    "/public",
    "/public/info",
    "/publicity",
    "/static/app.js",
    "/files/report.txt",
    "/v2/items/7",
    "/v2",
    "/healthz",
    "/",
];

impl Matcher {
    /// Everything.
    pub(super) const fn everything() -> Self {
        Self {
            path: PathMatcher::Prefix("/"),
            ignores_case: false,
            host: None,
            header: None,
            parameter: None,
        }
    }

    pub(super) fn random(random: &mut Random) -> Self {
        use PathMatcher::{Exact, Pattern, Prefix, Segments};
        let path = *random.pick(&[
            Prefix("/api"),
            Prefix("/public"),
            Prefix("/static/"),
            Prefix("/v2/items"),
            Exact("/healthz"),
            Exact("/api/orders"),
            Exact("/public/info"),
            Segments("/api"),
            Segments("/public"),
            Segments("/v2"),
            Pattern("/v[0-9]+/.*", "/v3/x"),
            Pattern("/files/[a-z]+\\.(txt|csv)", "/files/list.csv"),
            Pattern(".*\\.js", "/static/lib/a.js"),
        ]);
        let host = random.chance(15).then(|| HostMatcher::random(random));
        let header = random.chance(20).then(|| HeaderMatcher::random(random));
        let parameter = random
            .chance(12)
            .then(|| *random.pick(&[ParameterMatcher::Exact("full"), ParameterMatcher::Present]));
        Self {
            path,
            ignores_case: !matches!(path, Pattern(..)) && random.chance(15),
            host,
            header,
            parameter,
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let mut json = match self.path {
            PathMatcher::Prefix(text) => json!({"prefix": text}),
            PathMatcher::Exact(text) => json!({"path": text}),
            PathMatcher::Segments(text) => json!({"path_separated_prefix": text}),
            PathMatcher::Pattern(pattern, _) => json!({"safe_regex": {"regex": pattern}}),
        };
        if self.ignores_case {
            json["case_sensitive"] = false.into();
        }
        let host = self.host.iter().map(|host| host.value.to_json(host.name));
        let header = self.header.iter().map(|header| header.to_json(HEADER));
        let headers: Vec<_> = host.chain(header).collect();
        if !headers.is_empty() {
            json["headers"] = headers.into();
        }
        if let Some(parameter) = self.parameter {
            json["query_parameters"] = json!([parameter.to_json()]);
        }
        json
    }

    pub(super) fn features(&self, features: &mut Features) {
        features.add(match self.path {
            PathMatcher::Prefix(_) => "match by prefix",
            PathMatcher::Exact(_) => "match by path",
            PathMatcher::Segments(_) => "match by path_separated_prefix",
            PathMatcher::Pattern(..) => "match by safe_regex",
        });
        features.add_if(self.ignores_case, "match without regard to case");
        features.add_if(self.host.is_some(), "match by host");
        features.add_if(self.header.is_some(), "match by header");
        features.add_if(self.parameter.is_some(), "match by parameter");
    }

    /// Changes a request so that it fits.
    pub(super) fn satisfy(&self, aim: &mut Aim, random: &mut Random) {
        aim.path = match self.path {
            PathMatcher::Prefix(text) => format!("{text}{}", random.pick(&["", "x", "/y"])),
            PathMatcher::Exact(text) => text.to_owned(),
            PathMatcher::Segments(text) => format!("{text}{}", random.pick(&["", "/z"])),
            PathMatcher::Pattern(_, example) => example.to_owned(),
        };
        if self.ignores_case && random.chance(50) {
            aim.path = aim.path.to_ascii_uppercase();
        }
        if let Some(host) = self.host {
            let mut hosts = HOSTS.iter();
            let fits = hosts.find(|value| host.value.matches(&[**value]));
            aim.host = fits.unwrap_or(&HOSTS[0]);
        }
        if let Some(value) = self.header.and_then(HeaderMatcher::example) {
            aim.headers = vec![(HEADER, value)];
        }
        if self.parameter.is_some() {
            aim.parameters = vec![(PARAMETER, "full")];
        }
    }

    /// Whether the request fits, with this in place of its path.
    pub(super) fn matches(&self, path: &str, aim: &Aim) -> bool {
        self.path.matches(path, self.ignores_case)
            && self.host.is_none_or(|host| host.value.matches(&[aim.host]))
            && self.header.is_none_or(|header| {
                let values: Vec<_> = aim.headers.iter().map(|(_, value)| *value).collect();
                header.matches(&values)
            })
            && self
                .parameter
                .is_none_or(|parameter| parameter.matches(aim))
    }
}

/// A host, headers and parameters that may or may not match.
pub(super) fn clutter(aim: &mut Aim, random: &mut Random) {
    if random.chance(15) {
        aim.host = *random.pick(HOSTS);
    }
    if aim.headers.is_empty() && random.chance(25) {
        aim.headers.push((HEADER, *random.pick(HEADER_VALUES)));
    }
    if random.chance(8) {
        aim.headers.push((HEADER, *random.pick(HEADER_VALUES)));
    }
    if aim.parameters.is_empty() && random.chance(20) {
        let value = *random.pick(PARAMETER_VALUES);
        aim.parameters.push((PARAMETER, value));
    }
    if random.chance(5) {
        let value = *random.pick(PARAMETER_VALUES);
        aim.parameters.push((PARAMETER, value));
    }
}

impl PathMatcher {
    fn matches(self, path: &str, ignores_case: bool) -> bool {
        let folded = |text: &str| {
            if ignores_case {
                text.to_ascii_lowercase()
            } else {
                text.to_owned()
            }
        };
        let path = folded(path);
        match self {
            Self::Prefix(text) => path.starts_with(&folded(text)),
            Self::Exact(text) => path == folded(text),
            Self::Segments(text) => {
                let rest = path.strip_prefix(&folded(text));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Self::Pattern(pattern, _) => {
                let whole = Regex::new(&format!("^(?:{pattern})$")).expect("a pattern");
                whole.is_match(&path)
            }
        }
    }
}

impl HostMatcher {
    fn random(random: &mut Random) -> Self {
        use HeaderMatcher::{Exact, Not, NotOrAbsent, Prefix, Present};
        Self {
            name: *random.pick(&["host", "Host", ":authority"]),
            value: *random.pick(&[
                Exact("admin.example"),
                Exact("api.example"),
                Prefix("admin."),
                Present(true),
                Present(false),
                Not("admin.example"),
                NotOrAbsent("api.example"),
            ]),
        }
    }
}

impl HeaderMatcher {
    fn random(random: &mut Random) -> Self {
        *random.pick(&[
            Self::Exact("a"),
            Self::Prefix("al"),
            Self::Present(true),
            Self::Present(false),
            Self::Not("beta"),
            Self::NotOrAbsent("beta"),
            Self::Range(5, 12),
        ])
    }

    fn to_json(self, name: &str) -> Value {
        let exact = |text: &str| json!({"name": name, "string_match": {"exact": text}});
        match self {
            Self::Exact(text) => exact(text),
            Self::Prefix(text) => json!({"name": name, "string_match": {"prefix": text}}),
            Self::Present(is_there) => json!({"name": name, "present_match": is_there}),
            Self::Not(text) | Self::NotOrAbsent(text) => {
                let mut json = exact(text);
                json["invert_match"] = true.into();
                if let Self::NotOrAbsent(_) = self {
                    json["treat_missing_header_as_empty"] = true.into();
                }
                json
            }
            Self::Range(start, end) => {
                json!({"name": name, "range_match": {"start": start, "end": end}})
            }
        }
    }

    const fn example(self) -> Option<&'static str> {
        match self {
            Self::Exact(text) => Some(text),
            Self::Prefix(_) => Some("alpha"),
            Self::Present(true) | Self::Not(_) | Self::NotOrAbsent(_) => Some("x7"),
            Self::Present(false) => None,
            Self::Range(..) => Some("7"),
        }
    }

    fn matches(self, values: &[&str]) -> bool {
        let is_absent = values.is_empty();
        let mut values = values.iter().copied();
        match self {
            Self::Present(is_there) => is_absent != is_there,
            Self::NotOrAbsent(_) if is_absent => true,
            _ if is_absent => false,
            Self::Exact(text) => values.any(|value| value == text),
            Self::Prefix(text) => values.any(|value| value.starts_with(text)),
            Self::Not(text) | Self::NotOrAbsent(text) => !values.any(|value| value == text),
            Self::Range(start, end) => values.any(|value| {
                let number = value.parse::<i64>();
                number.is_ok_and(|number| (start..end).contains(&number))
            }),
        }
    }
}

impl ParameterMatcher {
    fn to_json(self) -> Value {
        match self {
            Self::Exact(text) => json!({"name": PARAMETER, "string_match": {"exact": text}}),
            Self::Present => json!({"name": PARAMETER, "present_match": true}),
        }
    }

    fn matches(self, aim: &Aim) -> bool {
        let first = aim.parameters.first();
        first.is_some_and(|(_, value)| match self {
            Self::Exact(text) => *value == text,
            Self::Present => true,
        })
    }
}
