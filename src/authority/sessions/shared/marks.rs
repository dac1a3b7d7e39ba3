//! What was revoked is marked as ended.

use std::collections::HashMap;

use super::keys::Keys;
use super::{Place, SHARDS, Shared};
use crate::authority::sessions::registry::{Mark, RegistryError};
use crate::authority::sessions::session::{Ended, Session};
use crate::revocation::{Fingerprint, Kind};
use crate::time::UnixTime;

/// Revocations by `sid` or `jti` that are looked for at a time, in every shard.
const NAMES_TOGETHER: usize = 64;

impl Shared {
    /// Marks as ended what was revoked.
    pub(super) fn end(&self, marks: &[Mark]) -> Result<Vec<Session>, RegistryError> {
        let mut ended = Vec::new();
        let now = marks.iter().map(|mark| mark.ended.at).max();
        let now = now.unwrap_or_default();
        let is_name = |mark: &&Mark| matches!(mark.kind, Kind::Token | Kind::Session);
        let named: Vec<&Mark> = marks.iter().filter(is_name).collect();
        for marks in named.chunks(NAMES_TOGETHER) {
            let by_name = by_name(marks);
            let shards = 0..SHARDS;
            let places = shards.flat_map(|shard| by_name.keys().map(move |id| (shard, *id)));
            ended.extend(self.end_at(places.collect(), now, |session| {
                let marks = by_name.get(&session.id)?;
                let mut marks = marks.iter();
                let mark = marks.find(|mark| mark.cuts_off(session.issuance(), session.id));
                mark.map(|mark| mark.ended)
            })?);
        }
        for mark in marks.iter().filter(|mark| mark.kind == Kind::Subject) {
            let shard = Keys::shard(mark.name);
            let ids = self.ids_of_subject(shard, mark.name)?;
            let places = ids.into_iter().map(|id| (shard, id)).collect();
            ended.extend(self.end_at(places, now, |session| {
                let is_it = self.keys.owner_of(session) == mark.name
                    && session.subject.is_some()
                    && mark.cuts_off(session.issuance(), session.id);
                is_it.then_some(mark.ended)
            })?);
        }
        // Nothing here knows which claims its sessions have. They end for their next request.
        let is_other = |mark: &&Mark| {
            let (client, pair) = (Kind::Client, Kind::SubjectAndClient);
            [Kind::Device, client, Kind::Issuer, pair].contains(&mark.kind)
        };
        let others = marks.iter().filter(is_other);
        let others: HashMap<Fingerprint, Mark> = others.map(|mark| (mark.name, *mark)).collect();
        if !others.is_empty() {
            self.for_all(|places| {
                ended.extend(self.end_at(places, now, |session| self.mark_of(session, &others))?);
                Ok(())
            })?;
        }
        Ok(ended)
    }

    fn end_at(
        &self,
        places: Vec<Place>,
        now: UnixTime,
        end_of: impl Fn(&Session) -> Option<Ended>,
    ) -> Result<Vec<Session>, RegistryError> {
        self.modify(places, now, |_, session| {
            let ended = Some(session).filter(|session| session.is_live());
            let ended = ended.and_then(&end_of)?;
            let mut session = session.clone();
            session.ended = Some(ended);
            Some(Some(session))
        })
    }

    /// By which of these a session has ended.
    fn mark_of(&self, session: &Session, marks: &HashMap<Fingerprint, Mark>) -> Option<Ended> {
        let marked = |name: Fingerprint| {
            let mark = marks.get(&name)?;
            let is_it = mark.cuts_off(session.issuance(), session.id);
            is_it.then_some(mark.ended)
        };
        let mark_of = |kind: Kind, value: Option<&str>| {
            marked(self.keys.key().fingerprint(kind, &session.issuer, value?))
        };
        let pair = || {
            let (client, subject) = (session.client.as_deref()?, session.subject.as_deref()?);
            let kind = Kind::SubjectAndClient;
            let key = self.keys.key();
            marked(key.compound(kind, &session.issuer, client, subject))
        };
        mark_of(Kind::Client, session.client.as_deref())
            .or_else(pair)
            .or_else(|| mark_of(Kind::Issuer, Some("")))
            .or_else(|| mark_of(Kind::Device, session.device.as_deref()))
    }
}

/// A name may be marked more than once, and the first that reaches a session ends it.
fn by_name<'m>(marks: &[&'m Mark]) -> HashMap<Fingerprint, Vec<&'m Mark>> {
    let mut by_name: HashMap<Fingerprint, Vec<&Mark>> = HashMap::new();
    for mark in marks {
        by_name.entry(mark.name).or_default().push(mark);
    }
    by_name
}
