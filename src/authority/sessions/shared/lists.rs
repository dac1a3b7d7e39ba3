//! Lists of sessions, page by page.

use super::connection::Command;
use super::room::{fingerprint, scored};
use super::{Place, SHARDS, Shared, bytes, list, scripts};
use crate::authority::sessions::cursor::{
    cursor, cursor_text, halves, joined, position, position_of,
};
use crate::authority::sessions::registry::{Filter, Page, RegistryError};
use crate::authority::sessions::session::Session;
use crate::revocation::Fingerprint;
use crate::time::UnixTime;

/// Sessions that are looked at at a time.
const EXAMINED: usize = 1_000;

impl Shared {
    /// The sessions of a subject that a filter lets through.
    fn of_owner(&self, issuer: &str, subject: &str) -> Result<Vec<Session>, RegistryError> {
        let (shard, owner) = self.shard_of_subject(issuer, subject);
        let ids = self.ids_of_subject(shard, owner)?;
        let places: Vec<Place> = ids.into_iter().map(|id| (shard, id)).collect();
        let buckets = self.read(&places)?.into_values();
        let sessions = buckets.flat_map(|bucket| bucket.sessions);
        let is_its = |session: &Session| {
            session.subject.as_deref() == Some(subject) && *session.issuer == *issuer
        };
        Ok(sessions.filter(is_its).collect())
    }

