//! Cut-offs: "everything of this subject that was issued before twelve o'clock is revoked". Which of a
//! token's claims says when that was is for [`Issuance`](super::Issuance) to tell.
//!
//! They are exact. The table is divided into buckets by the fingerprint, so that a look-up reads a
//! few dozen records and a change rewrites as many.
//!
//! A bucket, and a segment of the table, is a list of records, those of the table in the order of
//! [`sort`]:
//!
//! ```text
//! struct Record {            // 48 bytes, little-endian
//!     key: [u8; 16],         // fingerprint of what is cut off
//!     not_before: u64,       // seconds; tokens issued earlier are revoked. The first bit marks a compound name
//!     except: [u8; 16],      // fingerprint of a session that goes on; zeros for none
//!     except_from: u64,      // seconds; older tokens of that session are revoked; 0 without `except`
//! }
//! ```
//!
//! # Why does a record say that its name is compound?
//!
//! A compound name is that of a claim with a value, or of a subject with a client. Filters that know of no such names
//! do not look them up, and would let tokens pass that were revoked by one, without a word. With the
//! first bit, `not_before` is no instant to them. They refuse the whole batch, or the table, as they
//! refuse any other that they do not understand, and operators hear of it; requests are refused by
//! `on_stale`. So filters are updated before the first such name is revoked. The number of the format
//! stays the same, since a feed without such names is for all of them.
//!
//! # Why does an exception have an instant of its own?
//!
//! Because cut-offs for one key add up, and none may restore what an earlier one has revoked. After
//! "everything before Monday" and then "everything before Friday, except this session", only the
//! session's tokens issued since Monday remain. The sum of any number of cut-offs is one record of
//! this form: of two different exceptions, the one that belongs to the earlier instant is covered by
//! the later cut-off.

use super::codec::{DecodeError, Reader};
use super::name::Fingerprint;
use crate::time::UnixTime;

/// Bytes of one record.
pub const RECORD_BYTES: usize = 48;

/// Records that a bucket holds on average.
pub const RECORDS_PER_BUCKET: u64 = 32;

/// Most buckets, which at 32 records each are 33 million cut-offs.
pub const MAX_BUCKETS: u32 = 1 << 20;

const NO_SESSION: [u8; 16] = [0; 16];

/// In `not_before`, marks the record of a compound name. No instant is so late.
const COMPOUND: u64 = 1 << 63;

/// One cut-off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CutOff {
    /// The fingerprint of what is cut off.
    pub key: Fingerprint,
    /// Tokens that were issued before this instant are revoked.
    pub not_before: UnixTime,
    /// A session that goes on.
    pub except: Option<Exception>,
    /// Whether two texts name what is cut off ([`Kind::is_compound`](super::Kind::is_compound)).
    pub is_compound: bool,
}

/// The session that a [`CutOff`] spares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exception {
    /// Which.
    pub session: Fingerprint,
    /// Its tokens that were issued before this instant are revoked all the same.
    pub from: UnixTime,
}

impl CutOff {
    /// Whether it revokes a token in this session for which this instant counts, its
    /// [`Issuance`](super::Issuance). One without may have been issued before any instant.
    #[must_use]
    pub fn revokes(&self, issued_at: Option<UnixTime>, session: Option<Fingerprint>) -> bool {
        let spared = self.except.filter(|except| Some(except.session) == session);
        let not_before = spared.map_or(self.not_before, |spared| spared.from);
        match issued_at {
            Some(issued_at) => issued_at < not_before,
            None => not_before > UnixTime::EPOCH,
        }
    }

