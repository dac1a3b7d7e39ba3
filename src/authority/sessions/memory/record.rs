//! A session as it is kept: in about a third of a kilobyte, with its names.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use super::super::Network;
use super::super::session::{Ended, Name, Session, Sighting};
use super::list::{Links, Which};
use super::texts::{TextId, Texts};
use crate::revocation::{Cause, FilterKey, Fingerprint, Issuance, Kind};
use crate::time::UnixTime;

/// A session.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: Fingerprint,
    kind: Kind,
    cause: Cause,
    /// Subject, name and device, one after the other. None of them is empty when there is one.
    names: Box<str>,
    subject_end: u16,
    name_end: u16,
    sightings: Box<[KeptSighting]>,
    pub(super) issuer: TextId,
    pub(super) client: TextId,
    auth_time: Instant,
    issued_at: Instant,
    expires_at: Instant,
    first_seen: Instant,
    last_seen: Instant,
    ended_at: Instant,
    requests: u32,
    /// Number of its row in the last snapshot; 0 where it is in none.
    pub(super) row: u64,
    /// When it was last seen according to that.
    written: Instant,
    /// Whether the next snapshot is to have it.
    pub(super) is_changed: bool,
    minute_links: Links,
    subject_links: Links,
}

const _: () = assert!(size_of::<Record>() <= 136);

/// By how many seconds the last request may be later than the snapshot says.
const STALE: u32 = 600;

/// An instant in 32 bits, in seconds, up to the year 2106; 0 where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instant(u32);

/// A sighting in 36 bytes.
#[derive(Debug)]
struct KeptSighting {
    /// As IPv6, of which IPv4 has the last 32 bits.
    address: [u8; 16],
    /// How many bits of that count; [`NO_NETWORK`] where there is no network.
    prefix: u8,
    user_agent: TextId,
    requests: u32,
    first_seen: Instant,
    last_seen: Instant,
}

const NO_NETWORK: u8 = u8::MAX;

/// In which minute a record is filed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It was last seen then.
    Live(u32),
    /// It ended then.
    Ended(u32),
}

impl Place {
    pub(super) const fn is_live(self) -> bool {
        matches!(self, Self::Live(_))
    }
}

impl Record {
    pub(super) fn new(session: &Session, texts: &mut Texts) -> Self {
        Self {
            id: session.id,
            kind: session.name.kind(),
            cause: Cause::Plain,
            names: Box::default(),
            subject_end: 0,
            name_end: 0,
            sightings: Box::default(),
            issuer: texts.take(Some(&session.issuer)),
            client: TextId::NONE,
            auth_time: Instant(0),
            issued_at: Instant(0),
            expires_at: Instant(0),
            first_seen: Instant(0),
            last_seen: Instant(0),
            ended_at: Instant(0),
            requests: 0,
            row: 0,
            written: Instant(0),
            is_changed: false,
            minute_links: Links::default(),
            subject_links: Links::default(),
        }
        .with(session, texts)
    }

    fn with(mut self, session: &Session, texts: &mut Texts) -> Self {
        self.update(session, texts);
        self
    }

    /// Takes over everything that can change about a session.
    pub(super) fn update(&mut self, session: &Session, texts: &mut Texts) {
        let is_device_same = self.device() == session.device.as_deref();
        if self.names.is_empty() || !is_device_same {
            self.rename(session);
        }
        let client = texts.take(session.client.as_ref());
        texts.put_back(std::mem::replace(&mut self.client, client));
        self.auth_time = session.auth_time.into();
        self.issued_at = session.issued_at.into();
        self.expires_at = session.expires_at.into();
        self.first_seen = Some(session.first_seen).into();
        self.last_seen = Some(session.last_seen).into();
        self.ended_at = session.ended.map(|ended| ended.at).into();
        self.cause = session.ended.map_or(Cause::Plain, |ended| ended.cause);
        self.requests = session.requests;
        let user_agents = session.sightings.iter();
        let user_agents: Vec<TextId> = user_agents
            .map(|sighting| texts.take(sighting.user_agent.as_ref()))
            .collect();
        self.put_back_user_agents(texts);
        if self.sightings.len() != session.sightings.len() {
            let none = session.sightings.iter().map(|_| KeptSighting::NONE);
            self.sightings = none.collect();
        }
        let sightings = session.sightings.iter().zip(user_agents);
        for (kept, (sighting, user_agent)) in self.sightings.iter_mut().zip(sightings) {
            *kept = KeptSighting::of(sighting, user_agent);
        }
    }

    fn rename(&mut self, session: &Session) {
        let subject = session.subject.as_deref().unwrap_or_default();
        let device = session.device.as_deref().unwrap_or_default();
        let name = &**session.name.value();
        let names = [subject, name, device].concat();
        let end = |length: usize| u16::try_from(length).unwrap_or(u16::MAX);
        self.subject_end = end(subject.len());
        self.name_end = end(subject.len() + name.len());
        self.names = names.into();
    }

    /// Returns what it has of the texts. It must not be used afterwards.
    pub(super) fn put_back(&self, texts: &mut Texts) {
        texts.put_back(self.issuer);
        texts.put_back(self.client);
        self.put_back_user_agents(texts);
    }

    fn put_back_user_agents(&self, texts: &mut Texts) {
        for sighting in &self.sightings {
            texts.put_back(sighting.user_agent);
        }
    }

