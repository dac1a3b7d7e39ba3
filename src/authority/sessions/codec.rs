//! Sessions as bytes, for what keeps them outside the process.
//!
//! ```text
//! struct Session {                 // little-endian
//!     version: u8,                 // 1
//!     kind: u8,                    // 1 token, 2 session
//!     id: [u8; 16],
//!     times: [u32; 6],             // auth_time, issued_at, expires_at, first_seen, last_seen, ended
//!     cause: u8,                   // of the end; 0 where there is none
//!     requests: u32,
//!     issuer, subject, name, client, device: Text, // empty where there is none
//!     suspected: u32,
//!     evidence: Text,
//!     sightings: u8,
//!     sighting: [Sighting; sightings],
//! }
//! struct Text { length: u16, utf8: [u8; length] }
//! struct Sighting { network, user_agent: Text, requests: u32, first_seen: u32, last_seen: u32 }
//! ```
//!
//! Times are seconds, 0 where there is none.

use std::sync::Arc;

use super::session::{Ended, KEPT_SIGHTINGS, Name, Session, Sighting, Suspicion};
use crate::little_endian::LittleEndian;
use crate::revocation::{Cause, Fingerprint, Kind};
use crate::time::UnixTime;

const VERSION: u8 = 1;

/// The session as bytes. Texts beyond 65,535 bytes, which none has, are cut off.
#[must_use]
pub(super) fn encode(session: &Session) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    bytes.extend([VERSION, session.name.kind().tag()]);
    bytes.extend(session.id.0);
    let ended = session.ended;
    for time in [
        session.auth_time,
        session.issued_at,
        session.expires_at,
        Some(session.first_seen),
        Some(session.last_seen),
        ended.map(|ended| ended.at),
    ] {
        put_time(&mut bytes, time);
    }
    bytes.push(ended.map_or(0, |ended| ended.cause.number()));
    bytes.extend(session.requests.to_le_bytes());
    for text in [
        Some(&session.issuer),
        session.subject.as_ref(),
        Some(session.name.value()),
        session.client.as_ref(),
        session.device.as_ref(),
    ] {
        put_text(&mut bytes, text.map(|text| &**text));
    }
    let suspicion = session.suspicion.as_ref();
    put_time(&mut bytes, suspicion.map(|suspicion| suspicion.at));
    put_text(&mut bytes, suspicion.map(|suspicion| &*suspicion.evidence));
    let sightings = session.sightings.iter().take(KEPT_SIGHTINGS);
    bytes.push(u8::try_from(sightings.len()).unwrap_or(0));
    for sighting in sightings {
        let network = sighting.network.map(|network| network.to_string());
        put_text(&mut bytes, network.as_deref());
        put_text(&mut bytes, sighting.user_agent.as_deref());
        bytes.extend(sighting.requests.to_le_bytes());
        put_time(&mut bytes, Some(sighting.first_seen));
        put_time(&mut bytes, Some(sighting.last_seen));
    }
    bytes
}

/// The session that was encoded; `None` when the bytes are none.
#[must_use]
pub(super) fn decode(bytes: &[u8]) -> Option<Session> {
    let mut bytes = LittleEndian(bytes);
    if bytes.u8()? != VERSION {
        return None;
    }
    let kind = Kind::from_tag(bytes.u8()?)?;
    let id = Fingerprint(bytes.array()?);
    let [auth_time, issued_at, expires_at] = [(); 3].map(|()| time(&mut bytes));
    let [first_seen, last_seen, ended] = [(); 3].map(|()| time(&mut bytes));
    let cause = Cause::from_number(bytes.u8()?);
    let requests = bytes.u32()?;
    let issuer = text(&mut bytes)??;
    let subject = text(&mut bytes)?;
    let name = text(&mut bytes)??;
    let client = text(&mut bytes)?;
    let device = text(&mut bytes)?;
    let suspected = time(&mut bytes)?;
    let evidence = text(&mut bytes)?;
    let count = bytes.u8()?;
    let sightings = (0..count).map(|_| sighting(&mut bytes));
    let session = Session {
        id,
        issuer,
        subject,
        name: match kind {
            Kind::Token => Name::Token(name),
            Kind::Session => Name::Session(name),
            _ => return None,
        },
        client,
        device,
        auth_time: auth_time?,
        issued_at: issued_at?,
        expires_at: expires_at?,
        first_seen: first_seen??,
        last_seen: last_seen??,
        requests,
        sightings: sightings.collect::<Option<_>>()?,
        ended: ended?.map(|at| Ended { at, cause }),
        suspicion: suspected.map(|at| Suspicion {
            at,
            evidence: evidence.unwrap_or_default(),
        }),
    };
    bytes.end(session)
}