    /// Appends the record.
    pub fn encode_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.key.0);
        let mark = if self.is_compound { COMPOUND } else { 0 };
        bytes.extend((self.not_before.seconds() | mark).to_le_bytes());
        let session = self.except.map_or(NO_SESSION, |except| except.session.0);
        let from = self.except.map_or(0, |except| except.from.seconds());
        bytes.extend(session);
        bytes.extend(from.to_le_bytes());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let key = Fingerprint(reader.array()?);
        let marked = reader.u64()?;
        let not_before = UnixTime::from_seconds(marked & !COMPOUND);
        let session = reader.array()?;
        let from = UnixTime::from_seconds(reader.u64()?);
        let from = from.ok_or(DecodeError::Value("except_from"))?;
        let except = (session != NO_SESSION).then_some(Exception {
            session: Fingerprint(session),
            from,
        });
        // Each meaning has exactly one encoding.
        if except.is_none() && from != UnixTime::EPOCH {
            return Err(DecodeError::Value("except_from"));
        }
        Ok(Self {
            key,
            not_before: not_before.ok_or(DecodeError::Value("not_before"))?,
            except,
            is_compound: marked & COMPOUND != 0,
        })
    }
}

/// How many buckets a table of this many cut-offs should have; one at least.
#[must_use]
pub fn bucket_count(cut_offs: u64) -> u32 {
    let buckets = cut_offs.div_ceil(RECORDS_PER_BUCKET);
    u32::try_from(buckets)
        .unwrap_or(MAX_BUCKETS)
        .clamp(1, MAX_BUCKETS)
}

/// The bucket that a key is in, of `bucket_count`.
#[must_use]
pub fn bucket_of(key: Fingerprint, bucket_count: u32) -> u32 {
    key.index_below(bucket_count)
}

/// Sorts a table by the upper halves of the keys, read as little-endian numbers. This is the order
/// of buckets, whatever their number.
pub fn sort(table: &mut [CutOff]) {
    table.sort_unstable_by_key(|cut_off| cut_off.key.halves());
}

/// The cut-off for a key in a table that is sorted.
#[must_use]
pub fn find_sorted(table: &[CutOff], key: Fingerprint) -> Option<&CutOff> {
    let index = table.binary_search_by_key(&key.halves(), |cut_off| cut_off.key.halves());
    table.get(index.ok()?)
}

/// Reads all records.
///
/// # Errors
///
/// [`DecodeError`] for a length that is no multiple of a record's, for instants past the year 9999,
/// and for an `except_from` of no session.
pub fn decode(bytes: &[u8]) -> Result<Vec<CutOff>, DecodeError> {
    let mut cut_offs = Vec::with_capacity(bytes.len() / RECORD_BYTES);
    let mut records = bytes.chunks_exact(RECORD_BYTES);
    for record in &mut records {
        cut_offs.push(CutOff::read(&mut Reader::new(record))?);
    }
    match records.remainder().len() {
        0 => Ok(cut_offs),
        left => Err(DecodeError::Trailing(left)),
    }
}

/// The records as bytes.
#[must_use]
pub fn encode(cut_offs: &[CutOff]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(cut_offs.len() * RECORD_BYTES);
    for cut_off in cut_offs {
        cut_off.encode_to(&mut bytes);
    }
    bytes
}

/// The cut-off for a key in the bytes of its bucket.
#[must_use]
pub fn find(bucket: &[u8], key: Fingerprint) -> Option<CutOff> {
    let record = bucket
        .chunks_exact(RECORD_BYTES)
        .find(|record| record.starts_with(&key.0))?;
    CutOff::read(&mut Reader::new(record)).ok()
}

/// Puts a cut-off into its bucket, replacing an earlier one for the same key.
pub fn set(bucket: &mut Vec<u8>, cut_off: &CutOff) {
    clear(bucket, cut_off.key);
    cut_off.encode_to(bucket);
}