    /// The session, without its suspicion; `None` if a text is missing, which none is.
    pub(super) fn session(&self, texts: &Texts) -> Option<Session> {
        let name = self.name().into();
        Some(Session {
            id: self.id,
            issuer: Arc::clone(texts.get(self.issuer)?),
            subject: self.subject().map(Arc::from),
            name: match self.kind {
                Kind::Token => Name::Token(name),
                _ => Name::Session(name),
            },
            client: texts.get(self.client).cloned(),
            device: self.device().map(Arc::from),
            auth_time: self.auth_time.time(),
            issued_at: self.issued_at.time(),
            expires_at: self.expires_at.time(),
            first_seen: self.first_seen.time().unwrap_or_default(),
            last_seen: self.last_seen(),
            requests: self.requests,
            sightings: self
                .sightings
                .iter()
                .map(|sighting| sighting.sighting(texts))
                .collect(),
            ended: self.ended(),
            suspicion: None,
        })
    }

    pub(super) fn subject(&self) -> Option<&str> {
        let subject = self.names.get(..usize::from(self.subject_end));
        subject.filter(|subject| !subject.is_empty())
    }

    fn name(&self) -> &str {
        let range = usize::from(self.subject_end)..usize::from(self.name_end);
        self.names.get(range).unwrap_or_default()
    }

    pub(super) fn device(&self) -> Option<&str> {
        let device = self.names.get(usize::from(self.name_end)..);
        device.filter(|device| !device.is_empty())
    }

    /// When its newest token was issued.
    pub(super) fn issuance(&self) -> Issuance {
        Issuance::new(self.issued_at.time(), self.auth_time.time())
    }

    pub(super) fn last_seen(&self) -> UnixTime {
        self.last_seen.time().unwrap_or_default()
    }

    pub(super) fn ended(&self) -> Option<Ended> {
        let at = self.ended_at.time()?;
        Some(Ended {
            at,
            cause: self.cause,
        })
    }

    pub(super) const fn is_live(&self) -> bool {
        self.ended_at.0 == 0
    }

    /// Whether it is a token without `sid`.
    pub(super) const fn is_token(&self) -> bool {
        matches!(self.kind, Kind::Token)
    }

    pub(super) const fn place(&self) -> Place {
        if self.is_live() {
            Place::Live(self.last_seen.0 / 60)
        } else {
            Place::Ended(self.ended_at.0 / 60)
        }
    }

    /// Takes over the number of the row that it was written to.
    pub(super) const fn is_written(&mut self, row: u64) {
        self.row = row;
        self.written = self.last_seen;
        self.is_changed = false;
    }

    /// Whether it was used so much later than the snapshot says that this is worth a row.
    pub(super) const fn is_stale(&self) -> bool {
        self.last_seen.0.saturating_sub(self.written.0) >= STALE
    }

    /// Whether it was used since it was written.
    pub(super) fn is_outdated(&self) -> bool {
        self.last_seen != self.written
    }

    /// The fingerprint of its subject; its own where it has none.
    pub(super) fn owner(&self, key: &FilterKey, texts: &Texts) -> Fingerprint {
        match (self.subject(), texts.get(self.issuer)) {
            (Some(subject), Some(issuer)) => key.fingerprint(Kind::Subject, issuer, subject),
            _ => self.id,
        }
    }

    pub(super) const fn links(&mut self, which: Which) -> &mut Links {
        match which {
            Which::Minute => &mut self.minute_links,
            Which::Subject => &mut self.subject_links,
        }
    }

    pub(super) const fn links_of(&self, which: Which) -> &Links {
        match which {
            Which::Minute => &self.minute_links,
            Which::Subject => &self.subject_links,
        }
    }
}

impl Instant {
    fn time(self) -> Option<UnixTime> {
        UnixTime::from_seconds(self.0.into()).filter(|_| self.0 > 0)
    }
}

impl From<Option<UnixTime>> for Instant {
    /// The epoch itself becomes the second after it: no session began then.
    fn from(time: Option<UnixTime>) -> Self {
        Self(time.map_or(0, |time| {
            u32::try_from(time.seconds()).unwrap_or(u32::MAX).max(1)
        }))
    }
}

impl KeptSighting {
    const NONE: Self = Self {
        address: [0; 16],
        prefix: NO_NETWORK,
        user_agent: TextId::NONE,
        requests: 0,
        first_seen: Instant(0),
        last_seen: Instant(0),
    };

    fn of(sighting: &Sighting, user_agent: TextId) -> Self {
        let (address, prefix) = match sighting.network {
            None => ([0; 16], NO_NETWORK),
            Some(network) => match network.address() {
                IpAddr::V4(address) => (address.to_ipv6_mapped().octets(), network.prefix() + 96),
                IpAddr::V6(address) => (address.octets(), network.prefix()),
            },
        };
        Self {
            address,
            prefix,
            user_agent,
            requests: sighting.requests,
            first_seen: Some(sighting.first_seen).into(),
            last_seen: Some(sighting.last_seen).into(),
        }
    }

    fn network(&self) -> Option<Network> {
        if self.prefix == NO_NETWORK {
            return None;
        }
        let address = Ipv6Addr::from(self.address);
        Some(
            match (address.to_ipv4_mapped(), self.prefix.checked_sub(96)) {
                (Some(address), Some(prefix)) => Network::new(address.into(), prefix),
                _ => Network::new(address.into(), self.prefix),
            },
        )
    }

    fn sighting(&self, texts: &Texts) -> Sighting {
        Sighting {
            network: self.network(),
            user_agent: texts.get(self.user_agent).cloned(),
            requests: self.requests,
            first_seen: self.first_seen.time().unwrap_or_default(),
            last_seen: self.last_seen.time().unwrap_or_default(),
        }
    }
}
