//! `shared_data_secret`: what seals records in the memory that plugins of a proxy share.

use super::sources::written_or_named;
use crate::configuration::{Node, Read};
use crate::gate::revocation::RevocationSettings;
use crate::namespace::RecordSecret;

/// As many characters as 128 bits have in hexadecimal.
const SHORTEST: usize = 32;

/// The secret that the operator has set, if there is one.
pub(super) fn secret(node: Node<'_>) -> Read<RecordSecret> {
    let is_long = |text: &str| text.len() >= SHORTEST;
    let expected = "expected at least 32 characters that cannot be guessed; \
                    hint: `openssl rand -hex 32` prints some";
    let text = written_or_named(node, is_long, expected)?;
    let secret = |text: String| RecordSecret::of("shared_data_secret", &text);
    Ok(text.map_or(RecordSecret::none(), secret))
}

/// That secret, or else the credential, which other plugins do not have either.
pub(super) fn secret_or_credential(
    secret: Option<RecordSecret>,
    revocation: Option<&RevocationSettings>,
) -> RecordSecret {
    let credential = revocation.map(|settings| settings.credential.as_str());
    let of_credential = credential.map(|text| RecordSecret::of("credential", text));
    secret.or(of_credential).unwrap_or(RecordSecret::none())
}
