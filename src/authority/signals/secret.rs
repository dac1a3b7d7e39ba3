//! Secrets that the signals file names. They are in the environment or in files, never in the signals
//! file itself, and a file is read again when it has changed.
//!
//! | | expected | kept |
//! |---|---|---|
//! | [`Secret`], by which a caller shows who it is | one line, or two while one replaces the other; none can be guessed | hashes |
//! | [`Secret<Text>`], which is shown to another as well | one line, as the other wants it | the text |

use std::env;
use std::fmt;
use std::fs;
use std::hint::black_box;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::configuration::{SecretPlace, SecretSource};
use crate::authority::file_stamp::FileStamp;
use crate::authority::text::chain_of;

/// How often a file is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The longest secret, which is a header's value.
const LONGEST: usize = 4_096;

/// What is not guessed at any rate, so that the right one need not wait for the wrong ones; providers make
/// secrets of 32 characters and more.
const SHORTEST: usize = 32;

/// The new one and the one before it.
const MOST_SECRETS: usize = 2;

/// A secret. A file that has changed and cannot be used changes nothing, and that is logged.
pub(super) struct Secret<K = Hashes> {
    source: SecretSource,
    current: Mutex<Current<K>>,
}

struct Current<K> {
    kept: K,
    stamp: Option<FileStamp>,
    looked: Instant,
}

/// What is kept of a secret.
pub(super) trait Kept: Sized {
    /// What is read.
    const EXPECTED: &'static str;

    /// `None` of a text that is something else.
    fn parse(text: &str) -> Option<Self>;

    /// Whether this was presented.
    fn has(&self, presented: Presented) -> bool;
}

/// Of the secrets of a caller, any of which counts.
pub(super) struct Hashes(Vec<Presented>);

/// The secret itself, which is in no log.
pub(super) struct Text(String);

/// A secret that was presented, as a hash.
#[derive(Clone, Copy)]
pub(super) struct Presented([u8; 32]);

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignalSecretError {
    /// There is no such variable.
    #[error("`{at}` of the signals file: the environment variable `{name}` is not set")]
    Unset {
        /// Which secret, as a path in the signals file.
        at: String,
        /// The variable.
        name: String,
    },
    /// A file could not be read.
    #[error("`{at}` of the signals file: could not read `{}`", path.display())]
    Read {
        /// Which secret, as a path in the signals file.
        at: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is there is no such secret.
    #[error("`{at}` of the signals file: expected {expected} in {place}")]
    Form {
        /// Which secret, as a path in the signals file.
        at: String,
        /// What should be there.
        expected: &'static str,
        /// The file or the variable.
        place: String,
    },
}

impl<K: Kept> Secret<K> {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// [`SignalSecretError`].
    pub(super) fn open(source: &SecretSource) -> Result<Self, SignalSecretError> {
        let stamp = stamp_of(source);
        let current = Current {
            kept: read(source)?,
            stamp,
            looked: Instant::now(),
        };
        Ok(Self {
            source: source.clone(),
            current: Mutex::new(current),
        })
    }

    /// Whether this is it. How long it takes tells nothing of the secret.
    pub(super) fn is(&self, presented: Presented, now: Instant) -> bool {
        self.current(now).kept.has(presented)
    }

    fn current(&self, now: Instant) -> MutexGuard<'_, Current<K>> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(current.looked) < LOOK_INTERVAL {
            return current;
        }
        current.looked = now;
        let stamp = stamp_of(&self.source);
        if stamp == current.stamp {
            return current;
        }
        current.stamp = stamp;
        match read(&self.source) {
            Ok(kept) => current.kept = kept,
            Err(error) => tracing::error!(
                error = %chain_of(&error),
                "the secret of before stays in force"
            ),
        }
        current
    }
}

impl Secret<Text> {
    /// The secret, to be shown to another.
    pub(super) fn value(&self, now: Instant) -> String {
        self.current(now).kept.0.clone()
    }
}

impl Kept for Hashes {
    const EXPECTED: &'static str =
        "one or two lines, each with a secret of 32 to 4096 characters of ASCII without blanks,";

    fn parse(text: &str) -> Option<Self> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        // With blanks, a remark would be one.
        let is_fit = |line: &&str| {
            let is_visible = line.bytes().all(|byte| byte.is_ascii_graphic());
            is_visible && (SHORTEST..=LONGEST).contains(&line.len())
        };
        let hash = |line: &str| Some(line).filter(is_fit).map(Presented::of_text);
        let hashes: Vec<_> = lines.map(hash).collect::<Option<_>>()?;
        let is_number = (1..=MOST_SECRETS).contains(&hashes.len());
        is_number.then_some(Self(hashes))
    }

    fn has(&self, presented: Presented) -> bool {
        let hashes = self.0.iter();
        // All of them, so that which one it is takes no other time.
        hashes.fold(false, |found, hash| found | hash.is(presented))
    }
}

impl Kept for Text {
    const EXPECTED: &'static str = "one line of 1 to 4096 printable characters of ASCII";

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let is_fit = is_printable && (1..=LONGEST).contains(&text.len());
        is_fit.then(|| Self(text.to_owned()))
    }

    fn has(&self, presented: Presented) -> bool {
        Presented::of_text(&self.0).is(presented)
    }
}

impl Presented {
    pub(super) fn new(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    fn of_text(secret: &str) -> Self {
        Self::new(secret.as_bytes())
    }

    /// Whether both are of the same secret, in a time that does not depend on them.
    pub(super) fn is(self, other: Self) -> bool {
        let pairs = self.0.iter().zip(other.0);
        let difference = pairs.fold(0, |sum, (one, other)| black_box(sum | (one ^ other)));
        black_box(difference) == 0
    }

    /// For a file: it tells nothing of the secret.
    pub(super) fn written(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What was written so.
    pub(super) fn read(text: &str) -> Option<Self> {
        let hash = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self(hash.try_into().ok()?))
    }

    /// Takes as long as a comparison with a secret does.
    pub(super) fn compare_with_nothing(self) {
        black_box(self.is(Self([0; 32])));
    }
}

impl<K> fmt::Debug for Secret<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Presented(…)")
    }
}

fn stamp_of(source: &SecretSource) -> Option<FileStamp> {
    match &source.place {
        SecretPlace::File(path) => FileStamp::of(path),
        SecretPlace::Environment(_) => None,
    }
}

fn read<K: Kept>(source: &SecretSource) -> Result<K, SignalSecretError> {
    let at = || source.at.clone();
    let (text, place) = match &source.place {
        SecretPlace::Environment(name) => {
            let text = env::var(name).map_err(|_| SignalSecretError::Unset {
                at: at(),
                name: name.clone(),
            })?;
            (text, format!("the environment variable `{name}`"))
        }
        SecretPlace::File(path) => {
            let text = text_of(path).map_err(|source| SignalSecretError::Read {
                at: at(),
                path: path.clone(),
                source,
            })?;
            (text, format!("`{}`", path.display()))
        }
    };
    K::parse(&text).ok_or_else(|| SignalSecretError::Form {
        at: at(),
        expected: K::EXPECTED,
        place,
    })
}

fn text_of(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    // Room for both, and more than that, so that what is too long is seen to be.
    let limit = (LONGEST * MOST_SECRETS + 16) as u64;
    fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    // Other bytes are no characters of ASCII.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
