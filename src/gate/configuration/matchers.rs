//! Envoy's matchers: `StringMatcher`, `RegexMatcher`, `HeaderMatcher`, `QueryParameterMatcher`.

use super::header_name;
use super::reader::{Node, Read};
use crate::gate::matching::{HeaderMatcher, ParameterMatcher, ValueMatcher};
use crate::gate::text::{Pattern, TextMatcher};
use crate::host::HeaderBlock;

/// How a matcher for text is made from the text and from whether case matters.
type Maker = fn(&str, bool) -> TextMatcher;

const NOT_ONE: &str = "expected one of `exact`, `prefix`, `suffix`, `contains` and `safe_regex`";

/// A `StringMatcher`.
pub(super) fn text(node: &Node<'_>) -> Read<TextMatcher> {
    node.object(|fields| {
        let ignore_case = fields.flag("ignore_case", false);
        fields.refused(
            "custom",
            "not supported: extensions of Envoy cannot be called",
        );
        let makers: [(&'static str, Maker); 4] = [
            ("exact", TextMatcher::exact),
            ("prefix", TextMatcher::prefix),
            ("suffix", TextMatcher::suffix),
            ("contains", TextMatcher::contains),
        ];
        let mut found = Vec::new();
        for (key, make) in makers {
            if let Some(node) = fields.optional(key) {
                // An empty prefix would match everything; only `exact` may be empty, as in Envoy.
                let text = if key == "exact" {
                    node.string()
                } else {
                    node.text()
                };
                found.push(text.map(|text| make(text, ignore_case)));
            }
        }
        if let Some(node) = fields.optional("safe_regex") {
            found.push(pattern(&node).map(TextMatcher::pattern));
        }
        fields.one_of(found, NOT_ONE)
    })
}

/// A `RegexMatcher`.
pub(super) fn pattern(node: &Node<'_>) -> Read<Pattern> {
    node.object(|fields| {
        // Its one field, a limit on the size of the program, is out of use in Envoy too.
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
pub(super) fn header(node: &Node<'_>) -> Read<HeaderMatcher> {
    node.object(|fields| {
        let name = fields.required("name").and_then(|node| match node.text()? {
            pseudo @ (":method" | ":path" | ":authority" | ":scheme") => Ok(pseudo.to_owned()),
            _ => header_name(&node).map(|name| HeaderBlock::kept_name(&name).to_owned()),
        });
        let invert = fields.flag("invert_match", false);
        let missing_is_empty = fields.flag("treat_missing_header_as_empty", false);
        let mut found = Vec::new();
        let makers: [(&'static str, Maker); 4] = [
            ("exact_match", TextMatcher::exact),
            ("prefix_match", TextMatcher::prefix),
            ("suffix_match", TextMatcher::suffix),
            ("contains_match", TextMatcher::contains),
        ];
        for (key, make) in makers {
            if let Some(node) = fields.optional(key) {
                let matcher = node.text().map(|text| make(text, false));
                found.push(matcher.map(ValueMatcher::Text));
            }
        }
        if let Some(node) = fields.optional("safe_regex_match") {
            let matcher = pattern(&node).map(TextMatcher::pattern);
            found.push(matcher.map(ValueMatcher::Text));
        }
        if let Some(node) = fields.optional("string_match") {
            found.push(text(&node).map(ValueMatcher::Text));
        }
        if let Some(node) = fields.optional("range_match") {
            found.push(range(&node));
        }
        if let Some(node) = fields.optional("present_match") {
            found.push(node.boolean().map(ValueMatcher::Present));
        }
        if found.is_empty() {
            found.push(Ok(ValueMatcher::Present(true)));
        }
        let value = fields.one_of(found, "expected at most one way of matching");
        Ok(HeaderMatcher {
            name: name?,
            value: value?,
            invert,
            missing_is_empty,
        })
    })
}

fn range(node: &Node<'_>) -> Read<ValueMatcher> {
    node.object(|fields| {
        let mut end = |key| match fields.optional(key) {
            Some(node) => node.integer(),
            None => Ok(0),
        };
        let (start, end) = (end("start"), end("end"));
        Ok(ValueMatcher::Range(start?, end?))
    })
}

/// A `QueryParameterMatcher`.
pub(super) fn parameter(node: &Node<'_>) -> Read<ParameterMatcher> {
    node.object(|fields| {
        let name = fields.required("name").and_then(|node| node.text());
        let mut found = Vec::new();
        if let Some(node) = fields.optional("string_match") {
            found.push(text(&node).map(ValueMatcher::Text));
        }
        if let Some(node) = fields.optional("present_match") {
            found.push(node.boolean().map(ValueMatcher::Present));
        }
        if found.is_empty() {
            found.push(Ok(ValueMatcher::Present(true)));
        }
        let message = "expected at most one of `string_match` and `present_match`";
        let value = fields.one_of(found, message);
        Ok(ParameterMatcher {
            name: name?.to_owned(),
            value: value?,
        })
    })
}