/// Takes the cut-off for a key out of its bucket.
pub fn clear(bucket: &mut Vec<u8>, key: Fingerprint) {
    let index = bucket
        .chunks_exact(RECORD_BYTES)
        .position(|record| record.starts_with(&key.0));
    if let Some(index) = index {
        let start = index * RECORD_BYTES;
        bucket.drain(start..start + RECORD_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    fn time(seconds: u64) -> UnixTime {
        UnixTime::from_seconds(seconds).unwrap()
    }

    fn cut_off(key: u8, seconds: u64, except: Option<u8>) -> CutOff {
        CutOff {
            key: Fingerprint([key; 16]),
            not_before: time(seconds),
            except: except.map(|byte| Exception {
                session: Fingerprint([byte; 16]),
                from: UnixTime::EPOCH,
            }),
            is_compound: false,
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn tokens_issued_before_are_revoked_and_those_issued_then_are_not() {
        let cut_off = cut_off(1, 100, None);
        assert!(cut_off.revokes(Some(time(99)), None));
        assert!(!cut_off.revokes(Some(time(100)), None));
        assert!(
            cut_off.revokes(None, None),
            "a token that does not say when it was issued"
        );
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_excepted_session_goes_on_and_no_other() {
        let cut_off = cut_off(1, 100, Some(9));
        assert!(!cut_off.revokes(Some(time(1)), Some(Fingerprint([9; 16]))));
        assert!(cut_off.revokes(Some(time(1)), Some(Fingerprint([8; 16]))));
        assert!(cut_off.revokes(Some(time(1)), None));
        assert!(!cut_off.revokes(None, Some(Fingerprint([9; 16]))));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn of_the_excepted_session_goes_on_what_was_issued_from_the_exceptions_instant_on() {
        let mut cut_off = cut_off(1, 100, Some(9));
        cut_off.except = cut_off.except.map(|except| Exception {
            from: time(50),
            ..except
        });
        let session = Some(Fingerprint([9; 16]));
        assert!(cut_off.revokes(Some(time(49)), session));
        assert!(cut_off.revokes(None, session));
        assert!(!cut_off.revokes(Some(time(50)), session));
        assert!(cut_off.revokes(Some(time(50)), None));
        assert_eq!(decode(&encode(&[cut_off])), Ok(vec![cut_off]));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn records_come_back_as_they_were() {
        let all = [cut_off(1, 5, None), cut_off(2, 253_402_300_799, Some(3))];
        assert_eq!(decode(&encode(&all)), Ok(all.to_vec()));
        assert_eq!(decode(&[0; 47]), Err(DecodeError::Trailing(47)));
        let mut late = encode(&all[..1]);
        late[16..24].fill(0xff);
        assert_eq!(decode(&late), Err(DecodeError::Value("not_before")));
        let mut without_session = encode(&all[..1]);
        without_session[40] = 1;
        assert_eq!(
            decode(&without_session),
            Err(DecodeError::Value("except_from")),
            "an instant for a session that is not there"
        );
    }

    /// As they did before there were compound names.
    #[wasm_bindgen_test(unsupported = test)]
    fn the_instant_of_a_compound_name_is_none_to_those_that_do_not_know_of_any() {
        for seconds in [0, 5, 253_402_300_799] {
            let compound = CutOff {
                is_compound: true,
                ..cut_off(1, seconds, Some(3))
            };
            let record = encode(&[compound]);
            let not_before = u64::from_le_bytes(*record[16..].first_chunk().unwrap());
            assert_eq!(UnixTime::from_seconds(not_before), None);
            assert_eq!(decode(&record), Ok(vec![compound]));
            assert!(find(&record, compound.key) == Some(compound));
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_bucket_has_one_cut_off_for_a_key() {
        let mut bucket = encode(&[cut_off(1, 5, None), cut_off(2, 6, None)]);
        set(&mut bucket, &cut_off(1, 7, Some(4)));
        assert_eq!(
            find(&bucket, Fingerprint([1; 16])),
            Some(cut_off(1, 7, Some(4)))
        );
        assert_eq!(decode(&bucket).unwrap().len(), 2);
        clear(&mut bucket, Fingerprint([1; 16]));
        assert_eq!(find(&bucket, Fingerprint([1; 16])), None);
        clear(&mut bucket, Fingerprint([1; 16]));
        assert_eq!(decode(&bucket), Ok(vec![cut_off(2, 6, None)]));
    }
}
