//! Another plugin of the proxy, with the same `vm_id`, that writes our records.
//!
//! Each attack is made twice: with the secret, to show that it works, and without, at the names
//! that can be derived then and, since names may leak, at ours.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis::gate::read_configuration;
use portcullis::keys::KeySource;
use portcullis::namespace::{Namespace, RecordSecret};
use portcullis::revocation::page::PAGE_BYTES;
use serde_json::{Value, json};

use crate::revocation::scene::{session, settings};
use crate::support::{
    Authority, Bootstrap, Envoy, Listener, Meddler, Plugin, Request, Token, assert_refused,
    configuration, intruder, jwks, until,
};

const SECRET: &str = "an-operator-has-made-this-one-up-and-no-plugin-knows";

fn of_operator() -> RecordSecret {
    RecordSecret::of("shared_data_secret", SECRET)
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is forged has to look fresh"
)]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("now");
    u64::try_from(since.as_millis()).expect("milliseconds")
}

/// An Envoy with the gate, and an intruder in the same space that has written these records.
fn envoy_with(plugin: &Value, records: &[(String, Vec<u8>)], authority: &Meddler) -> Envoy {
    let listener = Listener::portcullis(Plugin::new(plugin));
    let writing = Listener::open("intruder").with_first_filter(&intruder("portcullis", records));
    let bootstrap = Bootstrap::new([writing, listener]).with_authority(authority.address());
    Envoy::start(&bootstrap)
}

/// A gate whose keys come from a server that has none.
fn with_remote_keys(secret: Option<&str>) -> Value {
    let mut configuration = configuration();
    let provider = &mut configuration["providers"]["demo"];
    provider
        .as_object_mut()
        .expect("an object")
        .remove("local_jwks");
    let uri = json!({"uri": "http://keys.example/jwks", "cluster": "upstream", "timeout": "1s"});
    provider["remote_jwks"] = json!({"http_uri": uri});
    if let Some(secret) = secret {
        configuration["shared_data_secret"] = json!({"inline_string": secret});
    }
    configuration
}

/// The keys of these tests, as if they had just been fetched.
fn forged_keys(configuration: &Value, ours: &RecordSecret, theirs: &RecordSecret) -> Records {
    let text = configuration.to_string();
    let configured = read_configuration(text.as_bytes(), &|_| None).expect("a configuration");
    let mut sources = configured.policy.key_sources();
    let Some((_, KeySource::Remote(settings))) = sources.next() else {
        panic!("no remote keys");
    };
    let space = |secret| Namespace::new(secret, "keys", settings);
    let (now, hour) = (now(), 3_600_000);
    let mut payload = now.to_le_bytes().to_vec();
    payload.extend([0_u32, 0].map(u32::to_le_bytes).concat());
    for instant in [now + hour, 0, now, now, now + hour] {
        payload.extend(instant.to_le_bytes());
    }
    payload.extend(jwks(&["es256"]).into_bytes());
    let record = space(theirs).seal("keys", &payload);
    let keys = [space(theirs), space(ours)].map(|space| space.key_of("keys"));
    keys.map(|key| (key, record.clone())).to_vec()
}

type Records = Vec<(String, Vec<u8>)>;

#[test]
fn keys_that_another_plugin_has_written_let_no_token_in_where_there_is_a_secret() {
    let none = RecordSecret::none();
    thread::scope(|scope| {
        for (secret, ours, theirs, is_let_in) in [
            // What `envoy/README.md` says of a configuration without a secret, and `validate`.
            (None, none, none, true),
            (Some(SECRET), of_operator(), of_operator(), true),
            (Some(SECRET), of_operator(), none, false),
            (
                Some(SECRET),
                of_operator(),
                RecordSecret::of("credential", SECRET),
                false,
            ),
        ] {
            scope.spawn(move || {
                let configuration = with_remote_keys(secret);
                let records = forged_keys(&configuration, &ours, &theirs);
                let authority = Authority::start();
                let meddler = Meddler::before(authority.address());
                let envoy = envoy_with(&configuration, &records, &meddler);
                let admin = Token::signed_by("es256").claim("sub", "admin");
                let request = Request::get("/api").bearer(&admin);
                if is_let_in {
                    until(
                        || envoy.log(),
                        || envoy.client().send(&request).status == 200,
                    );
                    return;
                }
                for _ in 0..20 {
                    let reply = envoy.client().send(&request);
                    assert_refused(&reply, 503, "keys_unavailable");
                    thread::sleep(Duration::from_millis(100));
                }
            });
        }
    });
}

/// A generation without any entry, signed by the right keys as far as the state says.
fn empty_feed(authority: &Authority, ours: &RecordSecret, theirs: &RecordSecret) -> Records {
    let server = ("authority", "authority");
    let space = |secret| Namespace::new(secret, "feed", &server);
    let [sealing, real] = [space(theirs), space(ours)];
    let signer = authority.feed_key();
    let numbers = [1_u64, 1, 0, 7, 0, now() + 4_000];
    let mut state = vec![3, 0, 0, 0, 0, 0, 0, 0];
    state.extend(numbers.map(u64::to_le_bytes).concat());
    state.extend([1_u32, 1].map(u32::to_le_bytes).concat());
    state.extend([0; 32 + 72 + 16 + 32]);
    state.extend([signer, signer].concat());
    let state = sealing.seal("state", &state);
    let record = |magic: [u8; 4], body: &[u8]| {
        let magic = u64::from(u32::from_le_bytes(magic));
        let header = [magic, 1, 1, 7].map(u64::to_le_bytes).concat();
        let checksum = sealing.checksum(&[&header, body]).to_le_bytes();
        [&header, &checksum[..], body].concat()
    };
    let records = [
        ("state", state),
        ("page/0/0", record(*b"PCPG", &[0; PAGE_BYTES])),
        ("bucket/0/0", record(*b"PCCO", &[0; 8])),
    ];
    let spaces = [sealing.clone(), real];
    let written = spaces.iter().flat_map(|space| {
        let record = |(name, bytes): &(&str, Vec<u8>)| (space.key_of(name), bytes.clone());
        records.iter().map(record)
    });
    written.collect()
}

#[test]
fn a_feed_that_another_plugin_has_written_lets_no_token_in() {
    thread::scope(|scope| {
        for (secret, is_let_in) in [(None, false), (Some(of_operator()), false), (None, true)] {
            scope.spawn(move || {
                let authority = Authority::start();
                let meddler = Meddler::before(authority.address());
                meddler.cut();
                let ours = RecordSecret::of("credential", authority.edge_credential());
                let theirs = match secret {
                    _ if is_let_in => ours,
                    None => RecordSecret::none(),
                    Some(another) => another,
                };
                let records = empty_feed(&authority, &ours, &theirs);
                let configuration = settings(&authority, &json!({}));
                let envoy = envoy_with(&configuration, &records, &meddler);
                let request = Request::get("/api").bearer(session("revoked"));
                if is_let_in {
                    until(
                        || envoy.log(),
                        || envoy.client().send(&request).status == 200,
                    );
                    return;
                }
                for _ in 0..20 {
                    let reply = envoy.client().send(&request);
                    assert_refused(&reply, 503, "revocation_unavailable");
                    thread::sleep(Duration::from_millis(100));
                }
            });
        }
    });
}
