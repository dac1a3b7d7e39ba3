//! What is known of streams from what has come through them: the last event, what their transmitters say
//! of them, and whether they have shown what they were asked to show.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};

use super::MOST_AT_WORK;
use super::configuration::{Delivery, Stream};
use super::events::StreamStatus;
use super::reason::{Code, Refusal};
use super::secret::{Presented, Secret, SignalSecretError, Text};
use super::text::shown;
use super::upkeep::StreamMetrics;

/// Verifications of one stream that may be on their way.
const MOST_EXPECTED: usize = 16;

/// All streams of the signals file, by their names.
#[derive(Debug)]
pub(super) struct Streams(HashMap<String, Open>);

/// A stream with what is known of it.
#[derive(Debug)]
pub(super) struct Open {
    /// As it is configured.
    pub(super) stream: Stream,
    /// What `Authorization` has to be.
    authorization: Option<Secret<Text>>,
    /// What its transmitter was told of that, where it is told from here.
    told: Mutex<Told>,
    /// Where its events are worked on.
    pub(super) room: Arc<Semaphore>,
    news: Mutex<News>,
    expected: Mutex<VecDeque<Expected>>,
    /// Of events that undo one another, one at a time is carried out.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Critical members of subjects that its transmitter has told of, beside those of the file. None until
    /// it has, where it is asked.
    critical: Mutex<Option<Vec<String>>>,
    metrics: StreamMetrics,
}

/// A verification that was asked for here.
#[derive(Debug)]
struct Expected {
    state: String,
    shown: oneshot::Sender<()>,
}

/// By what a transmitter was told to authorize itself.
#[derive(Debug, Default)]
struct Told {
    last: Option<Presented>,
    /// What it was told before, and until when that counts.
    before: Option<(Presented, Instant)>,
}

/// How long what a transmitter was told before still counts: for what is on its way, or sent once more.
const GRACE: Duration = Duration::from_mins(1);

/// A stream as it is configured, and as its transmitter describes it.
#[derive(Debug)]
pub(super) struct Described<'s> {
    pub(super) stream: Cow<'s, Stream>,
    /// Whether it is known which members of subjects its transmitter calls critical.
    pub(super) knows_critical: bool,
}

/// What has come through a stream since the authority was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// When the last event was accepted, in milliseconds since 1970.
    pub(super) last_event: Option<u64>,
    /// When the stream was last shown to work, the same.
    pub(super) last_verified: Option<u64>,
    /// What its transmitter said last of what it does with it, and why.
    pub(super) status: Option<(StreamStatus, Option<String>)>,
}

impl Streams {
    /// Reads the secrets of these.
    ///
    /// # Errors
    ///
    /// [`SignalSecretError`].
    pub(super) fn open(
        streams: &[Stream],
        metrics: &StreamMetrics,
    ) -> Result<Self, SignalSecretError> {
        let streams = streams.iter().map(|stream| {
            let authorization = match &stream.delivery {
                Delivery::Push(push) => {
                    push.authorization.as_ref().map(Secret::open).transpose()?
                }
                Delivery::Poll(_) => None,
            };
            let transmitter = stream.transmitter.as_ref();
            let is_managed = transmitter.is_some_and(|transmitter| transmitter.manage);
            let open = Open {
                stream: stream.clone(),
                authorization,
                told: Mutex::default(),
                room: Arc::new(Semaphore::new(MOST_AT_WORK)),
                news: Mutex::default(),
                expected: Mutex::default(),
                turn: tokio::sync::Mutex::default(),
                critical: Mutex::new(if is_managed { None } else { Some(Vec::new()) }),
                metrics: metrics.clone(),
            };
            metrics.announce(&stream.name);
            Ok((stream.name.clone(), open))
        });
        streams.collect::<Result<_, _>>().map(Self)
    }

    /// The stream of this name.
    pub(super) fn get(&self, name: &str) -> Option<&Open> {
        self.0.get(name)
    }
}

impl Open {
    /// What `Authorization` of what is sent has to be, where that was agreed on.
    pub(super) const fn authorization(&self) -> Option<&Secret<Text>> {
        self.authorization.as_ref()
    }

    /// Whether what is sent is authorized by this: by the secret, or by what the transmitter was told
    /// before and may not have replaced yet.
    pub(super) fn is_authorized_by(&self, presented: Presented, now: Instant) -> bool {
        let Some(secret) = &self.authorization else {
            return true;
        };
        let told = lock(&self.told);
        let is_last = told.last.is_some_and(|last| last.is(presented));
        let mut before = told.before.iter().filter(|(_, until)| now < *until);
        let is_before = before.any(|(before, _)| before.is(presented));
        // All of them, so that which one it is takes no other time.
        [secret.is(presented, now), is_last, is_before].contains(&true)
    }

