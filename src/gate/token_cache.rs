//! Tokens that were verified before, so that a warm request needs no cryptography.
//!
//! An entry is tied to what it was found with: to the provider, to the very key set (a rotated-out
//! key takes its tokens with it), and to everything that the revocation feed has said since. It is
//! found by a keyed hash of the token's bytes; two spellings of one token are two entries, which
//! is all that malleability gains here.
//!
//! # How does a revocation reach the entries it names?
//!
//! By a *stamp*: a few thousand slots with a counter each. Every name has a slot by its hash, and a
//! change counts in the slot of its name. An entry holds the sum of its names' slots at the time it
//! was cached, and is void when the sum is another: counters only grow, so it is another as soon as
//! one of them has grown. So a change costs one addition and never a walk through the cache. Now
//! and then it voids the entry of another token too, which costs one verification.

use std::cell::{Cell, OnceCell, RefCell};
use std::hash::Hasher as _;
use std::ptr;
use std::rc::{Rc, Weak};

use quick_cache::Weighter;
use quick_cache::unsync::{Cache, DefaultLifecycle};
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::activity::Place;
use super::checks::Met;
use super::dpop::Holder;
use super::policy::Binding;
use super::session::Injections;
use crate::identity_hash::IdentityHash;
use crate::revocation::{CutOffBy, Fingerprint, Names, Settled};
use crate::token::{Claims, KeySet, VerifiedToken, heap};

/// Memory that the entries of one virtual machine may take, in bytes: some 14,000 tokens of
/// ordinary size. The promise is 24 MiB; the rest is for what the allocator cannot use between
/// blocks.
const CAPACITY_BYTES: u64 = 20 * 1024 * 1024;

/// What the cache itself takes for an entry: a share of a list that doubles when it is full, and of
/// an index of the hashes.
const SHARE_BYTES: usize = 144;

/// Entries that are expected, for the first allocation of the index.
const EXPECTED_ENTRIES: usize = 1_024;

/// Slots. One change in four thousand voids an entry that it does not name.
const SLOTS: u16 = 4_096;

/// A token whose signature was verified with the provider's keys, and what was found of it that
/// does not depend on the request.
#[derive(Debug)]
pub(super) struct KnownToken {
    /// What the key's owner signed.
    token: VerifiedToken,
    binding: Binding,
    /// Which of its claims cut-offs compare with.
    cut_off_by: CutOffBy,
    /// Whether its provider's status lists count.
    honours_status: bool,
    /// Whether it was revoked; `None` when the next request has to look again. Revoked tokens are
    /// kept too, because applications that have not noticed yet come again and again.
    settled: Option<Settled>,
    /// The headers that its claims come to.
    pub(super) injections: Injections,
    /// What proofs for it are compared with, once one was looked at.
    holder: OnceCell<Rc<Holder>>,
    /// The requirement that it was last found to meet, as far as the token alone decides.
    met: Cell<Option<Met>>,
    /// The set whose key has made the signature. A weak reference keeps its address from being used
    /// again, but not its content: entries outlive it by far.
    keys: Weak<KeySet>,
    /// What it is found by.
    id: TokenId,
    /// Its weight when it was cached, in bytes.
    weight: Cell<u64>,
    /// How many requests in progress keep it, and its weight when the first of them began to.
    kept: Cell<(u32, u64)>,
    /// The marks of its names, of which each has a slot.
    marks: Vec<u16>,
    stamp: u64,
    /// Where its session is among those in use, if it was there.
    place: Cell<Place>,
    /// How many changes there had been when the stamp was last compared.
    seen_changes: Cell<u64>,
}

impl KnownToken {
    /// A token that was verified with these keys. [`TokenCache::admit`] adds what is known of its
    /// revocation.
    pub(super) fn new(id: TokenId, token: VerifiedToken, keys: &Rc<KeySet>) -> Self {
        Self::with_keys(id, token, Rc::downgrade(keys))
    }

    /// The same, with what cut-offs compare with at its provider, and whether status lists count there.
    pub(super) fn named_by(self, cut_off_by: CutOffBy, honours_status: bool) -> Self {
        Self {
            cut_off_by,
            honours_status,
            ..self
        }
    }

    fn with_keys(id: TokenId, token: VerifiedToken, keys: Weak<KeySet>) -> Self {
        Self {
            binding: Binding::of(token.claims()),
            cut_off_by: CutOffBy::default(),
            honours_status: false,
            token,
            settled: None,
            injections: Injections::default(),
            holder: OnceCell::new(),
            met: Cell::new(None),
            keys,
            id,
            weight: Cell::new(0),
            kept: Cell::new((0, 0)),
            marks: Vec::new(),
            stamp: 0,
            place: Cell::default(),
            seen_changes: Cell::new(0),
        }
    }

