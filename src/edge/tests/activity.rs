//! What the authority is told of sessions in use.

use super::*;
use crate::gate::ActivityCounts;
use crate::revocation::wire::activity::ACTIVITY_PATH;
use crate::token::parse_json;

/// How long the sessions of these tests are reported once at most.
const INTERVAL: u64 = 60_000;

/// Two providers, each with a header of its own for tokens, and these rules for activity.
fn configuration_with(activity: &Value) -> Value {
    let provider = |header: &str| {
        json!({
            "issuer": "iss",
            "local_jwks": {"inline_string": jwk_set(&[&eddsa()])},
            "from_headers": [{"name": header}],
        })
    };
    let named = |name: &str| json!({"provider_name": name});
    let both = [named("first"), named("second")];
    let mut revocation = mock_authority::settings();
    revocation["device_claim"] = json!("device");
    // Time passes here without heartbeats.
    revocation["on_stale"] = json!("allow");
    json!({
        "providers": {"first": provider("x-token"), "second": provider("x-other-token")},
        "rules": [
            {
                "match": {"path": "/both"},
                "requires": {"requires_all": {"requirements": both}},
            },
            {"match": {"path": "/open"}},
            {"match": {"prefix": "/"}, "requires": named("first")},
        ],
        "revocation": revocation,
        "activity": activity,
    })
}

/// A machine that has a feed, and reports activity.
fn reporting<'p>(process: &'p MockProcess, activity: &Value) -> Machine<'p> {
    let machine = VirtualMachine::new(process, &configuration_with(activity));
    machine.tick();
    let authority = MockAuthority::new();
    machine.answer(|call| (call.path != ACTIVITY_PATH).then(|| authority.answer(call))?);
    machine.tick();
    assert!(machine.edge.gate.has_what_it_needs());
    machine
}

fn report() -> Value {
    json!({"report": true})
}

fn token_with(claims: Value) -> String {
    let mut all = json!({"iss": "iss", "sub": "alice", "iat": NOW - 10, "exp": NOW + 3_600});
    let all = all.as_object_mut().unwrap();
    match claims {
        Value::Object(claims) => all.extend(claims),
        other => panic!("{other}"),
    }
    token(&eddsa(), &json!(all))
}

fn of_session(sid: &str) -> String {
    token_with(json!({"sid": sid, "jti": format!("a token of {sid}")}))
}

/// A request with a token of this session.
fn request_of(sid: &str) -> MockHost {
    from(&of_session(sid), "203.0.113.7:5000", "okhttp/4.12")
}

fn from(token: &str, address: &str, user_agent: &str) -> MockHost {
    MockHost::get("/", UnixTime::EPOCH)
        .with_header("user-agent", user_agent)
        .with_header("x-token", token)
        .with_property("source.address", address)
}

fn admit(machine: &Machine<'_>, request: MockHost) {
    let context = machine.send(request);
    assert_eq!(machine.state(context), State::Forwarded);
    machine.leave(context);
}

fn pass(machine: &Machine<'_>, process: &MockProcess, milliseconds: u64) {
    for _ in 0..milliseconds / 100 {
        process.pass(100);
        tick(machine);
    }
}

/// A tick. The authority takes what is told when there is nothing to tell.
fn tick(machine: &Machine<'_>) {
    machine.tick();
    for call in calls_of(machine, ACTIVITY_PATH) {
        let body = parse_json(call.call.body.as_deref().unwrap()).unwrap();
        if body["reports"] == json!([]) {
            machine.end_call(&call, &answered(204));
        }
    }
}

/// The only report that is under way.
fn sent(machine: &Machine<'_>) -> Option<OpenCall> {
    let mut calls = calls_of(machine, ACTIVITY_PATH);
    assert!(calls.len() < 2, "one at a time");
    calls.pop()
}

fn answered(status: u16) -> CallOutcome {
    CallOutcome::Answered {
        status,
        headers: Vec::new(),
        body: Vec::new(),
    }
}

/// The reports of the call that is under way, which is answered with this status.
fn take_with(machine: &Machine<'_>, status: u16) -> Vec<Value> {
    let Some(call) = sent(machine) else {
        return Vec::new();
    };
    let mut body = parse_json(call.call.body.as_deref().unwrap()).unwrap();
    machine.end_call(&call, &answered(status));
    assert_eq!(body["version"], 1);
    match body["reports"].take() {
        Value::Array(reports) => reports,
        other => panic!("{other}"),
    }
}

