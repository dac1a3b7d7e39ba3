//! The pages, and what all of them have.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::Operator;
use super::assets::{ICON, SCRIPT, STYLE};
use super::form::TOKEN_FIELD;
use crate::authority::http::Problem;
use crate::authority::text::printable;
use crate::percent;
use crate::revocation::Cause;

pub(super) mod act;
pub(super) mod audit;
mod doubts;
pub(super) mod edges;
pub(super) mod entries;
pub(super) mod overview;
pub(super) mod search;
pub(super) mod sessions;
pub(super) mod sign_in;
pub(super) mod signals;
pub(super) mod token;
pub(super) mod users;

/// Where the console begins.
pub(super) const HOME: &str = "/console";

/// Rows of a table before there is a link to more.
const ROWS: usize = 50;

/// A page that is answered.
#[derive(Debug)]
pub(super) struct Page {
    status: StatusCode,
    markup: Markup,
}

/// A page that says why there is none.
#[derive(Debug)]
pub(super) struct Failed(pub(super) Problem);

/// Where a page stands in the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Overview,
    Search,
    Sessions,
    Revocations,
    Signals,
    Edges,
    Audit,
}

impl Section {
    const ALL: [Self; 7] = [
        Self::Overview,
        Self::Search,
        Self::Sessions,
        Self::Revocations,
        Self::Signals,
        Self::Edges,
        Self::Audit,
    ];

    const fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Search => "Search",
            Self::Sessions => "Sessions",
            Self::Revocations => "Revocations",
            Self::Signals => "Signals",
            Self::Edges => "Edges",
            Self::Audit => "Audit log",
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Overview => HOME,
            Self::Search => search::PATH,
            Self::Sessions => sessions::PATH,
            Self::Revocations => entries::PATH,
            Self::Signals => signals::PATH,
            Self::Edges => edges::PATH,
            Self::Audit => audit::PATH,
        }
    }
}

impl Page {
    /// A page for an operator.
    fn of(operator: &Operator, section: Section, title: &str, body: &Markup) -> Self {
        let caller = &operator.caller;
        let top = html! {
            nav aria-label="Console" {
                @for each in Section::ALL {
                    a href=(each.path()) aria-current=[(each == section).then_some("page")] { (each.title()) }
                }
            }
            div.operator {
                span { (name(&caller.name)) " " span.role { (caller.role.name()) } }
                form method="post" action=(sign_in::OUT) {
                    (form_token(operator))
                    button.quiet type="submit" { "Sign out" }
                }
            }
        };
        Self {
            status: StatusCode::OK,
            markup: document(title, &top, body),
        }
    }

    /// A page for anyone.
    fn for_anyone(status: StatusCode, title: &str, body: &Markup) -> Self {
        Self {
            status,
            markup: document(title, &html! {}, body),
        }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let kind = ("content-type", "text/html; charset=utf-8");
        (self.status, [kind], self.markup.into_string()).into_response()
    }
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let body = html! {
            section.card.narrow {
                h1 { (problem.title()) }
                p { (printable(problem.detail())) "." }
                p.faint { "Code " code { (problem.code()) } }
                p { a href=(HOME) { "Back to the overview" } }
            }
        };
        Page::for_anyone(problem.status(), problem.title(), &body).into_response()
    }
}

/// The page of a path that is not for this method.
pub(super) async fn not_this_method() -> Failed {
    Failed(Problem::method_not_allowed())
}

/// The page of a path that there is nothing at.
pub(super) async fn unknown() -> Failed {
    Failed(Problem::not_found())
}

fn document(title: &str, top: &Markup, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (printable(title)) " – Portcullis" }
                link rel="stylesheet" href=(STYLE);
                link rel="icon" type="image/svg+xml" href=(ICON);
                script defer src=(SCRIPT) {}
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header {
                    a.brand href=(HOME) {
                        img src=(ICON) alt="" width="22" height="22";
                        "Portcullis"
                    }
                    (top)
                }
                main #content tabindex="-1" { (body) }
            }
        }
    }
}

/// A text from outside. What cannot be seen is shown as an escape, and none turns the direction of what is
/// around it.
///
/// Names are exact, and a blank at either end of one makes it another: such blanks are written out too.
pub(super) fn name(text: &str) -> Markup {
    let rest = text.trim_start_matches(' ');
    let inner = rest.trim_end_matches(' ');
    let blanks = |count: usize| "\\u{20}".repeat(count);
    html! { bdi.name {
        @if text.is_empty() { span.faint { "(empty)" } }
        (blanks(text.len() - rest.len())) (printable(inner)) (blanks(rest.len() - inner.len()))
    } }
}

