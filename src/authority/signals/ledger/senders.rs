//! The networks from which something genuine came lately, so that a restart in the middle of a flood shuts
//! out none of those that were served beside it.
//!
//! A network is written when it is new and then once an hour at most, whatever it sends, so that what is
//! read at a start is up to an hour older than it was.

use std::net::{IpAddr, Ipv6Addr};

use redb::{
    ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, TableDefinition,
    TableError, WriteTransaction,
};

use super::file::File;
use super::{Command, Ledger, Note};
use crate::authority::clocks::network;
use crate::authority::signals::admission::REPUTATION;
use crate::authority::store::{StoreError, caught, failed};
use crate::authority::text::chain_of;
use crate::time::UnixTime;

/// By what a network is known there, and its first address; when the last genuine one came, in seconds.
const SENDERS: TableDefinition<'_, (u8, u128), u64> = TableDefinition::new("senders");

/// Networks that are kept of each kind.
const MOST_SENDERS: usize = 4_096;

/// By what it is known that something is genuine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authority::signals) enum SenderKind {
    /// By the signature of an issuer, or the secret of a caller.
    Provider,
    /// By what an OAuth client shows.
    Client,
}

impl SenderKind {
    const ALL: [Self; 2] = [Self::Provider, Self::Client];

    const fn number(self) -> u8 {
        match self {
            Self::Provider => 0,
            Self::Client => 1,
        }
    }
}

/// A network from which something genuine came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authority::signals) struct KnownSender {
    pub(in crate::authority::signals) kind: SenderKind,
    /// Its first address.
    pub(in crate::authority::signals) network: IpAddr,
    /// When the last one came.
    pub(in crate::authority::signals) last: UnixTime,
}

impl KnownSender {
    /// The network of this address, from which something genuine came just now.
    pub(in crate::authority::signals) fn of(
        address: IpAddr,
        kind: SenderKind,
        now: UnixTime,
    ) -> Self {
        Self {
            kind,
            network: network(address),
            last: now,
        }
    }

    const fn key(&self) -> (u8, u128) {
        let address = match self.network {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        (self.kind.number(), address.to_bits())
    }

    fn read((kind, address): (u8, u128), last: u64) -> Option<Self> {
        let mut kinds = SenderKind::ALL.into_iter();
        Some(Self {
            kind: kinds.find(|known| known.number() == kind)?,
            network: IpAddr::V6(Ipv6Addr::from_bits(address)).to_canonical(),
            last: UnixTime::from_seconds(last)?,
        })
    }
}

impl Ledger {
    /// Keeps that something genuine came from a network, some time.
    pub(in crate::authority::signals) fn keep_sender(&self, sender: KnownSender) {
        let note = Note {
            sender: Some(sender),
            ..Note::default()
        };
        // Where it is not kept, it is written again an hour later.
        let _ = self.queue.try_send(Command::Keep(Box::new(note)));
    }

    /// The networks from which something genuine came lately. None where that cannot be read: then they
    /// are strangers until the next.
    pub(in crate::authority::signals) fn known_senders(&self) -> Vec<KnownSender> {
        self.file.senders().unwrap_or_else(|error| {
            let error = chain_of(&error);
            tracing::error!(error, "could not read who has sent something genuine");
            self.metrics.ledger_failed();
            Vec::new()
        })
    }
}

impl File {
    /// Writes those of some notes, and drops those that are the longest ago where there are too many.
    pub(super) fn add_senders(
        writing: &WriteTransaction,
        notes: &[Box<Note>],
    ) -> Result<(), StoreError> {
        let mut senders = notes.iter().filter_map(|note| note.sender).peekable();
        if senders.peek().is_none() {
            return Ok(());
        }
        let mut table = writing.open_table(SENDERS).map_err(failed)?;
        for sender in senders {
            let last = sender.last.seconds();
            table.insert(sender.key(), last).map_err(failed)?;
        }
        if table.len().map_err(failed)? <= MOST_SENDERS as u64 {
            return Ok(());
        }
        for kind in SenderKind::ALL.map(SenderKind::number) {
            let mut rows = Vec::new();
            for row in table.range((kind, 0)..=(kind, u128::MAX)).map_err(failed)? {
                let (key, last) = row.map_err(failed)?;
                rows.push((last.value(), key.value()));
            }
            let surplus = rows.len().saturating_sub(MOST_SENDERS);
            rows.sort_unstable();
            for (_, key) in rows.into_iter().take(surplus) {
                table.remove(key).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Drops those that count for nothing any more.
    pub(super) fn sweep_senders(
        writing: &WriteTransaction,
        now: UnixTime,
    ) -> Result<(), StoreError> {
        let oldest = now.seconds().saturating_sub(REPUTATION.as_secs());
        let mut table = writing.open_table(SENDERS).map_err(failed)?;
        table.retain(|_, last| last >= oldest).map_err(failed)
    }

    /// All of them. Rows that cannot be read are left out.
    fn senders(&self) -> Result<Vec<KnownSender>, StoreError> {
        if !self.exists() {
            return Ok(Vec::new());
        }
        let database = self.opened()?;
        caught(|| {
            let reading = database.begin_read().map_err(failed)?;
            let table = match reading.open_table(SENDERS) {
                Ok(table) => table,
                Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                Err(error) => return Err(failed(error)),
            };
            let mut senders = Vec::new();
            for row in table.iter().map_err(failed)? {
                let (key, last) = row.map_err(failed)?;
                senders.extend(KnownSender::read(key.value(), last.value()));
            }
            Ok(senders)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::tests::{LIMITS, key};
    use super::*;

    fn note(kind: SenderKind, number: u32, last: u64) -> Box<Note> {
        let network = IpAddr::V4(Ipv4Addr::from_bits(number));
        let last = UnixTime::from_seconds(last).unwrap();
        let sender = KnownSender {
            kind,
            network,
            last,
        };
        Box::new(Note {
            sender: Some(sender),
            ..Note::default()
        })
    }

    #[test]
    fn the_last_ones_of_each_kind_are_kept_and_old_ones_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let file = File::new(directory.path(), key());
        assert_eq!(file.senders().unwrap(), []);
        let first = note(SenderKind::Provider, 1, 1_000_000);
        let network = IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, 0]);
        let mut other = note(SenderKind::Provider, 0, 1_000_001);
        if let Some(other) = &mut other.sender {
            other.network = network;
        }
        let expected = [first.sender.unwrap(), other.sender.unwrap()];
        file.write(&[first, other], &LIMITS).unwrap();
        assert_eq!(file.senders().unwrap(), expected);
        let most = u32::try_from(MOST_SENDERS).unwrap();
        let clients = (0..most + 5).map(|number| {
            let last = 2_000_000 + u64::from(number);
            note(SenderKind::Client, number, last)
        });
        let clients: Vec<_> = clients.collect();
        file.write(&clients, &LIMITS).unwrap();
        let senders = file.senders().unwrap();
        assert_eq!(senders.len(), MOST_SENDERS + 2, "of each kind by itself");
        let is_client = |sender: &&KnownSender| sender.kind == SenderKind::Client;
        let oldest = senders
            .iter()
            .filter(is_client)
            .map(|sender| sender.last.seconds());
        assert_eq!(oldest.min(), Some(2_000_005));
        let now = UnixTime::from_seconds(1_000_001 + REPUTATION.as_secs()).unwrap();
        file.sweep(&[], now, LIMITS.retention).unwrap();
        assert_eq!(file.senders().unwrap().len(), MOST_SENDERS + 1);
    }
}