fn take(machine: &Machine<'_>) -> Vec<Value> {
    take_with(machine, 204)
}

fn counts(machine: &Machine<'_>) -> ActivityCounts {
    tick(machine);
    machine.host.take_activity()
}

#[wasm_bindgen_test(unsupported = test)]
fn a_new_session_is_told_with_the_next_tick_by_all_its_names() {
    let process = MockProcess::default();
    let machine = reporting(&process, &report());
    let token = token_with(json!({
        "sid": "s", "jti": "j", "client_id": "app", "azp": "other", "device": "phone",
        "auth_time": NOW - 500,
    }));
    admit(
        &machine,
        from(&token, "203.0.113.7:5000", "Bank/1 okhttp/4.12"),
    );
    assert!(sent(&machine).is_none(), "not in the request's time");
    pass(&machine, &process, 100);
    let call = sent(&machine).unwrap().call;
    assert_eq!((call.method, &*call.cluster), ("POST", "authority"));
    assert!(
        call.headers
            .contains(&("authorization", "Bearer edge".to_owned()))
    );
    let expected = json!({
        "issuer": "iss", "subject": "alice", "sid": "s", "client": "app", "device": "phone",
        "issued_at": NOW - 10, "auth_time": NOW - 500, "expires_at": NOW + 3_600,
        "first_seen_ago": 100, "last_seen_ago": 100, "requests": 1,
        "sightings": [{
            "network": "203.0.113.0/24", "user_agent": "okhttp", "requests": 1,
            "last_seen_ago": 100,
        }],
    });
    assert_eq!(take(&machine), [expected]);
    let told = ActivityCounts {
        reported: 1,
        dropped: 0,
        sessions: 1,
    };
    assert_eq!(counts(&machine), told);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_session_is_told_once_in_an_interval_with_all_that_has_come_since_and_then_forgotten() {
    let process = MockProcess::default();
    let machine = reporting(&process, &report());
    admit(&machine, request_of("s"));
    pass(&machine, &process, 100);
    assert_eq!(take(&machine).len(), 1);
    for _ in 0..40 {
        admit(&machine, request_of("s"));
        pass(&machine, &process, 1_000);
        assert!(sent(&machine).is_none());
    }
    pass(&machine, &process, 19_900);
    assert!(sent(&machine).is_none());
    pass(&machine, &process, 100);
    let reports = take(&machine);
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0]["requests"], 40);
    assert_eq!(reports[0]["first_seen_ago"], INTERVAL);
    assert_eq!(reports[0]["last_seen_ago"], 21_000);
    assert_eq!(counts(&machine).sessions, 1);
    pass(&machine, &process, INTERVAL);
    assert!(sent(&machine).is_none(), "there is nothing to tell");
    assert_eq!(counts(&machine).sessions, 0);
    admit(&machine, request_of("s"));
    pass(&machine, &process, 100);
    assert_eq!(take(&machine)[0]["requests"], 1, "it is new again");
}

#[wasm_bindgen_test(unsupported = test)]
fn that_there_is_nothing_to_tell_is_told_twice_in_an_interval() {
    let process = MockProcess::default();
    let machine = reporting(&process, &report());
    let mut told = Vec::new();
    for tick in 1..=1_800_u32 {
        process.pass(100);
        machine.tick();
        for call in calls_of(&machine, ACTIVITY_PATH) {
            let body = parse_json(call.call.body.as_deref().unwrap()).unwrap();
            told.push((tick, body["reports"].clone(), body["interval"].clone()));
            machine.end_call(&call, &answered(204));
        }
    }
    let nothing = |tick| (tick, json!([]), json!(INTERVAL));
    assert_eq!(told, [300, 600, 900, 1_200, 1_500, 1_800].map(nothing));
    let nothing = ActivityCounts::default();
    assert_eq!(machine.host.take_activity(), nothing);
}