/// The same, where there may be none.
fn optional(text: Option<&str>) -> Markup {
    let none = || html! { span.faint { "–" } };
    text.map_or_else(none, name)
}

/// An instant as in RFC 3339, to the second. All of them are in UTC, as in the log.
fn time(text: &str) -> Markup {
    let shown: String = text.chars().take(19).collect();
    html! { time datetime=(text) { (shown.replace('T', " ")) } }
}

/// An instant in seconds since 1970.
fn seconds(seconds: u64) -> Markup {
    let time = crate::time::UnixTime::from_seconds(seconds);
    let time = time.unwrap_or(crate::time::UnixTime::MAX);
    self::time(&crate::authority::http::written(time))
}

/// A path of the console with what is asked of it.
fn href(path: &str, asked: &[(&str, Option<&str>)]) -> String {
    let mut href = path.to_owned();
    let asked = asked.iter();
    let asked = asked.filter_map(|(name, value)| Some((name, (*value)?)));
    for (index, (name, value)) in asked.enumerate() {
        href.push(if index == 0 { '?' } else { '&' });
        href.push_str(name);
        href.push('=');
        href.push_str(&percent::encoded(value));
    }
    href
}

/// What tells a form of this visit from one that another site has made.
fn form_token(operator: &Operator) -> Markup {
    html! { input type="hidden" name=(TOKEN_FIELD) value=(operator.forms.token()); }
}

/// A link to what did not fit into a list.
fn more(href: Option<String>) -> Markup {
    html! {
        @if let Some(href) = href {
            p.more { a.button href=(href) { "More" } }
        }
    }
}

/// What a list says that has nothing in it.
fn nothing(text: &str) -> Markup {
    html! { p.nothing { (text) } }
}

/// Why something was revoked, for people.
const fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Plain => "revoked",
        Cause::Rotated => "another token has taken its place",
        Cause::Idle => "not used for too long",
        Cause::TooOld => "as old as it may become",
        Cause::Displaced => "displaced by a newer session",
        Cause::Suspicious => "looks stolen",
        Cause::Suspended => "suspended by its issuer",
    }
}

/// A number with commas, as it is read at a glance.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "<img src=x onerror=alert(1)>\"'&\u{202e}\n</bdi><script>";

    #[test]
    fn a_name_is_text_whatever_it_is() {
        let shown = name(HOSTILE).into_string();
        assert_eq!(shown.matches('<').count(), 2, "{shown}");
        assert!(
            shown.contains("&lt;img") && shown.contains("\\u{202e}\\n"),
            "{shown}"
        );
        for (text, expected) in [
            ("a b", "a b"),
            (" a  ", "\\u{20}a\\u{20}\\u{20}"),
            ("  ", "\\u{20}\\u{20}"),
            ("a\u{a0}", "a\\u{a0}"),
        ] {
            let shown = name(text).into_string();
            assert_eq!(shown, format!("<bdi class=\"name\">{expected}</bdi>"));
        }
        assert!(name("").into_string().contains("(empty)"));
        let shown = html! { input value=(HOSTILE); }.into_string();
        assert_eq!(
            (shown.matches('<').count(), shown.matches('"').count()),
            (1, 2),
            "{shown}"
        );
    }

    #[test]
    fn a_link_has_names_escaped_and_no_empty_ones() {
        let asked = [("a", Some(HOSTILE)), ("b", None), ("c", Some("/&?="))];
        let href = href("/console/user", &asked);
        let (path, query) = href.split_once('?').unwrap();
        assert_eq!(path, "/console/user");
        assert!(query.ends_with("&c=%2F%26%3F%3D"), "{query}");
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"%&=.-_~*".contains(&byte);
        assert!(query.bytes().all(is_plain), "{query}");
    }

    #[test]
    fn numbers_and_times_are_written_for_people() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(count),
            ["0", "999", "1,000", "1,234,567"]
        );
        let shown = time("2026-12-01T12:36:31.123Z").into_string();
        assert!(shown.contains(">2026-12-01 12:36:31<"), "{shown}");
    }
}