fn put_time(bytes: &mut Vec<u8>, time: Option<UnixTime>) {
    let seconds = time.map_or(0, UnixTime::seconds);
    bytes.extend(u32::try_from(seconds).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_text(bytes: &mut Vec<u8>, text: Option<&str>) {
    let text = text.unwrap_or_default();
    let end = text.floor_char_boundary(usize::from(u16::MAX));
    let text = text.get(..end).unwrap_or_default();
    bytes.extend(u16::try_from(end).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend(text.as_bytes());
}

#[expect(
    clippy::option_option,
    reason = "there may be no time, and no bytes for one"
)]
fn time(bytes: &mut LittleEndian<'_>) -> Option<Option<UnixTime>> {
    let seconds = bytes.u32()?;
    Some(UnixTime::from_seconds(seconds.into()).filter(|_| seconds > 0))
}

#[expect(
    clippy::option_option,
    reason = "there may be no text, and no bytes for one"
)]
fn text(bytes: &mut LittleEndian<'_>) -> Option<Option<Arc<str>>> {
    let length = bytes.u16()?;
    let text = str::from_utf8(bytes.slice(length.into())?).ok()?;
    Some((!text.is_empty()).then(|| text.into()))
}

fn sighting(bytes: &mut LittleEndian<'_>) -> Option<Sighting> {
    let network = text(bytes)?;
    Some(Sighting {
        network: match network {
            Some(network) => Some(network.parse().ok()?),
            None => None,
        },
        user_agent: text(bytes)?,
        requests: bytes.u32()?,
        first_seen: time(bytes)??,
        last_seen: time(bytes)??,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::authority::sessions) fn full() -> Session {
        let at = |seconds: u64| UnixTime::from_seconds(1_767_225_600 + seconds).unwrap();
        let sighting = |number: u64, network: &str| Sighting {
            network: network.parse().ok(),
            user_agent: (number > 1).then(|| "okhttp".into()),
            requests: 7,
            first_seen: at(number),
            last_seen: at(number + 1),
        };
        Session {
            id: Fingerprint([7; 16]),
            issuer: "https://issuer.example".into(),
            subject: Some("alice".into()),
            name: Name::Session("s".into()),
            client: Some("app".into()),
            device: Some("\u{1f600}".into()),
            auth_time: Some(at(1)),
            issued_at: Some(at(2)),
            expires_at: Some(at(3)),
            first_seen: at(4),
            last_seen: at(5),
            requests: u32::MAX,
            sightings: vec![
                sighting(1, "203.0.113.0/24"),
                sighting(2, "2001:db8::/32"),
                sighting(3, ""),
            ],
            ended: Some(Ended {
                at: at(6),
                cause: Cause::Idle,
            }),
            suspicion: Some(Suspicion {
                at: at(7),
                evidence: "two networks".into(),
            }),
        }
    }

    #[test]
    fn a_session_comes_back_as_it_was() {
        let sparse = Session {
            subject: None,
            name: Name::Token("j".into()),
            client: None,
            device: None,
            auth_time: None,
            issued_at: None,
            expires_at: None,
            sightings: Vec::new(),
            ended: None,
            suspicion: None,
            ..full()
        };
        for session in [full(), sparse] {
            assert_eq!(decode(&encode(&session)), Some(session));
        }
    }

    #[test]
    fn bytes_cut_anywhere_or_too_long_are_none() {
        let mut bytes = encode(&full());
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]), None, "{length} bytes");
        }
        bytes.push(0);
        assert_eq!(decode(&bytes), None);
        bytes.pop();
        bytes[0] += 1;
        assert_eq!(decode(&bytes), None, "of another version");
    }
}
