use super::*;
use crate::authority::sessions::session::Sighting;
use crate::revocation::{Fingerprint, Kind};

/// 2026-01-05T08:00:00Z.
const AT: u64 = 1_767_600_000_000;

fn suspect(name: Name, finding: Finding) -> Suspect {
    Suspect {
        issuer: "https://id.example.com".to_owned(),
        subject: Some("alice".to_owned()),
        name,
        id: Fingerprint([0xab; 16]),
        finding,
        at: AT,
    }
}

fn session(name: Name) -> Session {
    let time = |seconds| UnixTime::from_seconds(AT / 1000 + seconds).unwrap();
    let sighting = |network: &str, user_agent: &str, seconds| Sighting {
        network: Some(network.parse().unwrap()),
        user_agent: Some(user_agent.into()),
        requests: 12,
        first_seen: time(0),
        last_seen: time(seconds),
    };
    Session {
        id: Fingerprint([0xab; 16]),
        issuer: "https://id.example.com".into(),
        subject: Some("alice".into()),
        name,
        client: Some("app".into()),
        device: None,
        auth_time: None,
        issued_at: None,
        expires_at: UnixTime::from_seconds(AT / 1000 + 300),
        first_seen: time(0),
        last_seen: time(60),
        requests: 24,
        sightings: vec![
            sighting("203.0.113.0/24", "okhttp", 60),
            sighting("192.0.2.0/24", "curl", 55),
        ],
        ended: None,
        suspicion: None,
    }
}

fn turns() -> Finding {
    Finding::Clients(Turns {
        networks: ["192.0.0.0/16", "203.0.0.0/16"].map(|text| text.parse().unwrap()),
        changes: 2,
        minutes: 30,
    })
}

#[test]
fn the_id_of_an_event_tells_subjects_and_hours_apart_and_not_authorities() {
    let name = Name::Session("shared".into());
    let id = |subject: Option<&str>, at: u64| {
        let suspect = Suspect {
            at,
            ..suspect(name.clone(), turns())
        };
        let session = Session {
            subject: subject.map(Into::into),
            ..session(name.clone())
        };
        event(&suspect, &session, true).id
    };
    let (start, hour) = (1_767_600_000_000, 3_600_000);
    let alice = id(Some("alice"), start);
    assert!(alice.starts_with("session_suspicious_clients_"), "{alice}");
    assert_eq!(id(Some("alice"), start + hour - 1), alice);
    for other in [
        id(Some("alice"), start + hour),
        id(Some("bob"), start),
        id(None, start),
    ] {
        assert_ne!(other, alice);
    }
}

#[test]
fn the_event_is_the_one_of_the_document() {
    let name = Name::Session("08a5019c-17e1-4977-8f42-65a12843ea02".into());
    let event = event(&suspect(name.clone(), turns()), &session(name), true);
    let sent: Value = serde_json::from_slice(&event.body).unwrap();
    let document = include_str!("../../../../../envoy/sessions.md");
    let mut blocks = document.split("```json\n").skip(1);
    let shown = blocks.find_map(|block| {
        let block = block.split("```").next()?;
        let shown: Value = serde_json::from_str(block).ok()?;
        (shown["type"] == sent["type"]).then_some(shown)
    });
    assert_eq!(shown, Some(sent.clone()), "{sent:#}");
}

#[test]
fn the_evidence_of_a_rate_has_its_figures() {
    let finding = Finding::Rate {
        requests: 900,
        usual: 12,
        minutes: 3,
    };
    assert_eq!(
        evidence(finding),
        json!({
            "text": "900 requests a minute for 3 minutes, where 12 are usual",
            "requests_per_minute": 900,
            "usual_requests_per_minute": 12,
            "minutes": 3,
        })
    );
}

#[test]
fn a_session_is_revoked_for_as_long_as_it_may_have_tokens() {
    let kept = Kept {
        max_token_lifetime: Duration::from_hours(1),
        expiry_margin: Duration::from_mins(15),
    };
    for (name, kind, lives) in [
        (Name::Session("s".into()), Kind::Session, 3_600),
        (Name::Token("t".into()), Kind::Token, 300),
    ] {
        let sign_in = UnixTime::from_milliseconds(AT);
        let suspect = suspect(name.clone(), turns());
        let revocation = revocation(kept, &suspect, &session(name), sign_in);
        assert_eq!(revocation.not_before, sign_in);
        assert_eq!(revocation.target.kind, kind);
        assert_eq!(revocation.cause, Cause::Suspicious);
        assert_eq!(revocation.subject.as_deref(), Some("alice"));
        let expires_at = revocation.expires_at.seconds();
        assert_eq!(expires_at, AT / 1000 + lives + 900);
        assert_eq!(
            revocation.reason,
            "looks stolen: two kinds of client, each on its own network: 192.0.0.0/16 and \
             203.0.0.0/16 took turns at least 2 times in 30 minutes"
        );
    }
}
