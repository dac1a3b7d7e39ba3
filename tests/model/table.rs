//! What was revoked, as a plain table.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portcullis::revocation::Kind;
use serde_json::{Value, json};

use super::now;
use super::support::{ISSUER, Random};

/// Few enough values that the same one is revoked again and again.
const VALUES: usize = 30;

/// The claim that the edges list.
pub(crate) const CLAIM: &str = "tenant";

/// Between the subject and the client of a name that has both.
const APART: char = '|';

/// The end of what is revoked whenever it was issued.
const FOR_EVER: u64 = u64::MAX;

/// How much earlier than the latest a cut-off may be.
const WEAKER: usize = 20;

/// How long the tokens of a revocation live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Some seconds, so that it expires while the model runs.
    Short,
    /// An hour, which is longer than any run.
    Long,
}

/// How much longer than asked for an entry is kept, in seconds, as the authority is configured.
pub(crate) const MARGIN: u64 = 1;

/// For how long what users sign out of is kept at least, which is longer than any run.
const LIFE_OF_SIGNED_OUT: u64 = 3_600;

/// The most seconds of a short life.
const SHORT_LIFE: usize = 3;

/// After this time everything with a short life has lapsed; times are whole seconds.
pub(crate) const LONGEST_SHORT_LIFE: Duration = Duration::from_secs(SHORT_LIFE as u64 + MARGIN + 1);

/// Kind and value.
pub(crate) type Name = (&'static str, String);

/// What one request revoked of a name.
#[derive(Clone, Debug)]
struct Part {
    not_before: u64,
    except: Option<String>,
    kept_until: u64,
    /// Whether it has arrived before it expired, without which it revokes nothing.
    is_in_time: bool,
}

/// What is and what was in force.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// Requests for one name add up.
    entries: BTreeMap<Name, Vec<Part>>,
    /// Names a part of which expired while they were revoked again, before or after that.
    uncertain: BTreeSet<Name>,
    /// Which parts of which names are being sent, and when each expires, where a request may take as long as
    /// what it revokes lives.
    sent: Option<Vec<(Name, usize, u64)>>,
    /// Names that are being revoked again, and when the first part of them expires otherwise.
    touched: Vec<(Name, u64)>,
    /// The latest instant of any cut-off.
    pub(crate) not_before: u64,
}

/// The names of a token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    pub(crate) values: BTreeMap<&'static str, String>,
    pub(crate) issued_at: u64,
    /// `auth_time`.
    pub(crate) signed_in_at: Option<u64>,
}

