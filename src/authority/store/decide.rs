//! What a revocation or restoration makes of an entry.
//!
//! Pure: the entry as it is, the work and the clock go in, and what is to be written comes out,
//! whatever engine keeps the rows.

use std::time::Duration;

use super::postgres::MAX_LEASE;
use crate::authority::entry::{Action, Entry, Event, Origin, Revocation, Target};
use crate::time::UnixTime;

/// An entry that would end so soon is not kept for longer without a change.
///
/// Another authority on the same database may have missed that it is kept for longer, and answers that it
/// has ended, unless the asker knows of a change that it lacks. An authority answers for the time of its
/// lease without seeing the database, and its clock may be ahead by as much again.
const SOON: Duration = Duration::from_mins(10);

const _: () = assert!(SOON.as_secs() >= 2 * MAX_LEASE.as_secs());

/// A valid request to restore an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restoration {
    /// What is to be restored.
    pub target: Target,
    /// What takes back what it has revoked itself before, and nothing else.
    pub origin: Option<Origin>,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// The clock, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Now {
    /// Since the epoch.
    pub(super) milliseconds: u64,
}

/// What a revocation makes of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RevocationDecision {
    /// Nothing: every token that it names has expired.
    Expired,
    /// Nothing: it adds nothing to the entry.
    Unchanged(Entry),
    /// This, which edges need not hear of: it is kept for longer than the while that it was kept for anyway,
    /// or more is known of it.
    Noted(Entry),
    /// This, which is a change in the feed.
    Changed(Entry),
}

/// What a restoration makes of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RestorationDecision {
    /// Nothing, since it is not in force, or not by this origin.
    NotInForce,
    /// This, which edges need not hear of: others have revoked the same, so that it stays revoked.
    Noted(Entry),
    /// This, which is a change in the feed.
    Changed(Entry),
}

impl Now {
    pub(super) fn time(self) -> UnixTime {
        UnixTime::from_seconds(self.milliseconds / 1000).unwrap_or(UnixTime::MAX)
    }

    fn event(self, action: Action, actor: &str, reason: &str) -> Event {
        Event {
            time: self.milliseconds,
            action,
            actor: actor.to_owned(),
            reason: reason.to_owned(),
        }
    }
}

/// The entry with the revocation in it.
pub(super) fn revoke(old: Option<Entry>, revocation: &Revocation, now: Now) -> RevocationDecision {
    if revocation.expires_at <= now.time() {
        return RevocationDecision::Expired;
    }
    let known = old
        .as_ref()
        .map(|old| (old.expires_at, old.subject.is_none()));
    let mut entry = match old {
        Some(old) if old.is_in_force(now.time()) => old,
        Some(old) => Entry {
            in_force: false,
            expires_at: revocation.expires_at,
            origins: Vec::new(),
            ..old
        },
        None => Entry::new(revocation.target.clone()),
    };
    let is_new_origin = entry.add_origin(revocation.origin.as_ref());
    let is_change = if entry.in_force {
        let is_more = match revocation.target.kind {
            kind if kind.is_cut_off() => entry.extend_cut_off(revocation),
            _ => entry.extend_session(revocation),
        };
        // Requests in progress that were left alone may end now, and clients are told another code.
        let cause = entry.cause.and(revocation.cause);
        let is_other = std::mem::replace(&mut entry.cause, cause) != cause;
        let would_end = entry.expires_at <= now.time().later_by(SOON);
        is_more || is_other || would_end && entry.expires_at < revocation.expires_at
    } else {
        entry.in_force = true;
        entry.cause = revocation.cause;
        entry.set_cut_off(revocation);
        true
    };
    entry.expires_at = entry.expires_at.max(revocation.expires_at);
    if entry.subject.is_none() {
        entry.subject.clone_from(&revocation.subject);
    }
    let same = (entry.expires_at, entry.subject.is_none());
    if !is_change && !is_new_origin && known == Some(same) {
        return RevocationDecision::Unchanged(entry);
    }
    entry.note(now.event(Action::Revoked, &revocation.actor, &revocation.reason));
    if is_change {
        RevocationDecision::Changed(entry)
    } else {
        RevocationDecision::Noted(entry)
    }
}

