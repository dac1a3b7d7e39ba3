use serde_json::json;

use super::*;
use crate::authority::signals::configuration::Metadata;

#[test]
fn the_path_of_an_issuer_goes_behind_the_well_known_one() {
    for (issuer, expected) in [
        (
            "https://a.example",
            "https://a.example/.well-known/ssf-configuration",
        ),
        (
            "https://a.example/",
            "https://a.example/.well-known/ssf-configuration",
        ),
        (
            "https://a.example:8443/b/c/",
            "https://a.example:8443/.well-known/ssf-configuration/b/c",
        ),
    ] {
        let url = metadata::url(issuer, &Metadata::SharedSignals);
        assert_eq!(url.as_deref(), Ok(expected));
    }
    let url = metadata::url("https://a.example", &Metadata::Risc);
    assert_eq!(
        url.as_deref(),
        Ok("https://a.example/.well-known/risc-configuration")
    );
    let named = Metadata::Url("https://b.example/x".to_owned());
    let url = metadata::url("a", &named);
    assert_eq!(url.as_deref(), Ok("https://b.example/x"));
    for issuer in ["a", "urn:a", "https://a.example?x"] {
        let fault = metadata::url(issuer, &Metadata::SharedSignals).unwrap_err();
        assert_eq!(fault.reason, FaultReason::MetadataInvalid, "{issuer}");
    }
}

#[test]
fn metadata_is_of_its_issuer_and_has_what_is_needed() {
    let document = |issuer: &str, methods: Value| {
        let document = json!({
            "issuer": issuer, "configuration_endpoint": "https://a/streams",
            "delivery_methods_supported": methods, "critical_subject_members": ["tenant"],
            "unknown": {"x": [1]},
        });
        Endpoints::read(document.to_string().as_bytes(), "https://a")
    };
    let fault = document("https://b", json!([])).unwrap_err();
    assert_eq!(fault.reason, FaultReason::MetadataInvalid);
    let older = "https://schemas.openid.net/secevent/risc/delivery-method/poll";
    let endpoints = document("https://a", json!([older])).unwrap();
    assert_eq!(endpoints.configuration(), Ok("https://a/streams"));
    assert_eq!(endpoints.critical_members(), ["tenant"]);
    assert_eq!(endpoints.spelling(POLL_METHOD), Ok(Spelling::Older));
    let fault = endpoints.spelling(PUSH_METHOD).unwrap_err();
    assert_eq!(fault.reason, FaultReason::Unsupported);
    for methods in [json!([older, POLL_METHOD]), Value::Null] {
        let endpoints = document("https://a", methods).unwrap();
        assert_eq!(endpoints.spelling(POLL_METHOD), Ok(Spelling::Framework));
    }
    assert!(!endpoints.has_verification());
    let fault = endpoints.verification().unwrap_err();
    assert_eq!(fault.reason, FaultReason::Unsupported);
    assert!(Endpoints::read(b"[]", "https://a").is_err());
}

#[test]
fn credentials_go_over_tls_or_to_this_machine_from_this_machine() {
    for (url, by_default, from_loopback) in [
        ("https://a.example/x", true, true),
        ("http://127.0.0.1:1/x", false, true),
        ("http://localhost/x", false, true),
        ("http://a.example/x", false, false),
        ("ftp://a.example/x", false, false),
        ("https://user@a.example/", false, false),
        ("/x", false, false),
    ] {
        assert_eq!(calls::may_be_asked(url, false), by_default, "{url}");
        assert_eq!(calls::may_be_asked(url, true), from_loopback, "{url}");
    }
}