    /// Whether the transmitter has to be told by what to authorize itself from now on.
    pub(super) fn has_untold_secret(&self, now: Instant) -> bool {
        let Some(secret) = &self.authorization else {
            return false;
        };
        let last = lock(&self.told).last;
        !last.is_some_and(|last| secret.is(last, now))
    }

    /// The transmitter has been told this.
    pub(super) fn is_told(&self, secret: Presented, now: Instant) {
        let mut told = lock(&self.told);
        let before = told.last.replace(secret);
        if let Some(before) = before.filter(|before| !before.is(secret)) {
            told.before = Some((before, now + GRACE));
        }
    }

    /// What has come through it.
    pub(super) fn news(&self) -> News {
        lock(&self.news).clone()
    }

    /// The transmitter is asked to show this. Gives what tells of it once it has.
    pub(super) fn expect(&self, state: String) -> oneshot::Receiver<()> {
        let (shown, is_shown) = oneshot::channel();
        let mut expected = lock(&self.expected);
        if expected.len() == MOST_EXPECTED {
            expected.pop_front();
        }
        expected.push_back(Expected { state, shown });
        is_shown
    }

    /// Whether the transmitter may show this. It may show nothing in particular, and where it was asked
    /// for nothing here, that may have been done by another program, or before a restart.
    ///
    /// # Errors
    ///
    /// [`Code::StateMismatch`].
    pub(super) fn check_state(&self, state: Option<&str>) -> Result<(), Refusal> {
        let expected = lock(&self.expected);
        let is_expected = |state: &str| expected.iter().any(|known| known.state == state);
        match state {
            Some(state) if !expected.is_empty() && !is_expected(state) => {
                Err(Code::StateMismatch.into())
            }
            _ => Ok(()),
        }
    }

    /// The transmitter has shown this.
    pub(super) fn verified(&self, state: Option<&str>, at: u64) {
        self.metrics.verified(&self.stream.name, at);
        lock(&self.news).last_verified = Some(at);
        let mut expected = lock(&self.expected);
        let mut known = expected.iter();
        let place = known.position(|known| Some(known.state.as_str()) == state);
        if let Some(expected) = place.and_then(|place| expected.remove(place)) {
            // Whether or not that is still waited for.
            let _ = expected.shown.send(());
        }
    }

    /// The transmitter has changed the stream.
    pub(super) fn updated(&self, status: StreamStatus, reason: Option<&str>) {
        let reason = reason.map(shown);
        self.metrics.status(&self.stream.name, status);
        let new = (status, reason.clone());
        let before = lock(&self.news).status.replace(new);
        if before.map(|(before, _)| before) == Some(status) {
            return;
        }
        let (stream, status_name) = (&self.stream.name, status.name());
        if status == StreamStatus::Enabled {
            tracing::info!(stream, status = status_name, "the transmitter sends events");
        } else {
            tracing::warn!(
                stream,
                status = status_name,
                reason,
                "the transmitter sends no events"
            );
        }
    }

    /// Which members of subjects the transmitter calls critical in its metadata.
    pub(super) fn calls_critical(&self, members: &[String]) {
        *lock(&self.critical) = Some(members.to_vec());
    }

