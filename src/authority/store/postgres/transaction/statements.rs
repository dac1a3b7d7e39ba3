//! What a transaction has gathered, as statements.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;

use tokio_postgres::types::Type;

use super::OpenTransaction;
use crate::authority::entry::Entry;
use crate::authority::index::ByFingerprint;
use crate::authority::store::StoreError;
use crate::authority::store::postgres::journal::{self, Touched};
use crate::authority::store::postgres::row::{PUT_CHANGES, Parameter, seal, signed};
use crate::authority::store::postgres::state::Standing;
use crate::authority::store::postgres::vault::{PUT_SETTING, Vault};
use crate::authority::store::rows::encode_entry;
use crate::authority::store::seal::Section;
use crate::revocation::{FilterKey, Fingerprint};

/// Commits after which the oldest rows of the journal are removed.
const TRIMMED_EVERY: u64 = 64;

/// A statement with what belongs into it.
pub(super) type Statement = (&'static str, Vec<Parameter>);

impl OpenTransaction<'_> {
    /// All but the row of the journal, and the state.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn statements(self) -> Result<Vec<Statement>, StoreError> {
        let key = self.engine.filter_key;
        let mut statements = Vec::new();
        // Once is enough: then it is in the index.
        let looks = self.engine.has_clashed.swap(false, Ordering::Relaxed);
        let index = self.engine.known.index();
        let is_there = |name| looks || index.sequence_of(name).is_some();
        of_entries(self.entries, is_there, key, &mut statements)?;
        of_owners(self.owners, &mut statements);
        of_issuers(self.issuers, &mut statements);
        of_log(self.log, self.trimmed, key, &mut statements)?;
        let vault = self.engine.connector.vault();
        of_settings(self.settings, vault, &mut statements)?;
        of_staged(self.is_unstaged, self.staged, key, &mut statements)?;
        Ok(statements)
    }
}

/// The row of the journal. The oldest ones are removed, some at a time.
pub(super) fn of_journal(
    standing: Standing,
    touched: &Touched,
    statements: &mut Vec<Statement>,
) -> Result<(), StoreError> {
    statements.push((
        journal::PUT,
        vec![
            (Box::new(signed(standing.commits)?), Type::INT8),
            (Box::new(standing.mark.0.to_vec()), Type::BYTEA),
            (Box::new(touched.encode()), Type::BYTEA),
        ],
    ));
    if standing.commits.is_multiple_of(TRIMMED_EVERY) {
        let through = standing.commits.saturating_sub(journal::LENGTH);
        statements.push((
            "DELETE FROM portcullis.journal WHERE commit <= $1",
            vec![(Box::new(signed(through)?), Type::INT8)],
        ));
    }
    Ok(())
}

/// What is to be done to `entries`, of which the database may have those that `is_there` says.
fn of_entries(
    entries: ByFingerprint<Option<Entry>>,
    is_there: impl Fn(Fingerprint) -> bool,
    key: FilterKey,
    statements: &mut Vec<Statement>,
) -> Result<(), StoreError> {
    let (mut removed, mut added, mut changed) = (Vec::new(), Vec::new(), Vec::new());
    for (name, entry) in entries {
        match entry {
            Some(entry) if is_there(name) => changed.push((name, entry)),
            Some(entry) => added.push((name, entry)),
            None => removed.push(name.0.to_vec()),
        }
    }
    if !removed.is_empty() {
        statements.push((
            "DELETE FROM portcullis.entries WHERE name = ANY($1)",
            vec![(Box::new(removed), Type::BYTEA_ARRAY)],
        ));
    }
    if !added.is_empty() {
        statements.push((
            "INSERT INTO portcullis.entries (name, sequence, content)
            SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[])",
            columns(added, key)?,
        ));
    }
    if !changed.is_empty() {
        statements.push((
            "INSERT INTO portcullis.entries (name, sequence, content)
            SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[])
            ON CONFLICT (name) DO UPDATE
            SET sequence = excluded.sequence, content = excluded.content",
            columns(changed, key)?,
        ));
    }
    Ok(())
}

/// Entries as the columns of their table, in the order of their numbers, in which a start reads them.
fn columns(
    mut entries: Vec<(Fingerprint, Entry)>,
    key: FilterKey,
) -> Result<Vec<Parameter>, StoreError> {
    entries.sort_unstable_by_key(|(_, entry)| entry.sequence);
    let seal = seal(Section::Entries, key);
    let (mut names, mut sequences, mut contents) = (Vec::new(), Vec::new(), Vec::new());
    for (name, entry) in entries {
        sequences.push(signed(entry.sequence)?);
        contents.push(seal.sealed(&name.0, encode_entry(name, &entry)));
        names.push(name.0.to_vec());
    }
    Ok(vec![
        (Box::new(names), Type::BYTEA_ARRAY),
        (Box::new(sequences), Type::INT8_ARRAY),
        (Box::new(contents), Type::BYTEA_ARRAY),
    ])
}