#[wasm_bindgen_test(unsupported = test)]
fn what_was_refused_or_came_without_a_token_or_has_no_name_is_not_told() {
    let process = MockProcess::default();
    let machine = reporting(&process, &report());
    machine.send(MockHost::get("/open", UnixTime::EPOCH));
    machine.send(MockHost::get("/", UnixTime::EPOCH));
    let expired = token_with(json!({"sid": "s", "exp": NOW - 1_000}));
    machine.send(from(&expired, "203.0.113.7:5000", "okhttp/4.12"));
    admit(
        &machine,
        from(&token_with(json!({})), "203.0.113.7:5000", "okhttp/4.12"),
    );
    pass(&machine, &process, 1_000);
    assert!(sent(&machine).is_none());
    assert_eq!(counts(&machine), ActivityCounts::default());
}

#[wasm_bindgen_test(unsupported = test)]
fn a_request_with_two_tokens_counts_for_both_sessions_or_once_for_the_one() {
    let process = MockProcess::default();
    let machine = reporting(&process, &report());
    let both = |one: &str, other: &str| {
        MockHost::get("/both", UnixTime::EPOCH)
            .with_header("x-token", one)
            .with_header("x-other-token", other)
    };
    let [s, t] = ["s", "t"].map(of_session);
    let again = token_with(json!({"sid": "s", "jti": "again", "iat": NOW, "exp": NOW + 7_200}));
    admit(&machine, both(&s, &t));
    admit(&machine, both(&s, &again));
    // Without a session, the token stands for itself.
    admit(&machine, both(&s, &token_with(json!({"jti": "alone"}))));
    pass(&machine, &process, 100);
    let reports = take(&machine);
    let told = |report: &Value| {
        let name = report.get("sid").or(report.get("jti")).unwrap().clone();
        (
            name,
            report["requests"].clone(),
            report["expires_at"].clone(),
        )
    };
    let expected = [
        (json!("s"), json!(3), json!(NOW + 7_200)),
        (json!("t"), json!(1), json!(NOW + 3_600)),
        (json!("alone"), json!(1), json!(NOW + 3_600)),
    ];
    assert_eq!(reports.iter().map(told).collect::<Vec<_>>(), expected);
}

#[wasm_bindgen_test(unsupported = test)]
fn subjects_and_clients_that_share_a_sid_are_told_apart() {
    let process = MockProcess::default();
    let machine = reporting(&process, &report());
    let users = [("alice", "app"), ("bob", "app"), ("alice", "web")];
    for (requests, (subject, client)) in (1..).zip(users) {
        let claims = json!({"sid": "s", "sub": subject, "client_id": client});
        for _ in 0..requests {
            admit(
                &machine,
                from(&token_with(claims.clone()), "203.0.113.7:5000", "curl/8.9"),
            );
        }
    }
    pass(&machine, &process, 100);
    let told = take(&machine);
    let told = told.iter().map(|report| {
        assert_eq!(report["sid"], "s");
        (&report["subject"], &report["client"], &report["requests"])
    });
    let expected = [("alice", "app", 1), ("bob", "app", 2), ("alice", "web", 3)];
    let expected = expected
        .map(|(subject, client, requests)| (json!(subject), json!(client), json!(requests)));
    let expected = expected
        .iter()
        .map(|(subject, client, requests)| (subject, client, requests));
    assert!(told.eq(expected));
}

#[wasm_bindgen_test(unsupported = test)]
fn an_authority_that_does_not_answer_is_told_everything_later_and_asked_ever_less_often() {
    let process = MockProcess::default();
    let machine = reporting(&process, &report());
    admit(&machine, request_of("s"));
    let mut calls = 0;
    for second in 0..120 {
        if sent(&machine).is_some() {
            let status = if second % 2 == 0 { 503 } else { 429 };
            assert_eq!(take_with(&machine, status).len(), 1);
            calls += 1;
        }
        pass(&machine, &process, 1_000);
        admit(&machine, request_of("s"));
    }
    assert!((4..12).contains(&calls), "{calls} calls");
    let log = process.log.borrow();
    let told = log.iter().filter(|line| line.contains("activity")).count();
    assert_eq!(told, 1, "{log:?}");
    drop(log);
    pass(&machine, &process, INTERVAL);
    let reports = take(&machine);
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0]["requests"], 121);
    assert_eq!(reports[0]["sightings"][0]["requests"], 121);
    let age = reports[0]["first_seen_ago"].as_u64().unwrap();
    assert!((120_000..=120_000 + INTERVAL).contains(&age), "{age}");
    let counts = counts(&machine);
    assert_eq!((counts.reported, counts.dropped), (1, 0));
}

