//! Sessions are read, changed, and written back unless another has changed them meanwhile.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::bucket::{Bucket, Change, Kept};
use super::connection::Command;
use super::keys::Keys;
use super::{Place, Shared, bytes, list, lock, number, scripts};
use crate::authority::sessions::registry::{
    IsRevoked, MAX_SESSIONS_OF_SUBJECT, RegistryError, Reported,
};
use crate::authority::sessions::session::{Observation, Owned, Session};
use crate::revocation::Fingerprint;
use crate::time::UnixTime;

/// How often sessions are read again of which none was written, since other authorities have changed them
/// meanwhile. That happens where one
/// session is used at edges of all authorities, and reported by many of them at the same moment.
pub(super) const ATTEMPTS: u32 = 32;

/// From this attempt on, there is a pause before it, of at most a millisecond for each that has failed.
const FIRST_PAUSE: u32 = 2;

/// Sessions that are read and changed at a time.
const CHANGED_TOGETHER: usize = 1_000;

/// Numbers for commits. A writer has one commit under way at a time, so that a shard knows by the
/// number whether it has it.
#[derive(Debug, Default)]
pub(super) struct Writers {
    idle: Vec<Writer>,
    made: u32,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Writer {
    number: u32,
    /// The number of its last commit.
    pub(super) commits: u64,
}

/// What became of the changes to a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// They are written; how many sessions the subject of each has now, where that is known.
    Written(Vec<u64>),
    /// Another one was first.
    Stale,
}

/// What reports add up to, for one session.
struct Group<'o> {
    place: Place,
    owned: Owned<'o>,
    observations: Vec<&'o Observation>,
    /// Positions in what was reported.
    positions: Vec<usize>,
}

