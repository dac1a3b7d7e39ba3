//! `portcullis rotate`: a new key for the feed.

use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;

use clap::Args;

use super::authority_client::{self, Client};
use super::bounds::{BoundError, duration};
use super::instant::shown;
use super::{CommandError, print_json};
use crate::authority::http::{FeedKeyAnswer, MAX_OVERLAP, RotationRequest};

/// The arguments of `portcullis rotate`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// How long the old key goes on signing, while the new one is added to every filter, 0s to 90d
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = overlap)]
    pub overlap: Duration,
    /// Where the authority is.
    #[command(flatten)]
    pub authority: authority_client::Arguments,
}

fn overlap(text: &str) -> Result<Duration, BoundError> {
    duration(text, Duration::ZERO..=MAX_OVERLAP)
}

/// Makes the key and prints every public key that the filters should be configured with, and when each
/// signs.
///
/// # Errors
///
/// [`CommandError::Client`].
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    let request = RotationRequest {
        overlap_seconds: arguments.overlap.as_secs(),
    };
    let client = Client::new(&arguments.authority)?;
    let keys: Vec<FeedKeyAnswer> = client.post("/v1/feed/keys", &request)?;
    if arguments.authority.json {
        return print_json(output, &keys);
    }
    for key in keys {
        let times = times(&key);
        writeln!(output, "{}  {times}", key.public_key).map_err(CommandError::Output)?;
    }
    Ok(())
}

/// When a key signs, and how long filters have to know it.
pub(super) fn times(key: &FeedKeyAnswer) -> String {
    let FeedKeyAnswer {
        signs_from,
        signs_until,
        published_until,
        ..
    } = *key;
    if signs_until.is_some_and(|until| until <= signs_from) {
        return "never signs: a later key does so before it".to_owned();
    }
    // All times of the authority are within range.
    let time = |seconds: Option<u64>| seconds.and_then(shown);
    // Writing to a string does not fail.
    let mut times = "signs".to_owned();
    if let Some(from) = time(Some(signs_from).filter(|from| *from > 0)) {
        let _ = write!(times, " from {from}");
    }
    if let Some(until) = time(signs_until) {
        let _ = write!(times, " until {until}");
    }
    if let Some(until) = time(published_until) {
        let _ = write!(times, ", is believed until {until}");
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_when_it_signs_and_how_long_it_is_believed() {
        let key = |signs_from, signs_until, published_until| {
            times(&FeedKeyAnswer {
                public_key: String::new(),
                signs_from,
                signs_until,
                published_until,
            })
        };
        // 2026-01-01T00:00:00Z, and an hour and two hours later.
        let (now, later, last) = (1_767_225_600, 1_767_229_200, 1_767_232_800);
        assert_eq!(key(0, None, None), "signs");
        assert_eq!(
            key(0, Some(later), Some(last)),
            "signs until 2026-01-01T01:00:00Z, is believed until 2026-01-01T02:00:00Z"
        );
        assert_eq!(key(later, None, None), "signs from 2026-01-01T01:00:00Z");
        assert!(key(later, Some(now), Some(last)).starts_with("never signs"));
    }
}
