//! The place of a request in a trace (W3C Trace Context), which calls on its behalf take over.
//!
//! Envoy begins no span for a module's call, and puts none of its headers on it. With the request's own,
//! what stands between edge and authority shows the call in the trace of the request that waits for it.

use crate::host::Host;

/// The only version there is. One of another may have another length.
const VERSION: &[u8] = b"00";

/// The `traceparent` of the request that is in effect, if it has a sound one: a client may send anything
/// (W3C Trace Context, section 3.2).
pub(super) fn parent(host: &impl Host) -> Option<String> {
    let value = host.property(&["request", "headers", "traceparent"])?;
    let value = String::from_utf8(value).ok()?;
    is_sound(&value).then_some(value)
}

fn is_sound(value: &str) -> bool {
    let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    let is_id = |id: &[u8]| id.iter().all(is_hex) && id.iter().any(|digit| *digit != b'0');
    let mut fields = value.as_bytes().split(|byte| *byte == b'-');
    let (version, trace, span, flags) =
        (fields.next(), fields.next(), fields.next(), fields.next());
    fields.next().is_none()
        && version == Some(VERSION)
        && trace.is_some_and(|id| id.len() == 32 && is_id(id))
        && span.is_some_and(|id| id.len() == 16 && is_id(id))
        && flags.is_some_and(|flags| flags.len() == 2 && flags.iter().all(is_hex))
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::is_sound;

    const SOUND: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[wasm_bindgen_test(unsupported = test)]
    fn a_header_counts_only_in_the_form_of_the_standard() {
        assert!(is_sound(SOUND));
        let zeroed = |id: &str| SOUND.replace(id, &"0".repeat(id.len()));
        for unsound in [
            String::new(),
            SOUND.to_uppercase(),
            SOUND.replacen("00-", "01-", 1),
            SOUND.replacen("00-", "ff-", 1),
            format!("{SOUND}-01"),
            format!("{SOUND}0"),
            format!("{SOUND}\r\nauthorization: Bearer x"),
            SOUND.replace('b', "g"),
            zeroed("0af7651916cd43dd8448eb211c80319c"),
            zeroed("b7ad6b7169203331"),
            SOUND[..SOUND.len() - 1].to_owned(),
        ] {
            assert!(!is_sound(&unsound), "{unsound:?}");
        }
    }
}