impl Shared {
    /// Takes in what edges have seen; the sessions in the order of the observations.
    pub(super) fn merge(
        &self,
        observations: &[Observation],
        now: UnixTime,
        is_revoked: IsRevoked<'_>,
    ) -> Result<Vec<Reported>, RegistryError> {
        let mut reported = vec![None; observations.len()];
        let mut left = self.groups(observations);
        let mut full = Vec::new();
        let mut attempts = 0;
        while !left.is_empty() && attempts < ATTEMPTS {
            pause_before(attempts);
            let (round, later) = one_of_each_name(left);
            let places: Vec<Place> = round.iter().map(|group| group.place).collect();
            let mut buckets = self.read(&places)?;
            let kept = self.kept(now);
            let mut changes: BTreeMap<usize, Vec<Change>> = BTreeMap::new();
            let mut merged: BTreeMap<usize, Vec<(Group<'_>, Reported)>> = BTreeMap::new();
            for group in round {
                let bucket = buckets.remove(&group.place).unwrap_or_default();
                let Some(new) = group.merged(&bucket, is_revoked) else {
                    continue;
                };
                let (shard, _) = group.place;
                let change = bucket.put(&new.session, &self.keys, self.stamp(), kept);
                changes.entry(shard).or_default().push(change);
                merged.entry(shard).or_default().push((group, new));
            }
            let outcomes = self.commit(changes)?;
            attempts += u32::from(is_stale(&outcomes));
            left = later;
            for (shard, groups) in merged {
                match outcomes.get(&shard) {
                    Some(Outcome::Written(sizes)) => {
                        full.extend(self.full_subjects(shard, &groups, sizes));
                        tell(&mut reported, groups);
                    }
                    _ => left.extend(groups.into_iter().map(|(group, _)| group)),
                }
            }
        }
        if !left.is_empty() {
            return Err(RegistryError::Away);
        }
        self.trim_subjects(full, now)?;
        Ok(reported.into_iter().flatten().collect())
    }

    fn groups<'o>(&self, observations: &'o [Observation]) -> Vec<Group<'o>> {
        let mut groups: Vec<Group<'o>> = Vec::new();
        let mut known: HashMap<(Place, Fingerprint), usize> = HashMap::new();
        for (position, observation) in observations.iter().enumerate() {
            let owned = Owned {
                issuer: &observation.issuer,
                subject: observation.subject.as_deref(),
                id: observation
                    .name
                    .fingerprint(self.keys.key(), &observation.issuer),
            };
            let subject = self.keys.owner(&owned);
            let place = (Keys::shard(subject), owned.id);
            let index = *known.entry((place, subject)).or_insert(groups.len());
            if index == groups.len() {
                groups.push(Group {
                    place,
                    owned,
                    observations: Vec::new(),
                    positions: Vec::new(),
                });
            }
            if let Some(group) = groups.get_mut(index) {
                group.observations.push(observation);
                group.positions.push(position);
            }
        }
        groups
    }

    /// Subjects with more sessions than are kept, and how many more.
    fn full_subjects(
        &self,
        shard: usize,
        groups: &[(Group<'_>, Reported)],
        sizes: &[u64],
    ) -> HashSet<(usize, Fingerprint)> {
        let most = MAX_SESSIONS_OF_SUBJECT as u64;
        let full = groups.iter().zip(sizes).filter(|(_, size)| **size > most);
        full.map(|((group, _), _)| (shard, self.keys.owner(&group.owned)))
            .collect()
    }

    pub(super) const fn kept(&self, now: UnixTime) -> Kept {
        Kept {
            retention: self.limits.retention,
            now,
        }
    }

    /// Writes these, for each shard all or none.
    pub(super) fn commit(
        &self,
        changes: BTreeMap<usize, Vec<Change>>,
    ) -> Result<BTreeMap<usize, Outcome>, RegistryError> {
        if changes.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut writer = lock(&self.writers).take();
        writer.commits += 1;
        let mut commands = Vec::new();
        let mut shards = Vec::new();
        for (shard, changes) in changes {
            shards.push((shard, self.commits_of(shard)));
            commands.push(self.commit_command(shard, changes, &writer));
        }
        let answers = self.connection.call(commands);
        lock(&self.writers).idle.push(writer);
        let mut outcomes = BTreeMap::new();
        for ((shard, before), answer) in shards.into_iter().zip(answers?) {
            let mut answer = list(answer)?.into_iter();
            let mut next = || answer.next().as_ref().and_then(number);
            let (commits, count) = (next(), next());
            self.note_shard(shard, before, commits, count);
            let word = answer.next().and_then(bytes);
            let outcome = match word.as_deref() {
                Some(b"done") => {
                    let sizes = answer.filter_map(|size| u64::try_from(number(&size)?).ok());
                    Outcome::Written(sizes.collect())
                }
                Some(b"repeated") => Outcome::Written(Vec::new()),
                _ => Outcome::Stale,
            };
            outcomes.insert(shard, outcome);
        }
        Ok(outcomes)
    }

    pub(super) fn commit_command(
        &self,
        shard: usize,
        changes: Vec<Change>,
        writer: &Writer,
    ) -> Command {
        let mut keys = vec![
            self.keys.writer(shard, self.process, writer.number),
            self.keys.beats(shard, self.process),
            self.keys.seen(shard),
            self.keys.subjects(shard),
            self.keys.tokens(shard),
        ];
        let kept = self.limits.retention.as_secs().saturating_mul(2);
        let mut arguments = vec![
            writer.commits.to_string().into_bytes(),
            kept.to_string().into_bytes(),
        ];
        for change in changes {
            let siblings = change.owner.unwrap_or(change.id);
            keys.push(self.keys.session(shard, change.id));
            keys.push(self.keys.subject(shard, siblings));
            arguments.extend(change.arguments());
        }
        Command::script(&scripts::COMMIT, keys, arguments)
    }

    /// Changes sessions at these places, and returns what was changed: as it is afterwards, or as it was,
    /// where it is dropped. `change` says what becomes of a session: nothing, another, or its end; of what it
    /// has changed, nothing more.
    pub(super) fn modify(
        &self,
        mut places: Vec<Place>,
        now: UnixTime,
        change: impl Fn(usize, &Session) -> Option<Option<Session>>,
    ) -> Result<Vec<Session>, RegistryError> {
        let mut done = Vec::new();
        let mut rest = places.split_off(places.len().min(CHANGED_TOGETHER));
        let mut attempts = 0;
        while !places.is_empty() && attempts < ATTEMPTS {
            pause_before(attempts);
            let buckets = self.read(&places)?;
            let mut changes: BTreeMap<usize, Vec<Change>> = BTreeMap::new();
            let mut sessions: BTreeMap<usize, Vec<Session>> = BTreeMap::new();
            places.clear();
            for ((shard, id), bucket) in buckets {
                let mut found = bucket.sessions.iter();
                let found = found.find_map(|found| Some((found.clone(), change(shard, found)?)));
                let Some((before, after)) = found else {
                    continue;
                };
                let (stamp, kept) = (self.stamp(), self.kept(now));
                let written = match &after {
                    Some(after) => bucket.put(after, &self.keys, stamp, kept),
                    None => bucket.drop(&before, &self.keys, stamp, kept),
                };
                changes.entry(shard).or_default().push(written);
                let session = after.unwrap_or(before);
                sessions.entry(shard).or_default().push(session);
                // Another subject's session may be there as well.
                places.push((shard, id));
            }
            let outcomes = self.commit(changes)?;
            attempts += u32::from(is_stale(&outcomes));
            for (shard, outcome) in outcomes {
                if outcome != Outcome::Stale {
                    done.extend(sessions.remove(&shard).unwrap_or_default());
                }
            }
            if places.is_empty() {
                let next = rest.split_off(rest.len().min(CHANGED_TOGETHER));
                (places, rest, attempts) = (rest, next, 0);
            }
        }
        if !places.is_empty() {
            return Err(RegistryError::Away);
        }
        Ok(done)
    }
}

impl Writers {
    pub(super) fn take(&mut self) -> Writer {
        self.idle.pop().unwrap_or_else(|| {
            self.made += 1;
            Writer {
                number: self.made,
                commits: 0,
            }
        })
    }
}

impl Group<'_> {
    fn merged(&self, bucket: &Bucket, is_revoked: IsRevoked<'_>) -> Option<Reported> {
        let (first, rest) = self.observations.split_first()?;
        let known = bucket.find(&self.owned);
        let mut session = match known {
            Some(known) => {
                let mut session = known.clone();
                session.merge(first, is_revoked);
                session
            }
            None => Session::begin(self.owned.id, first),
        };
        for observation in rest {
            session.merge(observation, is_revoked);
        }
        Some(Reported {
            session,
            is_new: known.is_none(),
        })
    }
}

