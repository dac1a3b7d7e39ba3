//! The content of rows.

use super::{Head, StoreError};
use crate::authority::entry::{self, Entry, Summary};
use crate::authority::index::{Effect, Row};
use crate::revocation::{Chain, Change, FilterKey, Fingerprint};

/// The name under which the secret for names is kept.
pub(super) const FILTER_KEY: &str = "filter_key";

/// The key in `meta` of the feed's head.
pub(super) const HEAD: &str = "head";

impl Head {
    pub(super) fn encode(self) -> [u8; 40] {
        let mut bytes = [0; 40];
        let (sequence, chain) = bytes.split_at_mut(8);
        sequence.copy_from_slice(&self.sequence.to_le_bytes());
        chain.copy_from_slice(&self.chain.0);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let (sequence, chain) = bytes.split_first_chunk().ok_or(StoreError::Row)?;
        Ok(Self {
            sequence: u64::from_le_bytes(*sequence),
            chain: Chain(chain.try_into().map_err(|_| StoreError::Row)?),
        })
    }
}

/// A row of `entries`.
pub(super) fn encode_entry(name: Fingerprint, entry: &Entry) -> Vec<u8> {
    let encoded = entry.encode();
    // With room for the checksum.
    let mut row = Vec::with_capacity(encoded.len() + 24);
    row.extend(name.0);
    row.extend(encoded);
    row
}

pub(super) fn decode_entry(row: &[u8]) -> Result<(Fingerprint, Entry), StoreError> {
    let (name, entry) = split_entry(row)?;
    Ok((name, Entry::decode(entry).ok_or(StoreError::Row)?))
}

fn split_entry(row: &[u8]) -> Result<(Fingerprint, &[u8]), StoreError> {
    let (name, entry) = row.split_first_chunk().ok_or(StoreError::Row)?;
    Ok((Fingerprint(*name), entry))
}

/// What the index has to know of a row of `entries`. No more of the row is decoded than that takes.
pub(super) fn effect_of(sequence: u64, row: &[u8], key: &FilterKey) -> Result<Effect, StoreError> {
    let (name, row) = split_entry(row)?;
    let Summary {
        kind,
        in_force,
        cause,
        expires_at,
        not_before,
    } = entry::summary(row).ok_or(StoreError::Row)?;
    let found = Row {
        expires_at,
        sequence,
        cause,
        signed_in_from: entry::signed_in_from(kind, not_before),
    };
    if !in_force {
        return Ok(Effect::Restored(name, kind, found));
    }
    if !kind.is_cut_off() {
        return Ok(Effect::Entry(name, found));
    }
    let entry = Entry::decode(row).ok_or(StoreError::Row)?;
    Ok(Effect::CutOff(entry.cut_off(key), found))
}

/// A key of `subjects`.
pub(super) fn owner_key(owner: Fingerprint, name: Fingerprint) -> [u8; 32] {
    let mut key = [0; 32];
    let (first, second) = key.split_at_mut(16);
    first.copy_from_slice(&owner.0);
    second.copy_from_slice(&name.0);
    key
}

/// A row of `log`.
pub(super) fn encode_log(chain: Chain, change: &Change) -> Vec<u8> {
    let mut row = chain.0.to_vec();
    change.encode_to(&mut row);
    row
}

pub(super) fn decode_log(row: &[u8]) -> Result<(Change, Chain), StoreError> {
    let (chain, change) = row.split_first_chunk().ok_or(StoreError::Row)?;
    let change = Change::decode(change).map_err(|_| StoreError::Row)?;
    Ok((change, Chain(*chain)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::entry::{Action, Event, ExceptedSession, Target};
    use crate::authority::store::to_hex;
    use crate::revocation::{Cause, Kind};
    use crate::time::UnixTime;

    /// Earlier versions have written these.
    #[test]
    fn rows_are_written_as_they_always_were() {
        let (name, chain) = (Fingerprint([0xaa; 16]), Chain([0xcc; 32]));
        let time = |seconds| UnixTime::from_seconds(seconds).unwrap();
        let entry = Entry {
            in_force: true,
            cause: Cause::Plain,
            expires_at: time(7),
            sequence: 9,
            not_before: time(5),
            except: Some(ExceptedSession {
                session: "s".into(),
                from: time(3),
            }),
            subject: Some("u".into()),
            events: vec![Event {
                time: 1,
                action: Action::Revoked,
                actor: "a".into(),
                reason: String::new(),
            }],
            ..Entry::new(Target {
                kind: Kind::Subject,
                issuer: "i".into(),
                value: "v".into(),
                qualifier: String::new(),
            })
        };
        let row = encode_entry(name, &entry);
        assert_eq!(
            to_hex(&row),
            [
                &"aa".repeat(16),
                "020401",
                "0700000000000000",
                "0900000000000000",
                "0500000000000000",
                "010069",
                "010076",
                "010073",
                "0300000000000000",
                "010075",
                "01",
                "0100000000000000",
                "01",
                "010061",
                "0000",
            ]
            .concat()
        );
        assert_eq!(decode_entry(&row).unwrap(), (name, entry));
        let row = encode_log(chain, &Change::Add(name));
        assert_eq!(
            to_hex(&row),
            ["cc".repeat(32), "01".into(), "aa".repeat(16)].concat()
        );
        assert_eq!(decode_log(&row).unwrap(), (Change::Add(name), chain));
        let head = Head { sequence: 9, chain };
        let row = ["0900000000000000", &"cc".repeat(32)].concat();
        assert_eq!(to_hex(&head.encode()), row);
        assert_eq!(Head::decode(&head.encode()).unwrap(), head);
        let key = [&"aa".repeat(16)[..], &"00".repeat(16)].concat();
        assert_eq!(to_hex(&owner_key(name, Fingerprint([0; 16]))), key);
    }
}
