//! What holds for configurations and for requests, whatever their bytes.

mod upstreams;

use std::sync::LazyLock;

use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as StructValue};
use serde_json::{Value, json};

pub use super::dpop::fuzzing::proof;
#[cfg(test)]
pub(crate) use super::dpop::fuzzing::proofs;
use super::path::{percent_decoded, without_query};
use super::request::Request;
use super::{
    Admission, Attempt, Configured, Gate, Outcome, Reason, Verdict, Wait, extraction,
    read_configuration,
};
use crate::configuration::Fault;
use crate::host::CallOutcome;
use crate::host::mock::MockHost;
use crate::revocation::mock_authority;
use crate::time::UnixTime;
use crate::token::fixtures::{eddsa, es256, jwk_set, token};
use crate::token::{Backend, parse_json};

/// 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600;

const ENVIRONMENT_VARIABLE: &str = "JWKS";

static KEYS: LazyLock<String> = LazyLock::new(|| jwk_set(&[&eddsa()]));

/// A configuration, as JSON text or as an encoded `google.protobuf.Struct`.
///
/// One that is refused says why; one that is accepted can serve a request. The same configuration
/// in the other form is read the same way.
pub fn configuration(bytes: &[u8]) {
    let read = |bytes: &[u8]| {
        let environment = |name: &str| (name == ENVIRONMENT_VARIABLE).then(|| KEYS.clone());
        read_configuration(bytes, &environment)
    };
    let outcome = read(bytes);
    if let Ok(value) = parse_json(bytes)
        && let Some(encoded) = encoded(&value)
    {
        assert_eq!(summary(&outcome), summary(&read(&encoded)));
    }
    match outcome {
        Err(faults) => assert!(!faults.is_empty(), "refused without a reason"),
        Ok(configured) => {
            let gate = Gate::new(configured.policy, Backend::Module, [1; 16]);
            let host = MockHost::get("/api/a;b/../c?access_token=a.b.c", now())
                .with_header("authorization", "Bearer a.b.c")
                .with_header("cookie", "session=a.b.c");
            let verdict = gate.on_request(&host, Attempt::Last);
            assert_eq!(verdict == Verdict::Stop, host.response.borrow().is_some());
        }
    }
}

/// What a configuration is read as, except for the wording of faults, which shows numbers as they
/// were written.
fn summary(outcome: &Result<Configured, Vec<Fault>>) -> Result<String, Vec<&str>> {
    match outcome {
        Ok(configured) => Ok(format!("{configured:?}")),
        Err(faults) => Err(faults.iter().map(|fault| fault.path.as_str()).collect()),
    }
}

/// The same as a `Struct`; `None` for what a `Struct` cannot hold: an empty one means nothing at
/// all, and every number in it is a double.
pub(crate) fn encoded(value: &Value) -> Option<Vec<u8>> {
    let members = value.as_object().filter(|members| !members.is_empty())?;
    let fields = members.iter();
    let fields = fields.map(|(name, value)| Some((name.clone(), struct_value(value)?)));
    let fields = fields.collect::<Option<_>>()?;
    Some(Struct { fields }.encode_to_vec())
}

fn struct_value(value: &Value) -> Option<StructValue> {
    const LARGEST_EXACT: f64 = 9_007_199_254_740_991.0;
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(boolean) => Kind::BoolValue(*boolean),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Number(number) => {
            let number = number.as_f64()?;
            Kind::NumberValue((number.abs() <= LARGEST_EXACT).then_some(number)?)
        }
        Value::Array(values) => Kind::ListValue(ListValue {
            values: values.iter().map(struct_value).collect::<Option<_>>()?,
        }),
        Value::Object(members) => {
            let fields = members.iter();
            let fields = fields.map(|(name, value)| Some((name.clone(), struct_value(value)?)));
            Kind::StructValue(Struct {
                fields: fields.collect::<Option<_>>()?,
            })
        }
    };
    Some(StructValue { kind: Some(kind) })
}

/// Stands in a request for [`GENUINE`], since trying does not find a signature.
pub(crate) const GENUINE_MARK: u8 = 1;

/// Stands in a request for [`OTHER`].
pub(crate) const OTHER_MARK: u8 = 2;

static GENUINE: LazyLock<String> = LazyLock::new(|| token(&eddsa(), &claims("alice")));

