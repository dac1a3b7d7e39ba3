//! Sessions that end, by what was revoked.

use std::collections::HashMap;

use super::super::super::registry::Mark;
use super::super::super::session::{Ended, Session};
use super::super::list::Which;
use super::super::record::Record;
use super::super::texts::TextId;
use super::{Shard, hash};
use crate::revocation::{Fingerprint, Kind};

impl Shard {
    /// Marks a session as ended, unless it was already.
    pub(in super::super) fn end(&mut self, slot: u32, ended: Ended) -> Option<Session> {
        let mut session = self.session(slot).filter(Session::is_live)?;
        session.ended = Some(ended);
        self.update(slot, &session);
        Some(session)
    }

    /// Ends the sessions of a name that a revocation reaches.
    pub(in super::super) fn end_named(&mut self, mark: &Mark, into: &mut Vec<Session>) {
        let slots = self.ids.iter_hash(hash(mark.name)).copied();
        let is_it = |slot: &u32| {
            self.slab.get(*slot).is_some_and(|record| {
                record.id == mark.name && mark.cuts_off(record.issuance(), record.id)
            })
        };
        let slots: Vec<u32> = slots.filter(is_it).collect();
        self.end_all(slots, mark.ended, into);
    }

    /// Ends the sessions of a subject that a cut-off revokes.
    pub(in super::super) fn end_of_subject(&mut self, mark: &Mark, into: &mut Vec<Session>) {
        let Some(subject) = self.subject(mark.name) else {
            return;
        };
        let records = subject.list.iter(&self.slab, Which::Subject);
        let records = records.filter(|(_, record)| mark.cuts_off(record.issuance(), record.id));
        let slots = records.map(|(slot, _)| slot).collect();
        self.end_all(slots, mark.ended, into);
    }

    /// Ends the sessions of devices, clients and issuers, of those from a number on, and returns the
    /// next number.
    pub(in super::super) fn end_matching(
        &mut self,
        marks: &HashMap<Fingerprint, Mark>,
        first: u32,
        examined: usize,
        into: &mut Vec<Session>,
    ) -> Option<u32> {
        let mut clients: HashMap<(TextId, TextId), [Option<Mark>; 2]> = HashMap::new();
        let start = usize::try_from(first).ok()?;
        let end = self.slab.end().min(start.saturating_add(examined));
        let mut ends = Vec::new();
        let has_pairs = marks
            .values()
            .any(|mark| mark.kind == Kind::SubjectAndClient);
        for slot in (start..end).filter_map(|slot| u32::try_from(slot).ok()) {
            let Some(record) = self.slab.get(slot).filter(|record| record.is_live()) else {
                continue;
            };
            let by_client = clients
                .entry((record.issuer, record.client))
                .or_insert_with(|| self.marks_of_client(marks, record));
            // The cut-off of one may leave alone what that of the other ends.
            let mut by_client = by_client.iter().flatten();
            let cuts_off = |mark: &Mark| mark.cuts_off(record.issuance(), record.id);
            let by_client = by_client.find(|mark| cuts_off(mark)).copied();
            let by_pair = || {
                let by_pair = has_pairs.then(|| self.mark_of_pair(marks, record));
                by_pair.flatten().filter(cuts_off)
            };
            let mark = by_client.or_else(by_pair);
            let mark = mark.or_else(|| self.mark_of_device(marks, record));
            if let Some(mark) = mark {
                ends.push((slot, mark.ended));
            }
        }
        for (slot, ended) in ends {
            into.extend(self.end(slot, ended));
        }
        (end < self.slab.end()).then(|| u32::try_from(end).ok())?
    }

    /// Those of the client of a record and of its issuer.
    fn marks_of_client(
        &self,
        marks: &HashMap<Fingerprint, Mark>,
        record: &Record,
    ) -> [Option<Mark>; 2] {
        let Some(issuer) = self.texts.get(record.issuer) else {
            return [None; 2];
        };
        let client = self.texts.get(record.client);
        let client = client.map(|client| self.key.fingerprint(Kind::Client, issuer, client));
        let by_client = client.and_then(|client| marks.get(&client));
        let by_issuer = marks.get(&self.key.fingerprint(Kind::Issuer, issuer, ""));
        [by_client.copied(), by_issuer.copied()]
    }

    fn mark_of_pair(&self, marks: &HashMap<Fingerprint, Mark>, record: &Record) -> Option<Mark> {
        let issuer = self.texts.get(record.issuer)?;
        let client = self.texts.get(record.client)?;
        let kind = Kind::SubjectAndClient;
        let pair = self.key.compound(kind, issuer, client, record.subject()?);
        marks.get(&pair).copied()
    }

    fn mark_of_device(&self, marks: &HashMap<Fingerprint, Mark>, record: &Record) -> Option<Mark> {
        let issuer = self.texts.get(record.issuer)?;
        let device = self.key.fingerprint(Kind::Device, issuer, record.device()?);
        marks.get(&device).copied()
    }

    fn end_all(&mut self, slots: Vec<u32>, ended: Ended, into: &mut Vec<Session>) {
        for slot in slots {
            into.extend(self.end(slot, ended));
        }
    }
}