#[wasm_bindgen_test(unsupported = test)]
fn while_one_machine_cannot_report_the_others_say_that_there_is_more() {
    let process = MockProcess::default();
    let [cut_off, other] = [(); 2].map(|()| reporting(&process, &report()));
    admit(&cut_off, request_of("s"));
    // What the other one says, second by second, while the calls of the first end like this.
    let said = |seconds: std::ops::Range<u32>, status: u16| {
        let mut said = Vec::new();
        for second in seconds {
            process.pass(1_000);
            cut_off.tick();
            take_with(&cut_off, status);
            other.tick();
            for call in calls_of(&other, ACTIVITY_PATH) {
                let body = parse_json(call.call.body.as_deref().unwrap()).unwrap();
                said.push((second, body.get("incomplete") == Some(&json!(true))));
                other.end_call(&call, &answered(204));
            }
        }
        said
    };
    for (second, is_incomplete) in said(0..600, 503) {
        // Two intervals, and the time until the next attempt.
        match second {
            0..120 => assert!(!is_incomplete, "{second}"),
            190.. => assert!(is_incomplete, "{second}"),
            _ => {}
        }
    }
    let later = said(600..900, 204);
    assert_eq!(
        later.first().map(|(_, is_incomplete)| *is_incomplete),
        Some(true)
    );
    assert_eq!(
        later.last().map(|(_, is_incomplete)| *is_incomplete),
        Some(false)
    );
}

/// A request that goes on.
fn begin(machine: &Machine<'_>, request: MockHost) -> ContextId {
    let context = machine.send(request);
    assert_eq!(machine.state(context), State::Forwarded);
    context
}