/// Well-formed, and signed with a key that is not configured.
static OTHER: LazyLock<String> = LazyLock::new(|| token(&es256(), &claims("mallory")));

fn claims(subject: &str) -> Value {
    json!({
        "iss": "https://issuer.example", "aud": "api", "sub": subject, "exp": NOW + 300,
        "roles": ["a", "b"],
    })
}

fn now() -> UnixTime {
    UnixTime::from_seconds(NOW).unwrap()
}

fn gate() -> Gate {
    gate_of(&rules())
}

fn gate_of(configuration: &Value) -> Gate {
    let configured = read_configuration(configuration.to_string().as_bytes(), &|_| None);
    Gate::new(configured.unwrap().policy, Backend::Module, [1; 16])
}

/// The same with everything that sessions have, and with the keys that stand beside it. There is no feed
/// yet, which lets requests through here.
fn gate_with_sessions() -> Gate {
    let mut configuration = rules();
    let mut revocation = mock_authority::settings();
    revocation["on_missing_feed"] = "allow".into();
    let own = json!({"match": {"prefix": "/session"}, "requires": {"provider_name": "idp"}});
    configuration["rules"].as_array_mut().unwrap().push(own);
    configuration["revocation"] = revocation;
    configuration["sign_out"] = json!({
        "path": SIGN_OUT, "methods": ["POST", "DELETE"], "origins": ["https://app.example"],
        "end_session_redirect": "https://issuer.example/logout",
    });
    configuration["sessions"] = json!({"path": SESSIONS});
    configuration["activity"] = json!({"report": true});
    configuration["streams"] = json!({"on_expiry": "close"});
    gate_of(&configuration)
}

fn rules() -> Value {
    json!({
        "providers": {"idp": {
            "issuer": "https://issuer.example",
            "audiences": ["api"],
            "local_jwks": {"inline_string": &*KEYS},
            "from_headers": [
                {"name": "authorization", "value_prefix": "Bearer "},
                {"name": "x-token", "value_prefix": "jwt="},
            ],
            "from_params": ["access_token", "t"],
            "from_cookies": ["session", "s"],
            "claim_to_headers": [{"header_name": "x-roles", "claim_name": "roles"}],
        }},
        "rules": [
            {"match": {"path_separated_prefix": "/public"}},
            {"match": {"prefix": "/api"}, "requires": {"provider_name": "idp"}},
        ],
        "session_headers": true,
    })
}

/// A request: its target on the first line, perhaps behind `POST` or `DELETE` and a blank, then one
/// header line on each. [`GENUINE_MARK`] stands
/// for a good token, [`OTHER_MARK`] for one that is not.
///
/// It goes on only to a path that is open for every kind of upstream, or with the genuine token,
/// and no copy of the token goes with it. Only the gate says who is calling. It is answered or goes
/// on, and is counted once. Where there are session routes, it is also served at these, and no request
/// that an upstream takes for one of them goes on.
pub fn request(bytes: &[u8]) {
    thread_local! {
        static GATE: Gate = gate();
        static WITH_SESSIONS: Gate = gate_with_sessions();
    }
    let mut text = Vec::new();
    for byte in bytes {
        match *byte {
            GENUINE_MARK => text.extend(GENUINE.as_bytes()),
            OTHER_MARK => text.extend(OTHER.as_bytes()),
            byte => text.push(byte),
        }
    }
    let host = || host_of(&text);
    let target = host().1;
    GATE.with(|gate| decided(gate, &host().0, target, &text));
    WITH_SESSIONS.with(|gate| decided_with_sessions(gate, &host().0, target, &text));
}

/// The host of a request, and the target.
fn host_of(text: &[u8]) -> (MockHost, &[u8]) {
    let mut lines = text.split(|byte| *byte == b'\n');
    let mut target = lines.next().unwrap_or_default();
    let mut host = MockHost::get("", now());
    for method in ["POST", "DELETE"] {
        if let Some(rest) = target.strip_prefix(method.as_bytes())
            && let Some(rest) = rest.strip_prefix(b" ")
        {
            target = rest;
            host = host
                .without_header(":method")
                .with_header(":method", method);
        }
    }
    host = host.without_header(":path").with_header(":path", target);
    for line in lines {
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':').unwrap_or(0));
        if let Ok(name) = std::str::from_utf8(name)
            && !name.is_empty()
        {
            let value = value.strip_prefix(b":").unwrap_or(value);
            host = host.with_header(&name.to_ascii_lowercase(), value);
        }
    }
    (host, target)
}

