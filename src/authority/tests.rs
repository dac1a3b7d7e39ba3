//! What the authority is tested with.

use super::*;
use crate::revocation::EXPIRY_MARGIN;

/// An authority with its data in `directory`, until the second is dropped.
pub(super) fn start(directory: &Path) -> (Arc<Authority>, watch::Sender<bool>) {
    start_with(directory, None)
}

/// The same, which receives signals by this file.
pub(super) fn start_with(
    directory: &Path,
    signals: Option<SignalsConfiguration>,
) -> (Arc<Authority>, watch::Sender<bool>) {
    let settings = Settings {
        database: None,
        directory: directory.to_owned(),
        cache_bytes: 1 << 20,
        loss: Loss::Refused,
        limits: Limits {
            max_token_lifetime: Duration::from_hours(24),
            clock_skew: Duration::from_mins(1),
            disagreement: None,
            expiry_margin: EXPIRY_MARGIN,
        },
        false_positive_rate: 2.9e-5,
        generation_interval: Duration::from_mins(1),
        segment_caching: SegmentCaching::Private,
        configuration: Configuration::default(),
        signals,
        sessions: None,
        console: ConsoleAccess::Off,
    };
    let (stop, stopping) = watch::channel(false);
    let authority = Authority::start(&settings, Access::Machine, stopping);
    (authority.unwrap(), stop)
}