    /// A copy of the token, to replace this one.
    pub(super) fn again(&self) -> Self {
        Self {
            cut_off_by: self.cut_off_by,
            honours_status: self.honours_status,
            met: self.met.clone(),
            holder: self.holder.clone(),
            place: self.place.clone(),
            ..Self::with_keys(self.id, self.token.clone(), Weak::clone(&self.keys))
        }
    }

    pub(super) const fn token(&self) -> &VerifiedToken {
        &self.token
    }

    pub(super) const fn claims(&self) -> &Claims {
        self.token.claims()
    }

    pub(super) const fn binding(&self) -> Binding {
        self.binding
    }

    /// What proofs for this token are compared with; `token` is what it was made of.
    pub(super) fn holder(&self, token: &[u8]) -> &Holder {
        self.holder.get_or_init(|| Rc::new(Holder::of(token)))
    }

    pub(super) const fn cut_off_by(&self) -> CutOffBy {
        self.cut_off_by
    }

    pub(super) const fn honours_status(&self) -> bool {
        self.honours_status
    }

    pub(super) const fn settled(&self) -> Option<Settled> {
        self.settled
    }

    /// The marks of the names that revoke it; none where they are not known.
    pub(super) fn marks(&self) -> &[u16] {
        &self.marks
    }

    /// The requirement that it is known to meet, as far as the token alone decides.
    pub(super) const fn met(&self) -> Option<Met> {
        self.met.get()
    }

    /// Notes that it meets a requirement.
    pub(super) fn keep(&self, met: Met) {
        self.met.set(Some(met));
    }

    /// Where its session is among those in use. Another one may be there by now.
    pub(super) const fn place(&self) -> Place {
        self.place.get()
    }

    /// Notes where its session is.
    pub(super) fn put_at(&self, place: Place) {
        self.place.set(place);
    }

    /// Notes that one more request in progress keeps it. Gives the bytes that it takes if it is the
    /// first: many requests with one token take its memory once.
    pub(super) fn begin_keeping(&self) -> u64 {
        let (requests, weight) = self.kept.get();
        if requests > 0 {
            self.kept.set((requests + 1, weight));
            return 0;
        }
        // What was never cached was never weighed.
        let weight = match self.weight.get() {
            0 => self.heap_bytes(),
            weight => weight,
        };
        self.kept.set((1, weight));
        weight
    }

    /// Notes that one of them keeps it no longer. The same bytes, if it was the last.
    pub(super) fn end_keeping(&self) -> u64 {
        let (requests, weight) = self.kept.get();
        self.kept.set((requests.saturating_sub(1), weight));
        if requests == 1 { weight } else { 0 }
    }

    /// Bytes of memory that it takes, with its share of the cache.
    fn heap_bytes(&self) -> u64 {
        // The two counters of an `Rc` are before what it points to.
        let own = heap::block(size_of::<Self>() + 2 * size_of::<usize>());
        let holder = self.holder.get().map_or(0, |holder| holder.heap_bytes());
        let held = self.token.heap_bytes() + self.injections.heap_bytes() + holder;
        let bytes = SHARE_BYTES + own + held + heap::list::<u16>(self.marks.capacity());
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// Counts of the token cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Look-ups that found a token which still holds.
    pub hits: u32,
    /// Look-ups that found nothing: new tokens, and forged ones.
    pub misses: u32,
    /// Look-ups that found a token whose keys were replaced, or about which the revocation feed
    /// has said something since.
    pub void: u32,
    /// Tokens that are held, void ones included.
    pub entries: usize,
}

/// The verified tokens of one virtual machine.
pub(super) struct TokenCache {
    entries: RefCell<Entries>,
    counts: Cell<CacheCounts>,
    stamps: Stamps,
    secret: [u8; 16],
}

impl std::fmt::Debug for TokenCache {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TokenCache")
            .field("entries", &self.len())
            .finish_non_exhaustive()
    }
}

type Entries =
    Cache<TokenId, Rc<KnownToken>, Weight, IdentityHash, DefaultLifecycle<TokenId, Rc<KnownToken>>>;

impl TokenCache {
    /// An empty cache. `secret` keys the hash, so that no client can make tokens that push each
    /// other out.
    pub(super) fn new(secret: [u8; 16]) -> Self {
        let hasher = IdentityHash::default();
        let lifecycle = DefaultLifecycle::default();
        Self {
            entries: RefCell::new(Cache::with(
                EXPECTED_ENTRIES,
                CAPACITY_BYTES,
                Weight,
                hasher,
                lifecycle,
            )),
            counts: Cell::default(),
            stamps: Stamps::new(),
            secret,
        }
    }

    /// The id of the token with these bytes, at this provider.
    pub(super) fn id(&self, provider: usize, token: &[u8]) -> TokenId {
        let mut hasher = SipHasher13::new_with_key(&self.secret);
        hasher.write_usize(provider);
        hasher.write(token);
        TokenId(hasher.finish128().as_u128())
    }