#[test]
fn a_stream_is_told_apart_by_its_url_or_its_description() {
    let stream = |value: Value| -> StreamDescription { serde_json::from_value(value).unwrap() };
    let pushed = Wanted::new(
        WantedDelivery {
            method: PUSH_METHOD,
            spelling: Spelling::Framework,
            endpoint_url: Some("https://e/ssf/streams/a".to_owned()),
            authorization_header: Some("secret".to_owned()),
        },
        vec!["e1".to_owned(), "e2".to_owned()],
        "Portcullis, stream a".to_owned(),
    );
    assert!(!format!("{pushed:?}").contains("secret"));
    let ours = json!({
        "stream_id": "1", "description": null, "events_requested": ["e2", "e1"],
        // As drafts of the framework call them.
        "delivery": {"delivery_method": PUSH_METHOD, "url": "https://e/ssf/streams/a"},
    });
    assert!(pushed.is_ours(&stream(ours.clone())) && pushed.fits(&stream(ours.clone())));
    let mut other = ours.clone();
    other["events_requested"] = json!(["e1"]);
    assert!(pushed.is_ours(&stream(other.clone())) && !pushed.fits(&stream(other.clone())));
    other["delivery"]["url"] = json!("https://e/ssf/streams/b");
    assert!(!pushed.is_ours(&stream(other)));
    assert!(!pushed.is_ours(&stream(json!({"stream_id": "1"}))));
    let polled = Wanted::new(
        WantedDelivery {
            method: POLL_METHOD,
            spelling: Spelling::Framework,
            endpoint_url: None,
            authorization_header: None,
        },
        Vec::new(),
        "Portcullis, stream a".to_owned(),
    );
    let mut ours = json!({
        "stream_id": "1", "description": "Portcullis, stream a", "aud": ["x", "y"],
        "events_requested": [],
        "delivery": {"method": POLL_METHOD, "endpoint_url": "https://a/poll"},
    });
    assert!(polled.is_ours(&stream(ours.clone())) && polled.fits(&stream(ours.clone())));
    assert_eq!(stream(ours.clone()).audiences(), ["x", "y"]);
    ours["description"] = json!("Portcullis, stream b");
    assert!(!polled.is_ours(&stream(ours)));
}

/// It is asked in its own words, and its stream is known by either.
#[test]
fn an_older_transmitter_is_spoken_to_as_it_speaks() {
    let wanted = |spelling| {
        let delivery = WantedDelivery {
            method: PUSH_METHOD,
            spelling,
            endpoint_url: Some("https://e/ssf/streams/a".to_owned()),
            authorization_header: Some("Bearer x".to_owned()),
        };
        Wanted::new(delivery, Vec::new(), "Portcullis, stream a".to_owned())
    };
    let older = "https://schemas.openid.net/secevent/risc/delivery-method/push";
    let expected = [
        json!({
            "method": PUSH_METHOD, "endpoint_url": "https://e/ssf/streams/a",
            "authorization_header": "Bearer x",
        }),
        json!({
            "delivery_method": older, "url": "https://e/ssf/streams/a",
            "authorization_header": "Bearer x",
        }),
    ];
    for (spelling, expected) in Spelling::ALL.into_iter().zip(&expected) {
        let wanted = wanted(spelling);
        let written = serde_json::to_value(&wanted).unwrap();
        assert_eq!(written["delivery"], *expected);
        for method in [PUSH_METHOD, older] {
            let stream = json!({
                "stream_id": "1", "events_requested": [],
                "delivery": {"delivery_method": method, "url": "https://e/ssf/streams/a"},
            });
            let stream: StreamDescription = serde_json::from_value(stream).unwrap();
            assert!(wanted.is_ours(&stream) && wanted.fits(&stream), "{method}");
        }
    }
    let polled = json!({"stream_id": "1", "delivery": {"method": POLL_METHOD, "url": "https://e/ssf/streams/a"}});
    let polled: StreamDescription = serde_json::from_value(polled).unwrap();
    assert!(!wanted(Spelling::Older).is_ours(&polled));
}

#[test]
fn the_events_of_a_poll_keep_their_order_and_are_bounded() {
    let answer = PollAnswer::parse(br#"{"sets": {"b": "1", "a": "2", "c": 7}}"#).unwrap();
    let ids: Vec<_> = answer.sets.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["b", "a", "c"]);
    assert_eq!(answer.sets[2].1, None);
    assert!(!answer.more_available);
    let many: Vec<_> = (0..MOST_SETS + 5)
        .map(|number| format!("\"{number}\": \"x\""))
        .collect();
    let many = format!("{{\"sets\": {{{}}}}}", many.join(","));
    let answer = PollAnswer::parse(many.as_bytes()).unwrap();
    assert_eq!(answer.sets.len(), MOST_SETS);
    assert!(answer.more_available);
    for wrong in [
        "",
        "[]",
        "{}",
        r#"{"sets": []}"#,
        r#"{"sets": {}, "moreAvailable": 1}"#,
    ] {
        let fault = PollAnswer::parse(wrong.as_bytes()).unwrap_err();
        assert_eq!(fault.reason, FaultReason::AnswerInvalid, "{wrong}");
    }
}