/// Whether nothing was written.
fn is_stale(outcomes: &BTreeMap<usize, Outcome>) -> bool {
    outcomes.values().all(|outcome| *outcome == Outcome::Stale)
}

/// Lets others have their turn. Of a length that is not theirs.
pub(super) fn pause_before(attempt: u32) {
    if attempt >= FIRST_PAUSE {
        let random = u64::from(getrandom::u32().unwrap_or_default());
        std::thread::sleep(Duration::from_micros(random % (1_000 * u64::from(attempt))));
    }
}

/// Groups of which no two are under one name, and the others.
fn one_of_each_name(groups: Vec<Group<'_>>) -> (Vec<Group<'_>>, Vec<Group<'_>>) {
    let mut names = HashSet::new();
    groups
        .into_iter()
        .partition(|group| names.insert(group.place))
}

/// Puts sessions where they were reported. Only the first report finds a session new.
fn tell(reported: &mut [Option<Reported>], groups: Vec<(Group<'_>, Reported)>) {
    for (group, new) in groups {
        let mut is_new = new.is_new;
        for position in group.positions {
            if let Some(place) = reported.get_mut(position) {
                *place = Some(Reported {
                    session: new.session.clone(),
                    is_new,
                });
            }
            is_new = false;
        }
    }
}
