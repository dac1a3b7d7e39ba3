//! An issuer's status lists (draft-ietf-oauth-status-list): a packer of its own, and the token.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::token::{Token, encode_part};

/// `lst` of these statuses with two bits each.
pub(crate) fn packed(statuses: &[u8]) -> String {
    let bytes = statuses.chunks(4).map(|four| {
        let bits = four.iter().enumerate();
        bits.fold(0, |byte, (place, status)| byte | status << (2 * place))
    });
    encode_part(zlib(&bytes.collect::<Vec<u8>>()))
}

/// The claims of the list at `uri` with these statuses.
pub(crate) fn claims(uri: &str, statuses: &[u8]) -> Value {
    json!({
        "sub": uri, "iat": now(), "exp": now() + 3_600,
        "status_list": {"bits": 2, "lst": packed(statuses)},
    })
}

/// These claims as a list that the key with this name has signed.
pub(crate) fn signed(key: &'static str, claims: &Value) -> String {
    let token = Token::signed_by(key).header("typ", "statuslist+jwt");
    token.with_claims_text(claims.to_string())
}

/// The list at `uri` with these statuses, as its server has it.
pub(crate) fn status_list(uri: &str, statuses: &[u8]) -> String {
    signed("es256", &claims(uri, statuses))
}

/// A token that refers to an entry of the list at `uri`.
pub(crate) fn referring(uri: &str, index: u64) -> Token {
    let reference = json!({"status_list": {"uri": uri, "idx": index}});
    Token::signed_by("es256")
        .claim("jti", format!("token-{index}"))
        .claim("status", reference)
}

/// Bytes in the format of RFC 1950, in stored blocks (RFC 1951 section 3.2.4), fewer than 64 KiB.
fn zlib(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("one block");
    let mut packed = vec![0x78, 0x01, 0x01];
    packed.extend(length.to_le_bytes());
    packed.extend((!length).to_le_bytes());
    packed.extend(bytes);
    let sums = bytes.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    packed.extend((sums.1 << 16 | sums.0).to_be_bytes());
    packed
}

/// The time, in seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "a real process compares the times in lists with the clock of the machine"
)]
pub(crate) fn now() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.expect("a clock past 1970").as_secs()
}
