//! Who is signed in to the console: a *visit* lasts from signing in until the operator leaves, or an end that
//! comes by itself.
//!
//! What a browser keeps is 256 random bits; what is kept here is their hash, so that a dump of the memory
//! signs no one in. A visit has no role of its own: the credential is looked up again with every request, and
//! when its line is taken out of the file, its visits are over.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use sha2::{Digest as _, Sha256};

use crate::authority::credentials::CredentialId;
use crate::authority::store::{from_hex, to_hex};

/// Without a request: long enough to read a page and to be called away from it.
const IDLE: Duration = Duration::from_mins(30);

/// From signing in: a shift.
const LONGEST: Duration = Duration::from_hours(12);

/// More people than look after one installation at a time.
const MOST: usize = 1_000;

/// Of one credential, so that one that is shared, or that a script signs in with, leaves room for others.
const MOST_OF_ONE: usize = 50;

/// What the tokens of forms are made over.
const FORM: &[u8] = b"portcullis console form 1";

/// By the hash of what the browser has.
#[derive(Debug, Default)]
pub(super) struct Visits(Mutex<HashMap<[u8; 32], Kept>>);

#[derive(Debug)]
struct Kept {
    visit: Visit,
    began: Instant,
    seen: Instant,
}

/// What is known of a visit.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    /// What was signed in with.
    pub(super) credential: CredentialId,
    /// What its forms are told by.
    pub(super) forms: FormKey,
}

/// By which a form is known to come from a page of the same visit.
#[derive(Clone)]
pub(super) struct FormKey(hmac::Key);

impl Visits {
    /// A new visit; returns what the browser is to keep. Where there are too many, the one that was not
    /// used for longest ends: one of the same credential, if that has its share.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub(super) fn begin(
        &self,
        credential: CredentialId,
        now: Instant,
    ) -> Result<String, getrandom::Error> {
        let mut secrets = [[0; 32]; 2];
        getrandom::fill(secrets.as_flattened_mut())?;
        let [id, key] = secrets;
        let cookie = URL_SAFE_NO_PAD.encode(id);
        let visit = Visit {
            credential,
            forms: FormKey(hmac::Key::new(hmac::HMAC_SHA256, &key)),
        };
        let mut all = self.lock();
        all.retain(|_, kept| kept.is_current(now));
        let own = |kept: &Kept| kept.visit.credential == credential;
        if all.values().filter(|kept| own(kept)).count() >= MOST_OF_ONE {
            drop_longest_idle(&mut all, own);
        } else if all.len() >= MOST {
            drop_longest_idle(&mut all, |_| true);
        }
        let kept = Kept {
            visit,
            began: now,
            seen: now,
        };
        all.insert(hash(&cookie), kept);
        Ok(cookie)
    }

    /// The visit of a browser that shows this. One that was not made by hand does not prolong it.
    pub(super) fn find(&self, cookie: &str, is_by_hand: bool, now: Instant) -> Option<Visit> {
        let (mut all, name) = (self.lock(), hash(cookie));
        let kept = all.get_mut(&name)?;
        if !kept.is_current(now) {
            all.remove(&name);
            return None;
        }
        if is_by_hand {
            kept.seen = now;
        }
        Some(kept.visit.clone())
    }

    /// Ends a visit.
    pub(super) fn end(&self, cookie: &str) {
        self.lock().remove(&hash(cookie));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn is_current(&self, now: Instant) -> bool {
        let since = |then| now.saturating_duration_since(then);
        since(self.seen) < IDLE && since(self.began) < LONGEST
    }
}

impl FormKey {
    /// What each form of the visit carries.
    pub(super) fn token(&self) -> String {
        to_hex(hmac::sign(&self.0, FORM).as_ref())
    }

    /// Whether a form carries it, in a time that does not tell how much of it is right.
    pub(super) fn is_token(&self, token: &str) -> bool {
        let token = from_hex::<32>(token);
        token.is_some_and(|token| hmac::verify(&self.0, FORM, &token).is_ok())
    }
}

impl fmt::Debug for FormKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("FormKey")
    }
}

fn hash(cookie: &str) -> [u8; 32] {
    Sha256::digest(cookie).into()
}

fn drop_longest_idle(all: &mut HashMap<[u8; 32], Kept>, is_among: impl Fn(&Kept) -> bool) {
    let among = all.iter().filter(|(_, kept)| is_among(kept));
    let oldest = among.min_by_key(|(_, kept)| kept.seen).map(|(id, _)| *id);
    if let Some(oldest) = oldest {
        all.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(number: u8) -> CredentialId {
        CredentialId::for_test([number; 32])
    }

    #[test]
    fn a_visit_ends_when_it_is_idle_when_it_is_old_and_when_the_operator_leaves() {
        let (visits, start) = (Visits::default(), Instant::now());
        let cookie = visits.begin(credential(1), start).unwrap();
        let at = |time: Duration, is_by_hand| visits.find(&cookie, is_by_hand, start + time);
        let minute = Duration::from_mins(1);
        assert!(at(29 * minute, true).is_some());
        assert!(at(58 * minute, false).is_some(), "29 minutes later");
        assert!(
            at(59 * minute, true).is_none(),
            "looked at by no one for 30 minutes"
        );
        assert!(at(Duration::ZERO, true).is_none(), "and gone for good");

        let cookie = visits.begin(credential(1), start).unwrap();
        for quarter in 0..48 {
            let now = start + quarter * 15 * minute;
            assert!(visits.find(&cookie, true, now).is_some(), "{quarter}");
        }
        assert!(visits.find(&cookie, true, start + LONGEST).is_none());

        let cookie = visits.begin(credential(1), start).unwrap();
        visits.end(&cookie);
        assert!(visits.find(&cookie, true, start).is_none());
    }

    #[test]
    fn no_two_visits_share_a_cookie_or_a_form() {
        let (visits, now) = (Visits::default(), Instant::now());
        let [one, other] = [1, 1].map(|number| visits.begin(credential(number), now).unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 43, "256 bits");
        let forms = [&one, &other].map(|cookie| visits.find(cookie, true, now).unwrap().forms);
        let tokens = forms.each_ref().map(FormKey::token);
        assert!(forms[0].is_token(&tokens[0]) && forms[1].is_token(&tokens[1]));
        assert!(!forms[0].is_token(&tokens[1]) && !forms[1].is_token(&tokens[0]));
        for wrong in [
            "",
            "00",
            &tokens[0][2..],
            &"0".repeat(64),
            &format!("{}00", tokens[0]),
        ] {
            assert!(!forms[0].is_token(wrong), "{wrong}");
        }
        assert!(visits.find("", true, now).is_none());
        assert!(visits.find(&tokens[0], true, now).is_none());
    }

    #[test]
    fn there_are_only_so_many_and_a_credential_has_a_share_of_them() {
        let (visits, start) = (Visits::default(), Instant::now());
        let later = |milliseconds| start + Duration::from_millis(milliseconds);
        let first = visits.begin(credential(0), start).unwrap();
        let busy = visits.begin(credential(1), start).unwrap();
        for number in 1..=60 {
            visits.begin(credential(1), later(number)).unwrap();
        }
        assert!(
            visits.find(&busy, true, later(60)).is_none(),
            "its own share is used up"
        );
        assert!(
            visits.find(&first, true, later(60)).is_some(),
            "that of another is not"
        );
        assert_eq!(visits.lock().len(), MOST_OF_ONE + 1);
        for number in 2..=40 {
            for _ in 0..MOST_OF_ONE {
                visits.begin(credential(number), later(100)).unwrap();
            }
        }
        assert_eq!(visits.lock().len(), MOST);
    }
}