/// What is true of a token; of several, the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Truth {
    NotRevoked,
    /// It was revoked until the entry expired. The authority says that it is not revoked; an edge
    /// keeps it until the next generation.
    Lapsed,
    /// An entry expires at this very moment, or did so while it was revoked again.
    Either,
    Revoked,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            uncertain: BTreeSet::new(),
            sent: None,
            touched: Vec::new(),
            not_before: now() - 10_000,
        }
    }

    /// One of authorities that may be slow.
    pub(crate) fn of_slow_ones() -> Self {
        Self {
            sent: Some(Vec::new()),
            ..Self::new()
        }
    }

    /// A request that is about to be sent.
    pub(crate) fn revoke(&mut self, random: &mut Random, life: Life) -> Value {
        let (kind, now) = (kind(random), now());
        let lives = match life {
            // A cut-off for the issuer must not last, or it hides everything else.
            Life::Long if kind != Kind::Issuer => 3_600,
            _ => 1 + random.below(SHORT_LIFE) as u64,
        };
        let value = value(kind, random);
        let expires_at = now + lives;
        let mut request = request_for(&(kind.name(), value.clone()));
        request["expires_at"] = expires_at.into();
        let mut except = None;
        let mut not_before = FOR_EVER;
        // A third of the sessions until the next sign-in.
        let is_until = kind == Kind::Session && random.below(3) == 0;
        if is_until {
            request["until_sign_in"] = true.into();
        }
        if kind.is_cut_off() || is_until {
            self.not_before += 1;
            // A third of them is weaker than what may be in force.
            let earlier = [0, 0, random.below(WEAKER) as u64];
            not_before = self.not_before - random.pick(&earlier);
            request["not_before"] = not_before.into();
            if kind.is_cut_off() && random.below(2) == 0 {
                let session = session(random);
                request["except_session"] = session.as_str().into();
                except = Some(session);
            }
        }
        let part = Part {
            not_before,
            except,
            kept_until: expires_at + MARGIN,
            is_in_time: true,
        };
        self.put((kind.name(), value), now, part);
        request
    }

    /// A user is about to sign out with this token, where it names what has to be revoked for it.
    /// Tokens are not issued later than now here, so that a cut-off at "now" is one for all of them.
    pub(crate) fn sign_out(&mut self, token: &Named, scope: &str) -> bool {
        let named = |kind: &'static str| Some((kind, token.values.get(kind)?.clone()));
        let (name, except) = match scope {
            "session" => (named("session").or_else(|| named("token")), None),
            "others" => (named("subject"), token.session()),
            _ => (named("subject"), None),
        };
        let is_whole = scope != "others" || except.is_some();
        let Some(name) = name.filter(|_| is_whole) else {
            return false;
        };
        let now = now();
        let part = Part {
            not_before: if name.0 == "subject" { now } else { FOR_EVER },
            except,
            kept_until: now + LIFE_OF_SIGNED_OUT,
            is_in_time: true,
        };
        self.put(name, now, part);
        true
    }

    fn put(&mut self, name: Name, now: u64, part: Part) {
        let parts = self.entries.entry(name.clone()).or_default();
        // Revoking again does not shorten what is in force, and what has expired stays expired.
        let ends = parts.iter().map(|part| part.kept_until);
        let ends: Vec<u64> = ends.filter(|end| now < *end).collect();
        let kept_until = ends.iter().copied().fold(part.kept_until, u64::max);
        for part in parts.iter_mut().filter(|part| now < part.kept_until) {
            part.kept_until = kept_until;
        }
        if let Some(sent) = &mut self.sent {
            sent.push((name.clone(), parts.len(), part.kept_until));
        }
        parts.push(Part { kept_until, ..part });
        if let Some(first) = ends.into_iter().min() {
            self.touched.push((name, first));
        }
    }

    /// The request has been carried out.
    pub(crate) fn is_done(&mut self) {
        let end = now();
        for (name, index, expires_at) in self.sent.iter_mut().flat_map(|sent| sent.drain(..)) {
            let parts = self.entries.get_mut(&name);
            let part = parts.and_then(|parts| parts.get_mut(index));
            part.expect("it was put there").is_in_time = end < expires_at;
        }
        for (name, first) in self.touched.drain(..) {
            if end >= first {
                self.uncertain.insert(name);
            }
        }
    }

    /// A name to be restored.
    pub(crate) fn any_name(random: &mut Random) -> Name {
        let kind = kind(random);
        (kind.name(), value(kind, random))
    }

    /// An entry has been restored. What had expired by then may have been left alone.
    pub(crate) fn restored(&mut self, name: &Name) {
        let end = now();
        if let Some(parts) = self.entries.get_mut(name) {
            if self.uncertain.remove(name) {
                for part in parts.iter_mut() {
                    part.kept_until = part.kept_until.min(end);
                }
            }
            parts.retain(|part| part.kept_until <= end);
        }
    }

    /// What is true of a token between two moments, in seconds.
    pub(crate) fn truth(&self, token: &Named, from: u64, to: u64) -> Truth {
        let mut truth = Truth::NotRevoked;
        for (kind, value) in token.names() {
            let name = (kind, value);
            let parts = self.entries.get(&name);
            for part in parts.into_iter().flatten() {
                let is_excepted = part.except.is_some() && part.except == token.session();
                let issued_at = token.issued_for(kind);
                let is_meant = issued_at < part.not_before && !is_excepted;
                if !is_meant {
                    continue;
                }
                if from >= part.kept_until {
                    truth = truth.max(Truth::Lapsed);
                } else if to < part.kept_until && part.is_in_time && !self.uncertain.contains(&name)
                {
                    truth = Truth::Revoked;
                } else {
                    truth = truth.max(Truth::Either);
                }
            }
        }
        truth
    }
}

