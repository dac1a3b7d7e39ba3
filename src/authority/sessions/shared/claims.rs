//! Which authority ends a session.

use std::sync::atomic::Ordering;

use super::bucket::Bucket;
use super::connection::Command;
use super::keys::Keys;
use super::writing::{ATTEMPTS, pause_before};
use super::{Place, Shared, bytes, scripts};
use crate::authority::sessions::registry::{ENDED_KEPT, RegistryError};
use crate::authority::sessions::session::Session;
use crate::revocation::Cause;

/// For how long an end is left to the authority that has claimed it. It revokes within a second; if it
/// dies before that, another one takes over.
const CLAIM_SECONDS: u32 = 30;

impl Shared {
    /// Claims what is still as it was when its end was decided. If Redis has lost something by then, that may
    /// be the use of such a session, and what was claimed is left.
    pub(super) fn claim_ends(
        &self,
        ends: &[(&Session, Cause)],
    ) -> Result<Vec<bool>, RegistryError> {
        if ends.is_empty() {
            return Ok(Vec::new());
        }
        let claimed = self.claim_all(ends)?;
        let before = self.commits_before();
        let answers = self.connection.call(self.beats())?;
        self.note_beats(&before, &answers);
        if self.has_lost.load(Ordering::Acquire) {
            return Err(RegistryError::Away);
        }
        Ok(claimed)
    }

    fn claim_all(&self, ends: &[(&Session, Cause)]) -> Result<Vec<bool>, RegistryError> {
        let mut claimed = vec![false; ends.len()];
        let mut left: Vec<usize> = (0..ends.len()).collect();
        for attempt in 0..ATTEMPTS {
            pause_before(attempt);
            let ends_left = left
                .iter()
                .filter_map(|index| Some((*index, ends.get(*index)?)));
            let ends_left: Vec<_> = ends_left
                .map(|(index, (session, cause))| {
                    let place = (Keys::shard(self.keys.owner_of(session)), session.id);
                    (index, place, *session, *cause)
                })
                .collect();
            let places: Vec<Place> = ends_left.iter().map(|(_, place, ..)| *place).collect();
            let buckets = self.read(&places)?;
            let mut commands = Vec::new();
            let mut indices = Vec::new();
            for (index, place, session, cause) in ends_left {
                let Some(bucket) = buckets.get(&place) else {
                    continue;
                };
                let now = bucket.sessions.iter();
                let mut now = now.filter(|now| now.subject == session.subject);
                if now
                    .next()
                    .is_some_and(|now| is_still_due(session, now, cause))
                {
                    commands.push(self.claim_command(place, bucket));
                    indices.push(index);
                }
            }
            left.clear();
            let answers = self.connection.call(commands)?;
            for (index, answer) in indices.into_iter().zip(answers) {
                match bytes(answer).as_deref() {
                    Some(b"claimed") => {
                        if let Some(claimed) = claimed.get_mut(index) {
                            *claimed = true;
                        }
                    }
                    Some(b"stale") => left.push(index),
                    _ => {}
                }
            }
            if left.is_empty() {
                break;
            }
        }
        Ok(claimed)
    }

    fn claim_command(&self, (shard, id): Place, bucket: &Bucket) -> Command {
        let keys = vec![self.keys.session(shard, id), self.keys.claim(shard, id)];
        let arguments = vec![
            bucket.stamp.clone(),
            format!("{:x}", self.process).into_bytes(),
            CLAIM_SECONDS.to_string().into_bytes(),
        ];
        Command::script(&scripts::CLAIM, keys, arguments)
    }
}

/// Whether what was decided about a session still holds for it as it is now.
fn is_still_due(then: &Session, now: &Session, cause: Cause) -> bool {
    now.is_live()
        && match cause {
            Cause::Idle => now.last_seen == then.last_seen,
            Cause::TooOld => now.started() == then.started(),
            _ => true,
        }
}

const _: () = assert!(
    ENDED_KEPT.as_secs() > CLAIM_SECONDS as u64,
    "a session is known to have ended for longer than another could end it"
);
