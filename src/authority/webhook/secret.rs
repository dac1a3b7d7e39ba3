//! The secrets that events are signed with.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac_sha256::HMAC;

/// What Standard Webhooks begins secrets with.
const PREFIX: &str = "whsec_";

/// What it demands of their length.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// The new one and the one before it.
const MAX_SECRETS: usize = 2;

/// The longest file that is read.
const MAX_FILE_BYTES: usize = 1_024;

/// The secrets of one receiver.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    /// Reads them from a file: one in each line.
    pub(super) fn read(path: &Path) -> Result<Self, SecretError> {
        let unread = |source| SecretError::Read {
            path: path.to_owned(),
            source,
        };
        let text = fs::read(path).map_err(unread)?;
        let text = text.get(..text.len().min(MAX_FILE_BYTES));
        let secrets = text.and_then(|text| Self::parse(std::str::from_utf8(text).ok()?));
        secrets.ok_or_else(|| SecretError::Form(path.to_owned()))
    }

    fn parse(text: &str) -> Option<Self> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let secret = |line: &str| {
            let secret = STANDARD.decode(line.strip_prefix(PREFIX)?).ok()?;
            LENGTHS.contains(&secret.len()).then_some(secret)
        };
        let secrets: Vec<_> = lines.map(secret).collect::<Option<_>>()?;
        (1..=MAX_SECRETS)
            .contains(&secrets.len())
            .then_some(Self(secrets))
    }

    /// `webhook-signature`: one signature with each secret, of which a receiver needs to know one.
    #[must_use]
    pub(super) fn signatures(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
        let signatures = self.0.iter().map(|secret| {
            let signature = HMAC::mac(&signed, secret);
            format!("v1,{}", STANDARD.encode(signature))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secrets(…)")
    }
}

/// Why there is no secret to sign with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The file could not be read.
    #[error("`webhook.secret_file` of the authority's file: could not read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It holds something else.
    #[error(
        "`webhook.secret_file` of the authority's file: expected one or two lines with `whsec_` and 24 to 64 bytes in Base64 in `{}`",
        .0.display()
    )]
    Form(PathBuf),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in the README of Standard Webhooks' libraries.
    #[test]
    fn a_signature_is_that_of_the_standard() {
        let secrets = Secrets::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signatures = secrets.signatures("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(
            signatures,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn two_secrets_sign_while_one_replaces_the_other() {
        let [old, new] = ["A", "B"].map(|letter| format!("whsec_{}", letter.repeat(32)));
        let sign = |text: &str| Secrets::parse(text).unwrap().signatures("id", 1, b"{}");
        let both = sign(&format!("{new}\n\n {old}\n"));
        assert_eq!(both, format!("{} {}", sign(&new), sign(&old)));
    }

    #[test]
    fn what_is_no_secret_is_refused_and_none_is_shown() {
        let good = format!("whsec_{}", "A".repeat(32));
        let long = format!("whsec_{}", "A".repeat(88));
        for text in [
            "",
            "\n",
            "whsec_",
            "whsec_AAAA",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "whsec_not base64 at all, and long enough",
            long.as_str(),
            &format!("{good}\n{good}\n{good}"),
            &format!("{good}\n# a remark"),
        ] {
            assert_eq!(Secrets::parse(text), None, "{text}");
        }
        let secrets = Secrets::parse(&good).unwrap();
        assert_eq!(format!("{secrets:?}"), "Secrets(…)");
    }
}