impl Named {
    pub(crate) fn random(random: &mut Random, now_in_cut_offs: u64) -> Self {
        let earlier = random.below(40) as u64;
        let issued_at = now_in_cut_offs.saturating_sub(earlier);
        // Of a session that was refreshed, of none, and by a clock that is ahead.
        let signed_in_at = match random.below(4) {
            0 => Some(issued_at.saturating_sub(random.below(40) as u64)),
            1 => Some(issued_at + random.below(40) as u64),
            _ => None,
        };
        Self {
            signed_in_at,
            ..Self::issued_at(random, issued_at)
        }
    }

    /// A token of any user, with this `iat`.
    pub(crate) fn issued_at(random: &mut Random, issued_at: u64) -> Self {
        let mut values = BTreeMap::new();
        for kind in Kind::ALL {
            // With all of them, hardly any token would not be revoked.
            if kind == Kind::SubjectAndClient {
                continue;
            }
            if kind == Kind::Issuer || random.chance(35) {
                values.insert(kind.name(), value(kind, random));
            }
        }
        Self {
            values,
            issued_at,
            signed_in_at: None,
        }
    }

    /// The instant that cut-offs of this kind compare with.
    fn issued_for(&self, kind: &str) -> u64 {
        match self.signed_in_at {
            Some(time) if kind != "issuer" => time.min(self.issued_at),
            _ => self.issued_at,
        }
    }

    /// Everything that it can be revoked by.
    pub(crate) fn names(&self) -> Vec<Name> {
        let names = self.values.iter();
        let mut names: Vec<Name> = names.map(|(kind, value)| (*kind, value.clone())).collect();
        if let (Some(subject), Some(client)) =
            (self.values.get("subject"), self.values.get("client"))
        {
            let pair = format!("{subject}{APART}{client}");
            names.push((Kind::SubjectAndClient.name(), pair));
        }
        names
    }

    pub(crate) fn session(&self) -> Option<String> {
        self.values.get("session").cloned()
    }

    pub(crate) fn check(&self) -> Value {
        let mut check = json!({"issuer": ISSUER, "issued_at": self.issued_at});
        if let Some(time) = self.signed_in_at {
            check["auth_time"] = time.into();
        }
        for (kind, value) in &self.values {
            let member = match *kind {
                "token" => "jti",
                "session" => "sid",
                "issuer" => continue,
                "claim" => {
                    check["claims"] = json!([{"name": CLAIM, "value": value}]);
                    continue;
                }
                same => same,
            };
            check[member] = value.as_str().into();
        }
        check
    }
}

fn kind(random: &mut Random) -> Kind {
    let all = Kind::ALL.into_iter();
    let others: Vec<_> = all.filter(|kind| *kind != Kind::Issuer).collect();
    if random.chance(2) {
        Kind::Issuer
    } else {
        *random.pick(&others)
    }
}

/// A request for this name, without anything else.
pub(crate) fn request_for((kind, value): &Name) -> Value {
    let mut request = json!({"kind": kind, "issuer": ISSUER});
    match (*kind, value.split_once(APART)) {
        ("issuer", _) => {}
        ("claim", _) => {
            request["claim"] = CLAIM.into();
            request["value"] = value.as_str().into();
        }
        (_, Some((subject, client))) => {
            request["value"] = subject.into();
            request["client"] = client.into();
        }
        _ => request["value"] = value.as_str().into(),
    }
    request
}

/// The name of a subject, a client or the issuer.
pub(crate) fn any_cut_off(random: &mut Random) -> Name {
    let kind = *random.pick(&[Kind::Subject, Kind::Client]);
    let kind = if random.chance(3) { Kind::Issuer } else { kind };
    (kind.name(), value(kind, random))
}

fn value(kind: Kind, random: &mut Random) -> String {
    match kind {
        Kind::Issuer => String::new(),
        // There are more tokens than users.
        Kind::Token => format!("token-{}", random.below(20 * VALUES)),
        Kind::Session => session(random),
        Kind::SubjectAndClient => {
            let (subject, client) = (random.below(VALUES), random.below(VALUES));
            format!("subject-{subject}{APART}client-{client}")
        }
        _ => format!("{}-{}", kind.name(), random.below(VALUES)),
    }
}

/// Some sessions occur more often than others, so that tokens have the sessions that cut-offs
/// except.
pub(crate) fn session(random: &mut Random) -> String {
    let few = [3, VALUES][random.below(2)];
    format!("session-{}", random.below(few))
}