    /// The entry, unless it is void under these keys.
    pub(super) fn get(&self, id: TokenId, keys: &Rc<KeySet>) -> Option<Rc<KnownToken>> {
        let entries = self.entries.borrow();
        let found = entries.get(&id);
        let holds = |entry: &&Rc<KnownToken>| {
            ptr::eq(entry.keys.as_ptr(), Rc::as_ptr(keys)) && self.stamps.hold(entry)
        };
        let entry = found.filter(holds);
        let mut counts = self.counts.get();
        match (found, entry) {
            (_, Some(_)) => counts.hits += 1,
            (Some(_), None) => counts.void += 1,
            (None, None) => counts.misses += 1,
        }
        self.counts.set(counts);
        entry.map(Rc::clone)
    }

    /// What was looked up since this was last called, and how many entries there are.
    pub(super) fn take_counts(&self) -> CacheCounts {
        CacheCounts {
            entries: self.len(),
            ..self.counts.take()
        }
    }

    /// Keeps a token, and whether it was revoked, until a change concerns one of `names`.
    pub(super) fn admit(
        &self,
        mut entry: KnownToken,
        settled: Option<Settled>,
        names: &Names,
    ) -> Rc<KnownToken> {
        let id = entry.id;
        entry.settled = settled;
        entry.marks = names.all().map(Fingerprint::mark).collect();
        entry.stamp = self.stamps.sum(&entry.marks);
        entry.seen_changes = Cell::new(self.stamps.changes.get());
        entry.weight.set(entry.heap_bytes());
        let entry = Rc::new(entry);
        self.entries.borrow_mut().insert(id, Rc::clone(&entry));
        entry
    }

    /// Weighs an entry again whose headers were made now, if it is kept.
    pub(super) fn weigh(&self, entry: &Rc<KnownToken>) {
        if entry.injections.are_news() {
            let mut entries = self.entries.borrow_mut();
            // Removed with the weight that it went in with, or the sum would be wrong from then on.
            if let Some((id, entry)) = entries.remove(&entry.id) {
                entry.weight.set(entry.heap_bytes());
                entries.insert(id, entry);
            }
        }
    }

    /// Voids the tokens that have one of these names.
    pub(super) fn void(&self, names: &[Fingerprint]) {
        for name in names {
            self.stamps.void(*name);
        }
    }

    /// Voids everything.
    ///
    /// Void entries make room as others come. Dropping twenty thousand entries at once would keep
    /// the worker from everything else for some milliseconds.
    pub(super) fn void_all(&self) {
        self.stamps.void_all();
    }

    /// Entries, void ones included.
    pub(super) fn len(&self) -> usize {
        self.entries.borrow().len()
    }
}

/// What a token is found by: 128 bits of SipHash-1-3 under a secret, of its bytes and its provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct TokenId(u128);

struct Stamps {
    counters: Vec<Cell<u64>>,
    /// Counts the changes that concern every name.
    all: Cell<u64>,
    /// The number of all changes. For most requests there was none since the last one.
    changes: Cell<u64>,
}

impl Stamps {
    fn new() -> Self {
        Self {
            counters: vec![Cell::new(0); usize::from(SLOTS)],
            all: Cell::new(0),
            changes: Cell::new(0),
        }
    }

    /// Whether no change has concerned the entry since it was put in.
    fn hold(&self, entry: &KnownToken) -> bool {
        let changes = self.changes.get();
        let holds = entry.seen_changes.get() == changes || self.sum(&entry.marks) == entry.stamp;
        if holds {
            entry.seen_changes.set(changes);
        }
        holds
    }

    fn slot(mark: u16) -> usize {
        usize::from(mark % SLOTS)
    }

    fn sum(&self, marks: &[u16]) -> u64 {
        let counters = marks
            .iter()
            .filter_map(|mark| self.counters.get(Self::slot(*mark)));
        self.all.get() + counters.map(Cell::get).sum::<u64>()
    }

    fn void_all(&self) {
        self.all.set(self.all.get() + 1);
        self.changes.set(self.changes.get() + 1);
    }

    fn void(&self, name: Fingerprint) {
        if let Some(counter) = self.counters.get(Self::slot(name.mark())) {
            counter.set(counter.get() + 1);
            self.changes.set(self.changes.get() + 1);
        }
    }
}

/// The weight of an entry when it was cached.
#[derive(Clone)]
struct Weight;

impl Weighter<TokenId, Rc<KnownToken>> for Weight {
    fn weight(&self, _id: &TokenId, entry: &Rc<KnownToken>) -> u64 {
        entry.weight.get()
    }
}

#[cfg(test)]
mod tests;
