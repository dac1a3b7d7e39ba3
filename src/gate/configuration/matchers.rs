//! Envoy's matchers: `StringMatcher`, `RegexMatcher`, `HeaderMatcher`, `QueryParameterMatcher`.

use super::headers::header_name;
use crate::configuration::{Node, Read};
use crate::gate::matching::{HeaderMatcher, ParameterMatcher, ValueMatcher};
use crate::gate::text::{Pattern, TextMatcher};
use crate::host::HeaderBlock;

/// A `StringMatcher`.
pub(super) fn text(node: Node<'_>) -> Read<TextMatcher> {
    node.object(|fields| {
        let ignore_case = fields.flag("ignore_case", false);
        fields.refused(
            "custom",
            "not supported: extensions of Envoy cannot be called",
        );
        let (read, node) = fields.one_of(&[
            // An empty prefix would match everything; only `exact` may be empty, as in Envoy.
            ("exact", exact_or_empty as ReadText),
            ("prefix", prefix),
            ("suffix", suffix),
            ("contains", contains),
            ("safe_regex", whole_pattern),
        ])?;
        read(node, ignore_case)
    })
}

/// A `RegexMatcher`.
pub(super) fn pattern(node: Node<'_>) -> Read<Pattern> {
    node.object(|fields| {
        // Its one field, a limit on the size of the program, is deprecated in Envoy too.
        let _ = fields.nullable("google_re2");
        let node = fields.required("regex")?;
        Pattern::new(node.text()?).ok_or_else(|| {
            node.fault(
                "expected a regular expression in the syntax of RE2, without `\\p`, `\\Q` and `\\C`",
            )
        })
    })
}

/// A `HeaderMatcher`, with the fields that are deprecated in Envoy.
pub(super) fn header(node: Node<'_>) -> Read<HeaderMatcher> {
    node.object(|fields| {
        let name = fields.required("name").and_then(|node| match node.text()? {
            pseudo @ (":method" | ":path" | ":authority" | ":scheme") => Ok(pseudo.to_owned()),
            _ => header_name(node).map(|name| HeaderBlock::kept_name(&name).to_owned()),
        });
        let invert = fields.flag("invert_match", false);
        let missing_is_empty = fields.flag("treat_missing_header_as_empty", false);
        let way = fields.at_most_one_of(&[
            ("exact_match", (|node| of_text(node, exact)) as ReadValue),
            ("prefix_match", |node| of_text(node, prefix)),
            ("suffix_match", |node| of_text(node, suffix)),
            ("contains_match", |node| of_text(node, contains)),
            ("safe_regex_match", |node| of_text(node, whole_pattern)),
            ("string_match", string),
            ("range_match", range),
            ("present_match", present),
        ]);
        Ok(HeaderMatcher {
            name: name?,
            value: value(way?)?,
            invert,
            missing_is_empty,
        })
    })
}

/// A `QueryParameterMatcher`.
pub(super) fn parameter(node: Node<'_>) -> Read<ParameterMatcher> {
    node.object(|fields| {
        let name = fields.required_text("name");
        let way = fields.at_most_one_of(&[
            ("string_match", string as ReadValue),
            ("present_match", present),
        ]);
        let value = value(way?)?;
        Ok(ParameterMatcher {
            name: name?.to_owned(),
            value,
        })
    })
}

/// How a matcher for text is read, where case matters or not.
pub(super) type ReadText = fn(Node<'_>, bool) -> Read<TextMatcher>;

fn exact_or_empty(node: Node<'_>, ignore_case: bool) -> Read<TextMatcher> {
    Ok(TextMatcher::exact(node.string()?, ignore_case))
}

pub(super) fn exact(node: Node<'_>, ignore_case: bool) -> Read<TextMatcher> {
    Ok(TextMatcher::exact(node.text()?, ignore_case))
}

fn prefix(node: Node<'_>, ignore_case: bool) -> Read<TextMatcher> {
    Ok(TextMatcher::prefix(node.text()?, ignore_case))
}

fn suffix(node: Node<'_>, ignore_case: bool) -> Read<TextMatcher> {
    Ok(TextMatcher::suffix(node.text()?, ignore_case))
}

fn contains(node: Node<'_>, ignore_case: bool) -> Read<TextMatcher> {
    Ok(TextMatcher::contains(node.text()?, ignore_case))
}

/// A pattern says itself whether case matters.
pub(super) fn whole_pattern(node: Node<'_>, _: bool) -> Read<TextMatcher> {
    pattern(node).map(TextMatcher::pattern)
}

/// How a matcher for the value of a header or a parameter is read.
type ReadValue = fn(Node<'_>) -> Read<ValueMatcher>;

/// The value has to be there if nothing else is said about it.
fn value(way: Option<(ReadValue, Node<'_>)>) -> Read<ValueMatcher> {
    way.map_or(Ok(ValueMatcher::Present(true)), |(read, node)| read(node))
}

fn of_text(node: Node<'_>, read: ReadText) -> Read<ValueMatcher> {
    read(node, false).map(ValueMatcher::Text)
}

fn string(node: Node<'_>) -> Read<ValueMatcher> {
    text(node).map(ValueMatcher::Text)
}

fn present(node: Node<'_>) -> Read<ValueMatcher> {
    node.boolean().map(ValueMatcher::Present)
}

fn range(node: Node<'_>) -> Read<ValueMatcher> {
    node.object(|fields| {
        let mut end = |key| fields.optional(key).map_or(Ok(0), Node::integer);
        let (start, end) = (end("start"), end("end"));
        Ok(ValueMatcher::Range(start?, end?))
    })
}
