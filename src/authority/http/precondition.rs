//! `If-None-Match` (RFC 9110 section 13.1.2).

use axum::http::HeaderMap;
use axum::http::header::IF_NONE_MATCH;

/// Whether the client says that it has the representation with this opaque tag, which is given
/// without its quotation marks. `*` stands for every representation, and a weak tag is as good as a
/// strong one. A malformed list ends at the fault, so that the client is sent the representation
/// again.
pub(super) fn is_held(headers: &HeaderMap, tag: &str) -> bool {
    let mut fields = headers.get_all(IF_NONE_MATCH).iter();
    fields.any(|field| {
        let field = field.as_bytes().trim_ascii();
        field == b"*" || Tags(field).any(|listed| listed == tag.as_bytes())
    })
}

/// The opaque tags of one field, without their quotation marks.
struct Tags<'f>(&'f [u8]);

impl<'f> Iterator for Tags<'f> {
    type Item = &'f [u8];

    fn next(&mut self) -> Option<Self::Item> {
        // Empty elements are allowed (section 5.6.1.2).
        while let [b' ' | b'\t' | b',', rest @ ..] = self.0 {
            self.0 = rest;
        }
        let quoted = self.0.strip_prefix(b"W/").unwrap_or(self.0);
        let opened = quoted.strip_prefix(b"\"")?;
        let end = opened.iter().position(|byte| *byte == b'"')?;
        let (tag, closed) = opened.split_at_checked(end)?;
        // What follows the closing mark has to be the end or a comma.
        self.0 = match closed.get(1..)?.trim_ascii_start() {
            rest @ ([] | [b',', ..]) => rest,
            _ => &[],
        };
        Some(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_held_by(fields: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(IF_NONE_MATCH, field.parse().unwrap());
        }
        is_held(&headers, "7-0")
    }

    #[test]
    fn a_tag_is_found_wherever_it_stands() {
        for fields in [
            &[r#""7-0""#][..],
            &[r#"W/"7-0""#],
            &[r#""6-0", "7-0""#],
            &[r#"W/"6-0",W/"7-0" ,"8-0""#],
            &[r#" , ,"a,b" ,, "7-0""#],
            &[r#""6-0""#, r#""7-0""#],
            &["*"],
            &[" * "],
        ] {
            assert!(is_held_by(fields), "{fields:?}");
        }
    }

    #[test]
    fn another_tag_or_no_list_of_tags_holds_nothing() {
        for fields in [
            &[][..],
            &[""],
            &[","],
            &["7-0"],
            &[r#""7-0"#],
            &[r#""7-00""#],
            &[r#"w/"7-0""#],
            &[r#"W/ "7-0""#],
            &[r#""6-0, 7-0""#],
            &[r#""6-0" "7-0""#],
            &[r#""6-0"; "7-0""#],
            &[r#""6-0", *"#],
            &["**"],
        ] {
            assert!(!is_held_by(fields), "{fields:?}");
        }
    }
}