#[wasm_bindgen_test(unsupported = test)]
fn a_session_is_in_use_for_as_long_as_a_stream_of_it_is_in_progress() {
    let process = MockProcess::default();
    let machine = reporting(&process, &report());
    let stream = begin(&machine, request_of("s"));
    pass(&machine, &process, 100);
    assert_eq!(take(&machine)[0]["requests"], 1);
    for _ in 0..10 {
        pass(&machine, &process, INTERVAL - 200);
        assert!(sent(&machine).is_none());
        pass(&machine, &process, 300);
        let reports = take(&machine);
        let [report] = &reports[..] else {
            panic!("{reports:?}");
        };
        assert_eq!(
            (&report["sid"], &report["requests"]),
            (&json!("s"), &json!(0))
        );
        assert_eq!(report["sightings"], json!([]));
        let age = report["last_seen_ago"].as_u64().unwrap();
        assert!(age <= INTERVAL / 2, "{age}");
    }
    machine.leave(stream);
    pass(&machine, &process, INTERVAL + 200);
    assert!(take(&machine).len() < 2);
    pass(&machine, &process, INTERVAL + 200);
    assert!(sent(&machine).is_none());
    assert_eq!(counts(&machine).sessions, 0);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_request_beside_a_stream_is_counted_once_and_its_place_is_told() {
    let process = MockProcess::default();
    let machine = reporting(&process, &report());
    begin(&machine, request_of("s"));
    pass(&machine, &process, 100);
    assert_eq!(take(&machine).len(), 1);
    pass(&machine, &process, INTERVAL / 2 + 100);
    admit(&machine, request_of("s"));
    pass(&machine, &process, INTERVAL / 2 + 100);
    let report = take(&machine).remove(0);
    assert_eq!(report["requests"], 1);
    let seen = &report["sightings"][0];
    assert_eq!(
        (&seen["requests"], &seen["user_agent"]),
        (&json!(1), &json!("okhttp"))
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn a_stream_is_no_use_of_a_session_where_the_operator_says_so_or_no_revocation_ends_it() {
    let process = MockProcess::default();
    let ignoring = reporting(&process, &json!({"report": true, "streams": "ignore"}));
    let mut keeping = configuration_with(&report());
    keeping["streams"] = json!({"on_revocation": "keep"});
    let keeping = VirtualMachine::new(&process, &keeping);
    keeping.tick();
    for machine in [ignoring, keeping] {
        begin(&machine, request_of("s"));
        pass(&machine, &process, 100);
        assert_eq!(take(&machine).len(), 1);
        pass(&machine, &process, 2 * INTERVAL);
        assert!(sent(&machine).is_none());
        assert_eq!(counts(&machine).sessions, 0);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn however_many_streams_there_are_all_of_them_count_and_so_many_in_a_tick() {
    let process = MockProcess::default();
    let machine = reporting(&process, &report());
    for number in 0..1_200 {
        begin(&machine, request_of(&number.to_string()));
    }
    // All are reported, and then forgotten unless they count.
    for _ in 0..4 {
        pass(&machine, &process, 100);
        take(&machine);
    }
    pass(&machine, &process, INTERVAL + 1_000);
    let mut told = 0;
    for _ in 0..4 {
        told += take(&machine).len();
        pass(&machine, &process, 100);
    }
    assert_eq!(told, 1_200);
}

#[wasm_bindgen_test(unsupported = test)]
fn what_the_authority_refuses_is_dropped_and_counted() {
    for status in [400, 403, 404, 413] {
        let process = MockProcess::default();
        let machine = reporting(&process, &report());
        for _ in 0..3 {
            admit(&machine, request_of("s"));
        }
        pass(&machine, &process, 100);
        assert_eq!(take_with(&machine, status).len(), 1);
        let dropped = counts(&machine);
        assert_eq!((dropped.reported, dropped.dropped), (0, 3), "{status}");
        // The next request is in the next report.
        admit(&machine, request_of("s"));
        pass(&machine, &process, INTERVAL);
        assert_eq!(take(&machine)[0]["requests"], 1);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn after_a_day_without_an_answer_no_age_is_told_that_the_authority_would_refuse() {
    const DAY: u64 = 86_400_000;
    let process = MockProcess::default();
    let machine = reporting(&process, &json!({"report": true, "interval": "3600s"}));
    let token = token_with(json!({"sid": "s", "exp": NOW + 1_000_000}));
    admit(&machine, from(&token, "203.0.113.7:5000", "okhttp/4.12"));
    process.refuses_calls.set(true);
    // As far as the clock is believed to have gone on at once.
    for _ in 0..8_700 {
        process.pass(10_000);
        machine.tick();
    }
    process.refuses_calls.set(false);
    process.pass(100_000);
    machine.tick();
    let report = take(&machine).remove(0);
    let seen = &report["sightings"][0];
    for age in [
        &report["first_seen_ago"],
        &report["last_seen_ago"],
        &seen["last_seen_ago"],
    ] {
        assert_eq!(*age, DAY);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_call_that_cannot_be_sent_is_made_later() {
    let process = MockProcess::default();
    let machine = reporting(&process, &report());
    admit(&machine, request_of("s"));
    process.refuses_calls.set(true);
    pass(&machine, &process, 1_000);
    assert!(sent(&machine).is_none());
    process.refuses_calls.set(false);
    pass(&machine, &process, INTERVAL);
    assert_eq!(take(&machine)[0]["requests"], 1);
}

#[wasm_bindgen_test(unsupported = test)]
fn one_call_is_under_way_at_a_time_with_a_thousand_sessions_at_most() {
    let process = MockProcess::default();
    let machine = reporting(&process, &report());
    for number in 0..1_100 {
        admit(&machine, request_of(&number.to_string()));
    }
    pass(&machine, &process, 1_000);
    assert_eq!(take(&machine).len(), 1_000);
    pass(&machine, &process, 100);
    assert_eq!(take(&machine).len(), 100);
    assert_eq!(counts(&machine).reported, 1_100);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_clock_that_jumps_makes_nothing_older_than_it_is() {
    for jump in [-86_400_000, 86_400_000] {
        let process = MockProcess::default();
        let machine = reporting(&process, &json!({"report": true, "interval": "300s"}));
        let token = token_with(json!({"sid": "s", "iat": 0, "exp": NOW + 1_000_000}));
        let request = || from(&token, "203.0.113.7:5000", "okhttp/4.12");
        admit(&machine, request());
        pass(&machine, &process, 100);
        assert_eq!(take(&machine).len(), 1);
        admit(&machine, request());
        pass(&machine, &process, 5_000);
        let now = process.now.get().saturating_add_signed(jump);
        process.now.set(now);
        pass(&machine, &process, 300_000);
        let report = take(&machine).remove(0);
        let age = report["first_seen_ago"].as_u64().unwrap();
        assert!((300_000..=320_000).contains(&age), "{jump}: {age}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn another_program_is_noticed_at_once_and_another_network_within_sixteen_requests() {
    let process = MockProcess::default();
    let machine = reporting(&process, &report());
    let token = of_session("s");
    let home = || from(&token, "203.0.113.7:5000", "okhttp/4.12");
    admit(&machine, home());
    admit(&machine, from(&token, "198.51.100.1:5000", "curl/8.9"));
    for _ in 0..15 {
        admit(&machine, from(&token, "192.0.2.1:5000", "curl/8.9"));
    }
    pass(&machine, &process, 100);
    let report = take(&machine).remove(0);
    let sighting = |network: &str, user_agent: &str, requests: u32| {
        json!({
            "network": network, "user_agent": user_agent, "requests": requests,
            "last_seen_ago": 100,
        })
    };
    let expected = [
        sighting("192.0.2.0/24", "curl", 1),
        sighting("198.51.100.0/24", "curl", 15),
        sighting("203.0.113.0/24", "okhttp", 1),
    ];
    assert_eq!(report["sightings"], json!(expected));
}

#[wasm_bindgen_test(unsupported = test)]
fn programs_that_take_turns_are_looked_at_a_few_times_only() {
    let process = MockProcess::default();
    let machine = reporting(&process, &report());
    let token = of_session("s");
    for number in 0..15 {
        let user_agent = if number % 2 == 0 {
            "okhttp/4.12"
        } else {
            "Dart/3"
        };
        let address = format!("203.0.{number}.7:5000");
        admit(&machine, from(&token, &address, user_agent));
    }
    pass(&machine, &process, 100);
    let report = take(&machine).remove(0);
    let sightings = report["sightings"].as_array().unwrap();
    let networks: Vec<_> = sightings.iter().map(|seen| &seen["network"]).collect();
    // The first request, and eight changes.
    assert_eq!(
        networks,
        [
            "203.0.8.0/24",
            "203.0.7.0/24",
            "203.0.6.0/24",
            "203.0.5.0/24"
        ]
    );
    assert_eq!(report["requests"], 15);
}

#[wasm_bindgen_test(unsupported = test)]
fn no_more_is_told_of_a_client_than_the_operator_allows() {
    for (rules, expected) in [
        (
            json!({"network": "none"}),
            json!([{"user_agent": "okhttp"}]),
        ),
        (
            json!({"user_agent": "none"}),
            json!([{"network": "203.0.113.0/24"}]),
        ),
        (json!({"network": "none", "user_agent": "none"}), json!([])),
        (
            json!({"network": "full"}),
            json!([{"network": "203.0.113.7", "user_agent": "okhttp"}]),
        ),
    ] {
        let process = MockProcess::default();
        let mut activity = report();
        activity
            .as_object_mut()
            .unwrap()
            .extend(rules.as_object().unwrap().clone());
        let machine = reporting(&process, &activity);
        for _ in 0..3 {
            admit(&machine, request_of("s"));
        }
        pass(&machine, &process, 100);
        let mut sightings = take(&machine).remove(0)["sightings"].take();
        for sighting in sightings.as_array_mut().unwrap() {
            let sighting = sighting.as_object_mut().unwrap();
            assert_eq!(sighting.remove("requests"), Some(json!(3)));
            sighting.remove("last_seen_ago");
        }
        assert_eq!(sightings, expected);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_machine_that_ends_counts_what_it_cannot_tell_any_more() {
    let process = MockProcess::default();
    let machine = reporting(&process, &report());
    for sid in ["s", "t"] {
        admit(&machine, request_of(sid));
    }
    pass(&machine, &process, 100);
    assert!(sent(&machine).is_some());
    admit(&machine, request_of("s"));
    machine.edge.release();
    let ended = ActivityCounts {
        reported: 0,
        dropped: 3,
        sessions: 0,
    };
    assert_eq!(machine.host.take_activity(), ended);
}

#[wasm_bindgen_test(unsupported = test)]
fn nothing_is_collected_where_nothing_is_reported() {
    let process = MockProcess::default();
    let machine = reporting(&process, &json!({"report": false}));
    admit(&machine, request_of("s"));
    pass(&machine, &process, 1_000);
    assert!(sent(&machine).is_none());
    assert_eq!(counts(&machine), ActivityCounts::default());
}