/// The entry without the revocation.
pub(super) fn restore(
    old: Option<Entry>,
    restoration: &Restoration,
    now: Now,
) -> RestorationDecision {
    let Some(mut entry) = old.filter(|entry| entry.is_in_force(now.time())) else {
        return RestorationDecision::NotInForce;
    };
    let Restoration { actor, reason, .. } = restoration;
    if let Some(origin) = &restoration.origin {
        let Some(is_left) = entry.remove_origin(origin) else {
            return RestorationDecision::NotInForce;
        };
        if is_left {
            entry.note(now.event(Action::Withdrawn, actor, reason));
            return RestorationDecision::Noted(entry);
        }
    }
    entry.in_force = false;
    entry.origins.clear();
    entry.note(now.event(Action::Restored, actor, reason));
    RestorationDecision::Changed(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::{Cause, Kind};

    const NOW: Now = Now {
        milliseconds: 1_767_225_600_123,
    };

    fn time(seconds_from_now: u64) -> UnixTime {
        UnixTime::from_seconds(NOW.milliseconds / 1000 + seconds_from_now).unwrap()
    }

    fn revocation(kind: Kind, lives: u64) -> Revocation {
        Revocation {
            target: Target {
                kind,
                issuer: "https://issuer.example".into(),
                value: "a".into(),
                qualifier: String::new(),
            },
            expires_at: time(lives),
            not_before: time(1),
            except_session: None,
            subject: None,
            cause: Cause::Plain,
            actor: "operator".into(),
            reason: "why".into(),
            origin: None,
        }
    }

    fn revoked(old: Option<Entry>, kind: Kind, lives: u64) -> Entry {
        match revoke(old, &revocation(kind, lives), NOW) {
            RevocationDecision::Changed(entry) => entry,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_rotated_and_is_revoked_otherwise_is_a_change_and_never_the_other_way_round() {
        let rotated = Revocation {
            cause: Cause::Rotated,
            ..revocation(Kind::Token, 100)
        };
        let RevocationDecision::Changed(entry) = revoke(None, &rotated, NOW) else {
            panic!("it is new");
        };
        assert_eq!(entry.cause, Cause::Rotated);
        let again = revoke(Some(entry.clone()), &rotated, NOW);
        assert_eq!(again, RevocationDecision::Unchanged(entry.clone()));
        let entry = revoked(Some(entry), Kind::Token, 100);
        assert_eq!(entry.cause, Cause::Plain, "requests in progress end");
        let after = revoke(Some(entry.clone()), &rotated, NOW);
        assert_eq!(after, RevocationDecision::Unchanged(entry));
    }

    #[test]
    fn a_session_that_ended_by_itself_has_that_cause_until_it_is_revoked_otherwise_or_restored() {
        let with = |cause| Revocation {
            cause,
            ..revocation(Kind::Session, 100)
        };
        let of = |old: Option<&Entry>, cause| match revoke(old.cloned(), &with(cause), NOW) {
            RevocationDecision::Changed(entry) => (entry, true),
            RevocationDecision::Unchanged(entry) => (entry, false),
            other => panic!("{other:?}"),
        };
        let (idle, _) = of(None, Cause::Idle);
        assert_eq!(idle.cause, Cause::Idle);
        for (next, is_change) in [
            (Cause::Idle, false),
            (Cause::TooOld, false),
            (Cause::Plain, true),
            (Cause::Suspicious, true),
        ] {
            let expected = if is_change { next } else { Cause::Idle };
            let (entry, is_told) = of(Some(&idle), next);
            assert_eq!((entry.cause, is_told), (expected, is_change));
            let (after, is_told) = of(Some(&entry), Cause::Displaced);
            assert_eq!((after.cause, is_told), (expected, false));
        }
        let restoration = Restoration {
            target: idle.target.clone(),
            actor: "operator".into(),
            reason: String::new(),
            origin: None,
        };
        let RestorationDecision::Changed(restored) = restore(Some(idle), &restoration, NOW) else {
            panic!("it was in force");
        };
        assert_eq!(of(Some(&restored), Cause::Plain).0.cause, Cause::Plain);
        assert_eq!(of(Some(&restored), Cause::TooOld).0.cause, Cause::TooOld);
    }

    #[test]
    fn a_first_revocation_is_a_change_with_an_event() {
        for kind in Kind::ALL {
            let entry = revoked(None, kind, 10);
            assert!(entry.in_force);
            assert_eq!(entry.expires_at, time(10));
            let event = &entry.events[0];
            assert_eq!(
                (event.time, event.action, event.actor.as_str()),
                (NOW.milliseconds, Action::Revoked, "operator")
            );
        }
    }

    #[test]
    fn what_names_no_token_any_more_makes_nothing_of_anything() {
        let old = revoked(None, Kind::Token, 10);
        for old in [None, Some(old)] {
            let late = revoke(old, &revocation(Kind::Token, 0), NOW);
            assert_eq!(late, RevocationDecision::Expired);
        }
    }

    #[test]
    fn of_a_longer_life_or_an_owner_edges_do_not_hear() {
        let lives = SOON.as_secs() + 1;
        let old = revoked(None, Kind::Token, lives);
        let again = |lives| revoke(Some(old.clone()), &revocation(Kind::Token, lives), NOW);
        assert_eq!(again(lives), RevocationDecision::Unchanged(old.clone()));
        assert_eq!(again(lives - 1), RevocationDecision::Unchanged(old.clone()));
        let RevocationDecision::Noted(longer) = again(lives + 1) else {
            panic!("{:?}", again(lives + 1));
        };
        assert_eq!(longer.expires_at, time(lives + 1));
        assert_eq!(longer.events.len(), 2);
        let owned = Revocation {
            subject: Some("u".into()),
            ..revocation(Kind::Token, 10)
        };
        let RevocationDecision::Noted(owned) = revoke(Some(old.clone()), &owned, NOW) else {
            panic!("an owner was not taken");
        };
        assert_eq!(owned.subject.as_deref(), Some("u"));
    }

    #[test]
    fn of_a_longer_life_of_what_would_end_soon_edges_hear() {
        for kind in Kind::ALL {
            let old = revoked(None, kind, SOON.as_secs());
            let again = |lives| revoke(Some(old.clone()), &revocation(kind, lives), NOW);
            let same = again(SOON.as_secs());
            assert_eq!(same, RevocationDecision::Unchanged(old.clone()));
            let RevocationDecision::Changed(longer) = again(SOON.as_secs() + 1) else {
                panic!("{kind:?}: others may take it to have ended");
            };
            assert_eq!(longer.expires_at, time(SOON.as_secs() + 1));
        }
    }

    #[test]
    fn what_was_restored_or_has_lapsed_is_revoked_anew_with_its_history() {
        let old = revoked(None, Kind::Subject, 10);
        let restoration = Restoration {
            target: old.target.clone(),
            actor: "operator".into(),
            reason: String::new(),
            origin: None,
        };
        let RestorationDecision::Changed(restored) = restore(Some(old.clone()), &restoration, NOW)
        else {
            panic!("it was in force");
        };
        assert!(!restored.in_force);
        assert_eq!(
            restore(Some(restored.clone()), &restoration, NOW),
            RestorationDecision::NotInForce
        );
        assert_eq!(
            restore(None, &restoration, NOW),
            RestorationDecision::NotInForce
        );
        let again = revoked(Some(restored), Kind::Subject, 5);
        assert_eq!((again.expires_at, again.events.len()), (time(5), 3));
        let later = Now {
            milliseconds: NOW.milliseconds + 10_000,
        };
        assert_eq!(
            restore(Some(old.clone()), &restoration, later),
            RestorationDecision::NotInForce
        );
        let lapsed = revoke(Some(old), &revocation(Kind::Subject, 30), later);
        assert!(matches!(lapsed, RevocationDecision::Changed(entry) if entry.events.len() == 2));
    }

    fn from(origin: Option<&str>, kind: Kind) -> Revocation {
        Revocation {
            origin: origin.map(|name| Origin::named(name.to_owned())),
            ..revocation(kind, 100)
        }
    }

    fn restored_by(old: Entry, origin: Option<&str>) -> RestorationDecision {
        let restoration = Restoration {
            target: old.target.clone(),
            origin: origin.map(|name| Origin::named(name.to_owned())),
            actor: "signal".into(),
            reason: String::new(),
        };
        restore(Some(old), &restoration, NOW)
    }

    #[test]
    fn an_origin_takes_back_what_it_has_revoked_and_nothing_else() {
        for kind in Kind::ALL {
            let RevocationDecision::Changed(own) = revoke(None, &from(Some("a"), kind), NOW) else {
                panic!("it is new");
            };
            assert_eq!(
                restored_by(own.clone(), Some("b")),
                RestorationDecision::NotInForce
            );
            let RestorationDecision::Changed(restored) = restored_by(own.clone(), Some("a")) else {
                panic!("{kind:?}: its own");
            };
            assert!(!restored.in_force && restored.origins.is_empty());
            // An operator restores it, whatever it comes from.
            let by_operator = restored_by(own.clone(), None);
            assert!(
                matches!(by_operator, RestorationDecision::Changed(_)),
                "{kind:?}"
            );
            for other in [None, Some("b")] {
                let RevocationDecision::Noted(both) =
                    revoke(Some(own.clone()), &from(other, kind), NOW)
                else {
                    panic!("{kind:?}: edges need not hear of it");
                };
                let RestorationDecision::Noted(left) = restored_by(both, Some("a")) else {
                    panic!("{kind:?}: the other is still there");
                };
                assert!(left.in_force);
                let last = left.events.last().unwrap();
                assert_eq!(last.action, Action::Withdrawn);
                let again = restored_by(left.clone(), Some("a"));
                assert_eq!(again, RestorationDecision::NotInForce);
                let by_other = restored_by(left, other);
                assert!(
                    matches!(by_other, RestorationDecision::Changed(_)),
                    "{kind:?}"
                );
            }
        }
    }

    /// Whatever has come in between, and whatever else knows of it.
    #[test]
    fn what_has_happened_earlier_takes_nothing_back() {
        let at = |seconds| {
            Some(Origin {
                name: "a".into(),
                at: Some(time(seconds)),
            })
        };
        for kind in Kind::ALL {
            let by = Revocation {
                origin: at(20),
                ..revocation(kind, 100)
            };
            let RevocationDecision::Changed(entry) = revoke(None, &by, NOW) else {
                panic!("it is new");
            };
            let restoration = |seconds| Restoration {
                target: entry.target.clone(),
                origin: at(seconds),
                actor: "signal".into(),
                reason: String::new(),
            };
            let restored = |seconds| restore(Some(entry.clone()), &restoration(seconds), NOW);
            assert_eq!(restored(19), RestorationDecision::NotInForce);
            assert!(matches!(restored(20), RestorationDecision::Changed(_)));
            let once_more = Revocation {
                origin: at(30),
                ..by
            };
            let RevocationDecision::Noted(later) = revoke(Some(entry.clone()), &once_more, NOW)
            else {
                panic!("{kind:?}: edges need not hear of it");
            };
            let late = restore(Some(later), &restoration(25), NOW);
            assert_eq!(late, RestorationDecision::NotInForce);
        }
    }

    #[test]
    fn what_was_revoked_without_an_origin_is_not_taken_back_by_one() {
        let plain = revoked(None, Kind::Device, 100);
        assert_eq!(
            restored_by(plain.clone(), Some("a")),
            RestorationDecision::NotInForce
        );
        let RevocationDecision::Noted(both) =
            revoke(Some(plain), &from(Some("a"), Kind::Device), NOW)
        else {
            panic!("edges need not hear of it");
        };
        let RestorationDecision::Noted(left) = restored_by(both, Some("a")) else {
            panic!("an operator has revoked it");
        };
        assert!(left.in_force);
    }

    #[test]
    fn a_session_is_revoked_for_all_sign_ins_that_any_revocation_names() {
        let until = |seconds| Revocation {
            not_before: time(seconds),
            ..revocation(Kind::Session, 100)
        };
        let for_ever = Revocation {
            not_before: UnixTime::EPOCH,
            ..revocation(Kind::Session, 100)
        };
        let RevocationDecision::Changed(first) = revoke(None, &until(5), NOW) else {
            panic!("it is new");
        };
        assert_eq!(first.signed_in_from(), time(5));
        let again = revoke(Some(first.clone()), &until(4), NOW);
        assert_eq!(again, RevocationDecision::Unchanged(first.clone()));
        let RevocationDecision::Changed(later) = revoke(Some(first), &until(6), NOW) else {
            panic!("it names more");
        };
        assert_eq!(later.signed_in_from(), time(6));
        let RevocationDecision::Changed(whole) = revoke(Some(later), &for_ever, NOW) else {
            panic!("it names all");
        };
        assert_eq!(whole.signed_in_from(), UnixTime::EPOCH);
        let after = revoke(Some(whole.clone()), &until(9), NOW);
        assert_eq!(after, RevocationDecision::Unchanged(whole));
    }
}
