use super::*;
use crate::authority::signals::events::Action;

/// A stream that nothing is wrong with, with this member.
pub(super) fn stream(name: &str, value: Value) -> Value {
    let mut stream = json!({
        "name": "okta", "issuer": "https://a", "audiences": ["https://edge"], "delivery": {"push": {}},
    });
    stream[name] = value;
    stream
}

#[test]
fn a_stream_has_its_defaults_and_what_is_written() {
    let mut document = with_issuer(&issuer("issuer", json!("https://a")));
    document["streams"] = json!([stream("name", json!("okta"))]);
    let [plain] = read(&document)
        .configuration
        .unwrap()
        .streams
        .try_into()
        .unwrap();
    assert_eq!(plain.max_age, Duration::from_hours(7 * 24));
    let Delivery::Push(push) = plain.delivery else {
        panic!("not pushed");
    };
    assert_eq!(push.authorization, None);
    let streams = read(&complete()).configuration.unwrap().streams;
    let [written, other, polled, by_hand] = streams.try_into().unwrap();
    let Delivery::Push(push) = written.delivery else {
        panic!("not pushed");
    };
    let expected = SecretSource {
        at: "streams[0].delivery.push.authorization".to_owned(),
        place: SecretPlace::Environment("OKTA_AUTHORIZATION".to_owned()),
    };
    assert_eq!(push.authorization, Some(expected));
    assert_eq!(written.critical_subject_members, ["tenant"]);
    assert_eq!(written.max_age, Duration::from_hours(24));
    for event in EventName::all_that_may_act() {
        assert_eq!(plain.events.of(event), event.default_action());
        assert_eq!(written.events.of(event), Action::Record);
    }
    let Delivery::Push(push) = other.delivery else {
        panic!("not pushed");
    };
    let expected = SecretSource {
        at: "streams[1].delivery.push.authorization".to_owned(),
        place: SecretPlace::File("/etc/portcullis/authorization".into()),
    };
    assert_eq!(push.authorization, Some(expected));
    let expected = Poll {
        endpoint: None,
        max_events: 10,
        timeout: Duration::from_mins(2),
    };
    assert_eq!(polled.delivery, Delivery::Poll(expected));
    let transmitter = polled.transmitter.unwrap();
    assert_eq!(transmitter.metadata, Metadata::Risc);
    assert!(transmitter.manage);
    assert_eq!(by_hand.delivery.poll_endpoint(), Some("https://b/poll"));
    let transmitter = by_hand.transmitter.unwrap();
    assert_eq!(
        transmitter.metadata,
        Metadata::Url("https://b/ssf".to_owned())
    );
    assert!(!transmitter.manage);
}

#[test]
fn what_is_polled_says_whom_and_where() {
    let stream = |members: Value| {
        let mut stream = json!({"name": "s", "issuer": "https://a", "audiences": ["e"]});
        for (name, member) in members.as_object().unwrap() {
            stream[name] = member.clone();
        }
        let mut document = with_issuer(&issuer("issuer", json!("https://a")));
        document["streams"] = json!([stream]);
        faults(&document)
    };
    let poll = json!({"poll": {}});
    for (members, expected) in [
        (json!({"delivery": poll, "transmitter": {}}), None),
        (
            json!({"delivery": poll}),
            Some("streams[0]: `transmitter` is missing: whom to poll, and what to show it"),
        ),
        (
            json!({"delivery": poll, "transmitter": {"manage": false}}),
            Some(
                "streams[0]: `delivery.poll.endpoint` is missing, which only the transmitter of a \
                 stream that is managed from here can tell",
            ),
        ),
        (
            json!({"delivery": {"push": {}}, "transmitter": {"manage": false}}),
            Some(
                "streams[0]: `transmitter` has no effect on a stream that is pushed and not managed",
            ),
        ),
        (
            json!({"delivery": {"poll": {"endpoint": "http://b/poll"}}, "transmitter": {}}),
            Some(
                "streams[0].delivery.poll.endpoint: expected a URL that begins with `https://`, or \
                 with `http://` where its host is on loopback",
            ),
        ),
        (
            json!({"delivery": {"poll": {"timeout": "1h"}}, "transmitter": {}}),
            Some("streams[0].delivery.poll.timeout: expected a duration from 1s to 10m"),
        ),
        (
            json!({"delivery": poll, "transmitter": {"well_known": "ssf", "metadata": "https://b"}}),
            Some("streams[0].transmitter: expected at most one of `well_known` and `metadata`"),
        ),
        (
            json!({"delivery": poll, "transmitter": {"authorization": {}}}),
            Some(
                "streams[0].transmitter.authorization: expected either `bearer` or \
                 `client_credentials`",
            ),
        ),
    ] {
        let expected: Vec<_> = expected.into_iter().collect();
        assert_eq!(stream(members.clone()), expected, "{members}");
    }
}

#[test]
fn every_fault_of_a_stream_is_told_with_its_path() {
    let long = "a".repeat(65);
    let name = "expected at most 64 of `a` to `z`, `0` to `9` and `-`";
    for (member, value, expected) in [
        ("name", json!("Okta"), format!("streams[0].name: {name}")),
        ("name", json!("a/b"), format!("streams[0].name: {name}")),
        ("name", json!(long), format!("streams[0].name: {name}")),
        (
            "issuer",
            json!("https://b"),
            "streams[0].issuer: expected one of `issuers`, whose keys its tokens are signed with"
                .to_owned(),
        ),
        (
            "audiences",
            json!([]),
            "streams[0].audiences: expected at least one audience".to_owned(),
        ),
        (
            "delivery",
            json!({}),
            "streams[0].delivery: expected either `push` or `poll`".to_owned(),
        ),
        (
            "delivery",
            json!({"push": {"authorization": "Bearer x"}}),
            "streams[0].delivery.push.authorization: expected an object, found a string".to_owned(),
        ),
        (
            "delivery",
            json!({"push": {"authorization": {"env": "A", "file": "b"}}}),
            "streams[0].delivery.push.authorization: expected either `env` or `file`".to_owned(),
        ),
        (
            "max_age",
            json!("40d"),
            "streams[0].max_age: expected a duration from a minute to 31 days".to_owned(),
        ),
        (
            "events",
            json!({"session-revoked": "ignore"}),
            "streams[0].events.session-revoked: expected `revoke` or `record`".to_owned(),
        ),
        (
            "events",
            json!({"session-revokd": "record"}),
            "streams[0].events.session-revokd: unknown key, did you mean `session-revoked`?"
                .to_owned(),
        ),
    ] {
        let mut document = with_issuer(&issuer("issuer", json!("https://a")));
        document["streams"] = json!([stream(member, value)]);
        assert_eq!(faults(&document), [expected]);
    }
    let mut document = with_issuer(&issuer("issuer", json!("https://a")));
    document["streams"] = json!([stream("name", json!("a")), stream("name", json!("a"))]);
    assert_eq!(
        faults(&document),
        ["streams[1]: `a` is in the list already"]
    );
}