/// What is to be done to `owners`.
fn of_owners(owners: HashMap<[u8; 32], bool>, statements: &mut Vec<Statement>) {
    let (added, removed): (Vec<_>, Vec<_>) = owners.into_iter().partition(|row| row.1);
    let keys = |rows: Vec<([u8; 32], bool)>| -> Vec<Vec<u8>> {
        rows.into_iter().map(|(key, _)| key.to_vec()).collect()
    };
    if !removed.is_empty() {
        statements.push((
            "DELETE FROM portcullis.owners WHERE key = ANY($1)",
            vec![(Box::new(keys(removed)), Type::BYTEA_ARRAY)],
        ));
    }
    if !added.is_empty() {
        statements.push((
            "INSERT INTO portcullis.owners (key) SELECT * FROM unnest($1::bytea[])
            ON CONFLICT (key) DO NOTHING",
            vec![(Box::new(keys(added)), Type::BYTEA_ARRAY)],
        ));
    }
}

/// What is to be done to `issuers`.
fn of_issuers(issuers: BTreeSet<String>, statements: &mut Vec<Statement>) {
    if !issuers.is_empty() {
        let rows: Vec<_> = issuers.into_iter().map(String::into_bytes).collect();
        statements.push((
            "INSERT INTO portcullis.issuers (issuer) SELECT * FROM unnest($1::bytea[])
            ON CONFLICT (issuer) DO NOTHING",
            vec![(Box::new(rows), Type::BYTEA_ARRAY)],
        ));
    }
}

/// What is to be done to `log`.
fn of_log(
    log: Vec<(u64, Vec<u8>)>,
    trimmed: Option<u64>,
    key: FilterKey,
    statements: &mut Vec<Statement>,
) -> Result<(), StoreError> {
    if !log.is_empty() {
        let (mut sequences, mut contents) = (Vec::new(), Vec::new());
        for (sequence, row) in log {
            let sealed = seal(Section::Log, key).sealed(&sequence.to_le_bytes(), row);
            sequences.push(signed(sequence)?);
            contents.push(sealed);
        }
        statements.push((
            PUT_CHANGES,
            vec![
                (Box::new(sequences), Type::INT8_ARRAY),
                (Box::new(contents), Type::BYTEA_ARRAY),
            ],
        ));
    }
    if let Some(through) = trimmed.filter(|through| *through > 0) {
        statements.push((
            "DELETE FROM portcullis.log WHERE sequence <= $1",
            vec![(Box::new(signed(through)?), Type::INT8)],
        ));
    }
    Ok(())
}

/// What is to be done to `settings`.
fn of_settings(
    settings: BTreeMap<String, Vec<u8>>,
    vault: &Vault,
    statements: &mut Vec<Statement>,
) -> Result<(), StoreError> {
    for (name, bytes) in settings {
        let sealed = vault.sealed(&name, bytes)?;
        statements.push((
            PUT_SETTING,
            vec![
                (Box::new(name), Type::TEXT),
                (Box::new(sealed), Type::BYTEA),
            ],
        ));
    }
    Ok(())
}

/// What is to be done to `staged`.
fn of_staged(
    is_unstaged: bool,
    staged: BTreeMap<u64, Option<Vec<u8>>>,
    key: FilterKey,
    statements: &mut Vec<Statement>,
) -> Result<(), StoreError> {
    if is_unstaged {
        statements.push(("DELETE FROM portcullis.staged", Vec::new()));
    }
    for (number, part) in staged {
        let row = signed(number)?;
        statements.push(match part {
            Some(part) => (
                "INSERT INTO portcullis.staged (number, content) VALUES ($1, $2)
                ON CONFLICT (number) DO UPDATE SET content = excluded.content",
                vec![
                    (Box::new(row), Type::INT8),
                    (
                        Box::new(seal(Section::Staged, key).sealed(&number.to_le_bytes(), part)),
                        Type::BYTEA,
                    ),
                ],
            ),
            None => (
                "DELETE FROM portcullis.staged WHERE number = $1",
                vec![(Box::new(row), Type::INT8)],
            ),
        });
    }
    Ok(())
}