    pub(super) fn list_of_subject(
        &self,
        issuer: &str,
        subject: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, RegistryError> {
        let after = after.map(position_of).transpose()?;
        let mut sessions = self.of_owner(issuer, subject)?;
        sessions.retain(|session| {
            session.is_live() && after.is_none_or(|after| position(session) > after)
        });
        sessions.sort_unstable_by_key(position);
        let is_more = sessions.len() > limit;
        sessions.truncate(limit);
        let next = sessions.last().filter(|_| is_more);
        let next = next.map(|last| cursor_text(&position(last)));
        Ok(Page { sessions, next })
    }

    pub(super) fn list_last_seen(
        &self,
        from: UnixTime,
        to: UnixTime,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, RegistryError> {
        let after = after.map(cursor::<4>).transpose()?;
        let [first, score, high, low] = after.unwrap_or_default();
        let mut after = after.map(|_| (score, joined([high, low])));
        let mut page = Page::default();
        let first = usize::try_from(first).unwrap_or(SHARDS);
        for shard in first..SHARDS {
            let left = limit.saturating_sub(page.sessions.len());
            if left == 0 && !page.sessions.is_empty() {
                // Ids are asked for, and one of them may have several sessions.
                page.next = Some(cursor_text(&[shard as u64, from.seconds(), 0, 0]));
                break;
            }
            let found = self.ids_last_seen(shard, (from, to), after.take(), left)?;
            let places: Vec<Place> = found.iter().map(|(id, _)| (shard, *id)).collect();
            let buckets = self.read(&places)?.into_values();
            let sessions = buckets.flat_map(|bucket| bucket.sessions);
            page.sessions
                .extend(sessions.filter(|session| {
                    session.is_live() && (from..to).contains(&session.last_seen)
                }));
            if let Some((id, score)) = found.last().filter(|_| found.len() >= left) {
                let [high, low] = halves(*id);
                let score = u64::try_from(*score).unwrap_or_default();
                page.next = Some(cursor_text(&[shard as u64, score, high, low]));
                break;
            }
        }
        Ok(page)
    }

    fn ids_last_seen(
        &self,
        shard: usize,
        (from, to): (UnixTime, UnixTime),
        after: Option<(u64, Fingerprint)>,
        limit: usize,
    ) -> Result<Vec<(Fingerprint, i64)>, RegistryError> {
        let text = |number: u64| number.to_string().into_bytes();
        let (score, id) =
            after.map_or_else(Default::default, |(score, id)| (text(score), id.0.to_vec()));
        let arguments = vec![
            text(from.seconds()),
            text(to.seconds()),
            score,
            id,
            text(limit as u64),
        ];
        let keys = vec![self.keys.seen(shard)];
        let command = Command::script(&scripts::PAGE, keys, arguments);
        let answers = self.connection.call(vec![command])?;
        answers.into_iter().next().map_or(Ok(Vec::new()), scored)
    }

    pub(super) fn list_all(
        &self,
        filter: &Filter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, RegistryError> {
        let after = after.map(cursor::<4>).transpose()?;
        if let (Some(issuer), Some(subject)) = (&filter.issuer, &filter.subject) {
            let mut sessions = self.of_owner(issuer, subject)?;
            sessions.retain(|session| filter.matches(session));
            let after = after.map(|[_, _, high, low]| joined([high, low]));
            return Ok(page_by_id(sessions, after, limit));
        }
        let [first, mut scanned, high, low] = after.unwrap_or_default();
        let mut last = after.map(|_| joined([high, low]));
        let first = usize::try_from(first).ok().filter(|it| *it < SHARDS);
        let mut shard = first.ok_or(RegistryError::Cursor)?;
        let mut page = Page::default();
        while shard < SHARDS {
            let (next, mut ids) = self.scan(shard, scanned)?;
            ids.sort_unstable();
            // Of a scan that was told in part.
            if let Some(last) = last.take() {
                ids.retain(|id| *id > last);
            }
            let places: Vec<Place> = ids.iter().map(|id| (shard, *id)).collect();
            let mut buckets = self.read(&places)?;
            for place in places {
                let sessions = buckets.remove(&place).unwrap_or_default().sessions;
                let sessions = sessions.into_iter();
                page.sessions
                    .extend(sessions.filter(|session| filter.matches(session)));
                if page.sessions.len() >= limit {
                    let [high, low] = halves(place.1);
                    page.next = Some(cursor_text(&[shard as u64, scanned, high, low]));
                    return Ok(page);
                }
            }
            scanned = next;
            if next == 0 {
                shard += 1;
            }
        }
        Ok(page)
    }

    /// Some ids of a shard, and where the next ones are; 0 after the last. One that is there throughout
    /// comes once, or perhaps twice while Redis gives back memory.
    fn scan(&self, shard: usize, from: u64) -> Result<(u64, Vec<Fingerprint>), RegistryError> {
        let command = Command::plain(vec![
            b"ZSCAN".to_vec(),
            self.keys.seen(shard),
            from.to_string().into_bytes(),
            b"COUNT".to_vec(),
            EXAMINED.to_string().into_bytes(),
        ]);
        let answer = self.connection.call(vec![command])?.into_iter().next();
        let mut answer = answer.map_or(Ok(Vec::new()), list)?.into_iter();
        let next = answer.next().and_then(bytes);
        let next = next.and_then(|next| str::from_utf8(&next).ok()?.parse().ok());
        let next = next.ok_or(RegistryError::Away)?;
        let found = answer.next().map_or(Ok(Vec::new()), list)?.into_iter();
        // Ids and scores by turns.
        Ok((next, found.step_by(2).filter_map(fingerprint).collect()))
    }

    /// Does something with all sessions there are, some at a time.
    pub(super) fn for_all(
        &self,
        mut action: impl FnMut(Vec<Place>) -> Result<(), RegistryError>,
    ) -> Result<(), RegistryError> {
        for shard in 0..SHARDS {
            let mut from = 0;
            loop {
                let (next, ids) = self.scan(shard, from)?;
                action(ids.into_iter().map(|id| (shard, id)).collect())?;
                from = next;
                if next == 0 {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// A page of sessions in the order of their ids.
fn page_by_id(mut sessions: Vec<Session>, after: Option<Fingerprint>, limit: usize) -> Page {
    sessions.retain(|session| after.is_none_or(|after| session.id > after));
    sessions.sort_unstable_by_key(|session| session.id);
    let is_more = sessions.len() > limit;
    sessions.truncate(limit);
    let next = sessions.last().filter(|_| is_more);
    let next = next.map(|last| {
        let [high, low] = halves(last.id);
        cursor_text(&[0, 0, high, low])
    });
    Page { sessions, next }
}
