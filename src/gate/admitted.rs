//! The tokens that let a request in, for as long as it is in progress.
//!
//! Whether a change may concern them is told by sixteen bits of their names, which stand with the
//! token; only for those that may be meant are the names hashed once more and compared whole. So what
//! changes costs a request that it does not concern some ten comparisons of bits.

use std::rc::Rc;
use std::time::Duration;

use super::activity::Activity;
use super::decision::Pass;
use super::policy::StreamRule;
use super::revocation::Check;
use super::token_cache::KnownToken;
use super::{Gate, Policy};
use crate::host::SharedData;
use crate::revocation::{Fingerprint, Settled};
use crate::time::UnixTime;

/// The tokens that let a request in. Every request that is watched keeps one, so it is small.
#[derive(Clone, Debug)]
pub struct Admitted {
    first: Rc<KnownToken>,
    more: Option<Box<More>>,
}

/// What few requests have.
#[derive(Clone, Debug)]
struct More {
    tokens: Vec<Rc<KnownToken>>,
    expires_at: Option<UnixTime>,
}

impl Admitted {
    /// What is to be kept of these passes; `None` where nothing ends a request in progress.
    pub(super) fn of(policy: &Policy, passes: &[Pass<'_>]) -> Option<Self> {
        let (first, others) = passes.split_first()?;
        if !policy.watches_streams() {
            return None;
        }
        let token = |pass: &Pass<'_>| Rc::clone(&pass.token);
        let expires = policy.streams.on_expiry == StreamRule::Close;
        let more = (expires || !others.is_empty()).then(|| {
            let expires_at = passes.iter().filter_map(Pass::expires_at).min();
            Box::new(More {
                tokens: others.iter().map(token).collect(),
                expires_at: expires_at.filter(|_| expires),
            })
        });
        Some(Self {
            first: token(first),
            more,
        })
    }

    /// When the first of the tokens has expired, where requests in progress are to end then.
    #[must_use]
    pub fn expires_at(&self) -> Option<UnixTime> {
        self.more.as_ref()?.expires_at
    }

    /// Whether it was settled that none of the tokens was revoked.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let is_settled = |token: &Rc<KnownToken>| token.settled() == Some(Settled::NotRevoked);
        is_settled(&self.first) && self.others().iter().all(is_settled)
    }

    /// Notes that it is kept. Gives the bytes of memory that are taken by those of its tokens that no
    /// other admitted request keeps.
    #[must_use]
    pub fn begin_keeping(&self) -> u64 {
        self.tokens().map(KnownToken::begin_keeping).sum()
    }

    /// Notes that it is kept no longer. The bytes of those that no other one keeps.
    #[must_use]
    pub fn end_keeping(&self) -> u64 {
        self.tokens().map(KnownToken::end_keeping).sum()
    }

    fn tokens(&self) -> impl Iterator<Item = &KnownToken> {
        let tokens = std::iter::once(&self.first).chain(self.others());
        tokens.map(|token| &**token)
    }

    fn others(&self) -> &[Rc<KnownToken>] {
        self.more.as_ref().map_or(&[], |more| &more.tokens)
    }
}

/// Names that changes were about.
#[derive(Debug)]
pub struct ChangedNames<'n> {
    /// A bit for every mark that a name may have.
    marks: Vec<u64>,
    names: &'n [Fingerprint],
}

impl<'n> ChangedNames<'n> {
    /// These names.
    #[must_use]
    pub fn new(names: &'n [Fingerprint]) -> Self {
        let mut marks = vec![0; (1 << 16) / 64];
        for name in names {
            let (word, bit) = place(name.mark());
            if let Some(word) = marks.get_mut(word) {
                *word |= bit;
            }
        }
        Self { marks, names }
    }

    /// Whether they may concern a token of an admitted request, as far as the marks tell.
    #[must_use]
    pub fn may_concern(&self, admitted: &Admitted) -> bool {
        let may_be = |token: &KnownToken| {
            let mut marks = token.marks().iter();
            marks.len() == 0 || marks.any(|mark| self.may_have(*mark))
        };
        admitted.tokens().any(may_be)
    }

    fn may_have(&self, mark: u16) -> bool {
        let (word, bit) = place(mark);
        self.marks.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Few names have a mark by chance, and those few are looked for among all: to sort them would take
    /// more code than all the rest. So this is not for thousands of names.
    fn has(&self, name: Fingerprint) -> bool {
        self.may_have(name.mark()) && self.names.contains(&name)
    }
}

/// Which word of a list of bits, and which bit of it.
const fn place(mark: u16) -> (usize, u64) {
    (mark as usize / 64, 1 << (mark % 64))
}

/// What is known now of a request in progress.
#[derive(Clone, Debug, PartialEq)]
pub enum Validity {
    /// None of its tokens was revoked.
    Holds,
    /// One was.
    Revoked,
    /// The authority has to be asked.
    Check(Vec<Check>),
}

impl Policy {
    /// Whether anything can end a request in progress.
    #[must_use]
    pub fn watches_streams(&self) -> bool {
        self.closes_revoked() || self.streams.on_expiry == StreamRule::Close
    }

    /// Whether a revocation ends requests in progress.
    #[must_use]
    pub fn closes_revoked(&self) -> bool {
        self.has_feed() && self.streams.on_revocation == StreamRule::Close
    }
}

impl Gate {
    /// Whether changes with these names concern a token of an admitted request that they may concern.
    #[must_use]
    pub fn concerns(&self, admitted: &Admitted, changed: &ChangedNames<'_>) -> bool {
        let Some(revocations) = &self.verification.revocations else {
            return false;
        };
        let mut tokens = admitted.tokens();
        tokens.any(|token| revocations.is_named(token, |name| changed.has(name)))
    }

    /// How often [`Gate::note_stream`] is to be called for every admitted request that is still in
    /// progress; `None` where that is no use of its session. Where a revocation does not end it, it is
    /// none: the authority would take a session that has ended for one in use.
    #[must_use]
    pub fn stream_period(&self) -> Option<Duration> {
        let activity = self.activity.as_ref();
        let activity = activity.filter(|_| self.policy.closes_revoked());
        activity.and_then(Activity::stream_period)
    }

    /// Takes notice that an admitted request is still in progress.
    pub fn note_stream(&self, admitted: &Admitted) {
        if let Some(activity) = &self.activity {
            activity.note_stream(admitted.tokens());
        }
    }

    /// What is known now of the tokens of an admitted request.
    pub fn look_again(
        &self,
        host: &impl SharedData,
        random: impl Fn() -> u64,
        admitted: &Admitted,
    ) -> Validity {
        let Some(revocations) = &self.verification.revocations else {
            return Validity::Holds;
        };
        let mut checks = Vec::new();
        for token in admitted.tokens() {
            match revocations.look_again(host, &random, token) {
                Validity::Holds => {}
                Validity::Revoked => return Validity::Revoked,
                Validity::Check(more) => checks.extend(more),
            }
        }
        if checks.is_empty() {
            Validity::Holds
        } else {
            Validity::Check(checks)
        }
    }

    /// Whether requests are refused now because the feed cannot be relied on.
    pub fn refuses_unknown(&self, host: &impl SharedData, now_milliseconds: u64) -> bool {
        let Some(revocations) = &self.verification.revocations else {
            return false;
        };
        let standing = revocations.standing(host, now_milliseconds);
        revocations.posture(standing) == Some(super::Posture::Deny)
    }
}