const SIGN_OUT: &str = "/session/sign-out";

const SESSIONS: &str = "/session/devices";

fn is_session_route(path: &[u8]) -> bool {
    let below = path.strip_prefix(SESSIONS.as_bytes());
    path == SIGN_OUT.as_bytes() || below.is_some_and(|it| matches!(it.first(), None | Some(b'/')))
}

fn decided_with_sessions(gate: &Gate, host: &MockHost, target: &[u8], text: &[u8]) {
    let path = without_query(target);
    match gate.on_request(host, Attempt::Last) {
        Verdict::Wait(Wait::Session(call)) => {
            assert!(is_session_route(path));
            assert!(contains_behind_escapes(text, GENUINE.as_bytes()));
            assert_eq!(*host.response.borrow(), None);
            assert!(host.counted.borrow().is_empty());
            // Nothing pretends.
            gate.serve(host, &call, &CallOutcome::Failed);
            let response = host.response.borrow();
            let response = response.as_ref().unwrap();
            assert!(response.status >= 400 || response.grpc_status.is_some_and(|it| it != 0));
        }
        Verdict::Wait(other) => panic!("{other:?}"),
        Verdict::Stop => assert!(host.response.borrow().is_some()),
        Verdict::Forward => {
            for (reader, read) in upstreams::ALL {
                let read = read(path);
                assert!(
                    !is_session_route(&read),
                    "{reader} reads {}",
                    read.escape_ascii()
                );
            }
        }
    }
    assert_eq!(host.counted.borrow().len(), 1);
}

fn decided(gate: &Gate, host: &MockHost, target: &[u8], text: &[u8]) {
    let verdict = gate.on_request(host, Attempt::Last);
    let counted = host.counted.borrow();
    assert_eq!(counted.len(), 1);
    let (outcome, _) = counted[0];
    let response = host.response.borrow();
    let Outcome::Allowed(admission) = outcome else {
        assert_eq!(verdict, Verdict::Stop);
        let response = response.as_ref().unwrap();
        match response.grpc_status {
            None => assert!((400..=503).contains(&response.status)),
            Some(status) => assert_eq!((response.status, status == 0), (200, false)),
        }
        return;
    };
    assert_eq!(verdict, Verdict::Forward);
    assert_eq!(*response, None);
    let forwarded = host.forwarded_headers();
    let mut told: Vec<(&str, &str)> = Vec::new();
    for (name, value) in &forwarded {
        if gate.policy().own_headers.has(name.as_bytes()) {
            told.push((name, value));
        }
    }
    if admission == Admission::Verified {
        assert!(contains_behind_escapes(text, GENUINE.as_bytes()));
        told.sort_unstable();
        assert_eq!(told, TOLD);
        let lines = forwarded.into_iter();
        let lines = lines.map(|(name, value)| (name, value.into_bytes()));
        let again = Request::new(lines.collect());
        let locations = gate.policy().providers.iter();
        let locations = locations.flat_map(|provider| &provider.locations);
        assert_eq!(
            extraction::find(locations, &again),
            Err(Reason::TokenMissing)
        );
    } else {
        assert_eq!(admission, Admission::NoRequirement);
        assert_eq!(told, []);
        let path = without_query(target);
        for (reader, read) in upstreams::ALL {
            let read = read(path);
            let rest = read.strip_prefix(b"/public");
            let is_open = rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')));
            assert!(is_open, "{reader} reads {}", read.escape_ascii());
        }
    }
}

/// What the upstream is told of the genuine token.
const TOLD: [(&str, &str); 6] = [
    ("x-roles", "WyJhIiwiYiJd"),
    ("x-session-audience", "api"),
    ("x-session-expires-at", "1767225900"),
    ("x-session-issuer", "https://issuer.example"),
    ("x-session-provider", "idp"),
    ("x-session-subject", "alice"),
];

/// Whether the text contains the part, as it is or with some of its bytes percent-encoded.
fn contains_behind_escapes(text: &[u8], part: &[u8]) -> bool {
    let has = |text: &[u8]| text.windows(part.len()).any(|window| window == part);
    has(text) || percent_decoded(text).is_some_and(|text| has(&text))
}