    /// The stream as it is known by now.
    pub(super) fn described(&self) -> Described<'_> {
        let critical = lock(&self.critical);
        let members = critical.as_deref().unwrap_or_default();
        let stream = if members.is_empty() {
            Cow::Borrowed(&self.stream)
        } else {
            let mut stream = self.stream.clone();
            stream.critical_subject_members.extend_from_slice(members);
            Cow::Owned(stream)
        };
        Described {
            stream,
            knows_critical: critical.is_some(),
        }
    }

    /// An event was accepted.
    pub(super) fn heard(&self, at: u64) {
        lock(&self.news).last_event = Some(at);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::authority::signals::configuration::{
        Metadata, Push, SecretPlace, SecretSource, TransmitterSettings,
    };
    use crate::authority::signals::events::tests::stream;

    fn open() -> Streams {
        Streams::open(&[stream()], &StreamMetrics::default()).unwrap()
    }

    #[test]
    fn a_state_is_one_that_was_asked_for_unless_nothing_was() {
        let streams = open();
        let stream = streams.get("okta").unwrap();
        assert_eq!(stream.check_state(Some("of another program")), Ok(()));
        let _shown = ["a", "b"].map(|state| stream.expect(state.to_owned()));
        let refused = stream.check_state(Some("c")).unwrap_err();
        assert_eq!(refused.code, Code::StateMismatch);
        for state in [None, Some("b"), Some("a")] {
            assert_eq!(stream.check_state(state), Ok(()), "{state:?}");
        }
        stream.verified(Some("b"), 7);
        assert_eq!(stream.news().last_verified, Some(7));
        assert!(
            stream.check_state(Some("b")).is_err(),
            "it was shown already"
        );
        for number in 0..100 {
            drop(stream.expect(number.to_string()));
        }
        assert_eq!(lock(&stream.expected).len(), MOST_EXPECTED);
    }

    /// That of another, or of before, does not count as the one that is waited for.
    #[test]
    fn a_verification_is_told_to_who_has_asked_for_it() {
        let streams = open();
        let stream = streams.get("okta").unwrap();
        let [mut first, mut second] = ["a", "b"].map(|state| stream.expect(state.to_owned()));
        for state in [None, Some("of another program"), Some("b")] {
            stream.verified(state, 7);
        }
        assert!(first.try_recv().is_err());
        assert_eq!(second.try_recv(), Ok(()));
        stream.verified(Some("a"), 8);
        assert_eq!(first.try_recv(), Ok(()));
    }

    #[test]
    fn a_push_is_authorized_by_what_the_transmitter_was_told_until_it_is_told_another() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("push");
        let mut stream = stream();
        stream.delivery = Delivery::Push(Push {
            authorization: Some(SecretSource {
                at: "streams[0].delivery.push.authorization".to_owned(),
                place: SecretPlace::File(path.clone()),
            }),
        });
        fs::write(&path, "Bearer one").unwrap();
        let streams = Streams::open(&[stream], &StreamMetrics::default()).unwrap();
        let stream = streams.get("okta").unwrap();
        let [one, second, third] = ["Bearer one", "Bearer second", "Bearer third"]
            .map(|text| Presented::new(text.as_bytes()));
        let start = Instant::now();
        let accepted =
            |now| [one, second, third].map(|secret| stream.is_authorized_by(secret, now));
        assert!(stream.has_untold_secret(start));
        stream.is_told(one, start);
        assert!(!stream.has_untold_secret(start));
        assert_eq!(accepted(start), [true, false, false]);
        fs::write(&path, "Bearer second").unwrap();
        let later = start + Duration::from_secs(5);
        // Both, for as long as it takes to tell.
        assert!(stream.has_untold_secret(later));
        assert_eq!(accepted(later), [true, true, false]);
        assert_eq!(accepted(later + GRACE * 10), [true, true, false]);
        stream.is_told(second, later);
        assert!(!stream.has_untold_secret(later));
        assert_eq!(accepted(later), [true, true, false]);
        assert_eq!(accepted(later + GRACE), [false, true, false]);
    }

    #[test]
    fn a_stream_is_known_by_its_name_with_what_came_last() {
        let streams = open();
        assert!(streams.get("other").is_none());
        let stream = streams.get("okta").unwrap();
        assert_eq!(stream.news(), News::default());
        stream.heard(5);
        stream.updated(StreamStatus::Paused, Some("maintenance"));
        let expected = News {
            last_event: Some(5),
            last_verified: None,
            status: Some((StreamStatus::Paused, Some("maintenance".to_owned()))),
        };
        assert_eq!(stream.news(), expected);
    }

    #[test]
    fn what_the_transmitter_calls_critical_counts_beside_what_the_file_does() {
        let streams = open();
        let okta = streams.get("okta").unwrap();
        assert_eq!(*okta.described().stream, okta.stream);
        assert!(okta.described().knows_critical, "no one is asked for more");
        okta.calls_critical(&["tenant".to_owned()]);
        let known = okta.described().stream.critical_subject_members.clone();
        assert_eq!(known, ["tenant"]);
        for manage in [false, true] {
            let mut stream = stream();
            stream.transmitter = Some(TransmitterSettings {
                metadata: Metadata::SharedSignals,
                certificate_authority: None,
                authorization: None,
                manage,
                stream_id: None,
                events_requested: Vec::new(),
                subjects: Vec::new(),
            });
            let streams = Streams::open(&[stream], &StreamMetrics::default()).unwrap();
            let stream = streams.get("okta").unwrap();
            assert_eq!(stream.described().knows_critical, !manage);
            stream.calls_critical(&[]);
            assert!(stream.described().knows_critical);
        }
    }
}
