//! Requests that no honest client sends: each is answered, and the filter lives on.

use std::io;

use portcullis::gate::Outcome;
use serde_json::{Value, json};

use crate::support::{
    Bootstrap, Client, Envoy, Listener, Plugin, Random, Request, Token, assert_refused,
    configuration, encode_part,
};

/// Bytes that are not UTF-8, in the ways in which text can fail to be.
const NOT_UTF8: [&[u8]; 5] = [
    b"\xff\xfe",
    b"caf\xe9",
    b"\xc3(",
    b"\xed\xa0\x80",
    b"\xf0\x9f",
];

#[test]
fn bytes_that_are_not_utf8_are_only_bytes() {
    let envoy = Envoy::with(&session_configuration());
    let mut client = envoy.client();
    let genuine = Token::signed_by("es256").to_string();
    for bytes in NOT_UTF8 {
        let shown = bytes.escape_ascii().to_string();
        for name in [
            "x-anything",
            "x-request-id",
            "cookie",
            "user-agent",
            "content-type",
        ] {
            let request = Request::get("/api").header(name, bytes);
            assert_refused(&client.send(&request), 401, "token_missing");
            let forwarded = client.send(&request.bearer(&genuine)).forwarded();
            assert_eq!(
                forwarded.header("x-session-subject"),
                Some("alice"),
                "{name}: {shown}"
            );
            if name != "x-request-id" {
                assert_eq!(forwarded.header(name), Some(shown.as_str()));
            }
        }
        let spoofed = Request::get("/public").header("x-session-subject", bytes);
        let forwarded = client.send(&spoofed).forwarded();
        assert_eq!(forwarded.header("x-session-subject"), None, "{shown}");

        let bearer = Request::get("/api").header("authorization", [b"Bearer ", bytes].concat());
        assert_refused(&client.send(&bearer), 401, "token_malformed");
        let other = Request::get("/api").header("authorization", bytes);
        assert_refused(&client.send(&other), 401, "token_missing");
    }
    assert_unharmed(&envoy);
}

#[test]
fn names_and_paths_that_are_not_utf8_do_no_harm() {
    let envoy = Envoy::with(&session_configuration());
    let genuine = Token::signed_by("es256").to_string();
    for bytes in NOT_UTF8 {
        for request in [
            Request::get("/api").header([b"x-", bytes].concat(), "1"),
            Request::get([b"/api/", bytes].concat()),
            Request::get([b"/public/", bytes, b"/../../api"].concat()),
        ] {
            let status = status(&mut envoy.client(), &request);
            assert!(matches!(status, None | Some(400 | 401)), "{status:?}");
            // Whether Envoy lets such bytes through is its own affair.
            let status = self::status(&mut envoy.client(), &request.bearer(&genuine));
            assert!(matches!(status, None | Some(200 | 400)), "{status:?}");
        }
    }
    assert_unharmed(&envoy);
}

#[test]
fn repeated_headers_do_no_harm() {
    let envoy = Envoy::with(&session_configuration());
    let mut client = envoy.client();
    let genuine = Token::signed_by("es256").to_string();
    let forged = Token::signed_by("es256-other").to_string();
    for second in [&genuine, &forged, "rubbish", ""] {
        for request in [
            Request::get("/api").bearer(&genuine).bearer(second),
            Request::get("/api").bearer(second).bearer(&genuine),
        ] {
            let reply = client.send(&request);
            let is_genuine = second == genuine;
            let allowed = matches!(reply.status, 400 | 401) || (is_genuine && reply.status == 200);
            assert!(allowed, "{reply:?}");
        }
    }
    let mut many = Request::get("/api").bearer(&genuine);
    for index in 0..80 {
        many = many.header("x-session-subject", format!("spoofed {index}"));
    }
    let forwarded = client.send(&many).forwarded();
    assert_eq!(forwarded.header("x-session-subject"), Some("alice"));
    assert_unharmed(&envoy);
}

#[test]
fn a_token_of_64_kib_is_refused_by_envoy_or_by_the_filter() {
    let claims = Token::signed_by("es256").claim("padding", "x".repeat(48 * 1024));
    let large = Request::get("/api").bearer(claims);
    let dots = Request::get("/api").bearer(".".repeat(64 * 1024));
    let text = Request::get("/api").bearer("e".repeat(64 * 1024));

    let usual = Envoy::with(&configuration());
    for request in [&large, &dots, &text] {
        assert_eq!(usual.client().send(request).status, 431);
    }
    assert_unharmed(&usual);

    let plugin = Plugin::new(&configuration());
    let generous = Listener::portcullis(plugin).with_max_request_headers_kb(96);
    let generous = Envoy::start(&Bootstrap::new([generous]));
    for request in [&large, &dots, &text] {
        let reply = generous.client().send(request);
        assert_refused(&reply, 401, "token_too_large");
    }
    assert_unharmed(&generous);
}

#[test]
fn tokens_of_32_kib_pass_where_the_operator_permits_them_and_no_larger_ones() {
    let mut configuration = session_configuration();
    configuration["providers"]["demo"]["max_token_bytes"] = json!(32_768);
    let envoy = Envoy::with(&configuration);
    let padded = |bytes: usize| Token::signed_by("es256").claim("padding", "x".repeat(bytes));
    let mut sizes = (24_000..24_576).rev();
    let largest = sizes.find_map(|bytes| {
        let token = padded(bytes).to_string();
        (token.len() <= 32_768).then_some(token)
    });
    let largest = largest.expect("a token of this size");
    assert!(largest.len() > 32_760, "{}", largest.len());
    let forwarded = envoy.client().send(&Request::get("/api").bearer(&largest));
    let forwarded = forwarded.forwarded();
    assert_eq!(forwarded.header("x-session-subject"), Some("alice"));
    let larger = Request::get("/api").bearer(padded(24_576));
    assert_refused(&envoy.client().send(&larger), 401, "token_too_large");
    assert_unharmed(&envoy);
}

#[test]
fn ten_thousand_requests_of_garbage_leave_envoy_as_it_was() {
    const WARM_UP: usize = 2_000;
    const HALF: usize = 4_000;
    /// What one half of the run may add to Envoy's memory, which measures to some hundred KiB.
    /// It is 131 bytes per request; the headers of one request are more.
    const GROWTH_KIB: u64 = 512;

    let envoy = Envoy::with(&session_configuration());
    let mut client = envoy.client();
    let mut garbage = Garbage::seeded(2);
    let mut run = |requests: usize| {
        for _ in 0..requests {
            let request = garbage.request();
            let status = status(&mut client, &request);
            assert!(status.is_none_or(|status| status < 500), "{status:?}");
        }
        envoy.resident_kib()
    };
    let warm = run(WARM_UP);
    let half = run(HALF);
    let whole = run(HALF);
    assert!(
        whole <= half + GROWTH_KIB,
        "Envoy's memory: {warm} KiB when warm, {half} KiB half way, {whole} KiB at the end"
    );
    let decided: u64 = Outcome::all()
        .flat_map(|outcome| ["", ".demo"].map(|provider| outcome.metric_name() + provider))
        .filter_map(|name| envoy.stat(&format!("wasmcustom.{name}")))
        .sum();
    assert!(decided > 9_000, "Envoy itself refused most: {decided}");
    assert_unharmed(&envoy);
}

fn session_configuration() -> Value {
    let mut configuration = configuration();
    configuration["session_headers"] = json!(true);
    configuration["providers"]["demo"]["claim_to_headers"] =
        json!([{"header_name": "x-user", "claim_name": "user.name"}]);
    configuration
}

/// The status of the reply; `None` when Envoy closed the connection instead.
fn status(client: &mut Client, request: &Request) -> Option<u16> {
    match client.try_send(request) {
        Ok(reply) => Some(reply.status),
        Err(error) => {
            let is_end = matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::BrokenPipe
            );
            assert!(is_end, "{error}");
            None
        }
    }
}

/// Asserts that every worker still decides, and that neither the filter nor Envoy complains.
fn assert_unharmed(envoy: &Envoy) {
    let genuine = Request::get("/api").bearer(Token::signed_by("es256"));
    // Envoy gives each new connection to one of its workers; after so many, both have had some.
    for _ in 0..20 {
        assert_eq!(envoy.client().send(&genuine).status, 200);
        let reply = envoy.client().send(&Request::get("/api"));
        assert_refused(&reply, 401, "token_missing");
    }
    let log = envoy.log();
    let is_complaint = |line: &&str| {
        let levels = ["[critical]", "[error]"];
        levels.iter().any(|level| line.contains(level)) || line.contains("panicked")
    };
    assert_eq!(log.lines().find(is_complaint), None, "{log}");
}

/// Random requests, each nearly well-formed.
struct Garbage {
    random: Random,
    tokens: Vec<String>,
}

impl Garbage {
    fn seeded(seed: u64) -> Self {
        let keys = ["rs256", "es256", "eddsa", "es256-other"];
        Self {
            random: Random::seeded(seed),
            tokens: keys.map(|key| Token::signed_by(key).to_string()).to_vec(),
        }
    }

    fn request(&mut self) -> Request {
        let mut request = Request::get(self.path());
        for _ in 0..self.random.below(6) {
            request = request.header(self.name(), self.value());
        }
        match self.random.below(8) {
            0 => request,
            1 => request.header("Authorization", self.value()),
            2 => request.bearer(self.token()).bearer(self.token()),
            _ => request.bearer(self.token()),
        }
    }

    fn path(&mut self) -> Vec<u8> {
        const ALPHABET: &[u8] = b"abcdefghij/////....%%252eEfF;=?&\\+~_-";
        // Envoy refuses these itself, so most paths are without them.
        const WITH_REFUSED: &[u8] = b"ab/.%\xff\xc3# ";
        let start = *self
            .random
            .pick(&["/api", "/api/", "/api?", "/public", "/"]);
        let rest = match self.random.below(20) {
            0 => self.random.bytes(60, WITH_REFUSED),
            _ => self.random.bytes(60, ALPHABET),
        };
        [start.as_bytes(), &rest].concat()
    }

    fn name(&mut self) -> Vec<u8> {
        const ALPHABET: &[u8] = b"abcXYZ019-_.!#$%&'*+^`|~";
        let known = [
            "x-session-subject",
            "x_session_subject",
            "X-User",
            "x.user",
            "x-request-id",
            "content-type",
            "cookie",
        ];
        match self.random.below(2) {
            0 => self.random.pick(&known).as_bytes().to_vec(),
            _ => [b"x-", &*self.random.bytes(40, ALPHABET)].concat(),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        let any: Vec<u8> = (b' '..=b'~').chain(0x80..=0xff).chain([b'\t']).collect();
        self.random.bytes(200, &any)
    }

    fn token(&mut self) -> String {
        const BASE64: &[u8] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/";
        const JSON: &[u8] = b"{}[]\"\"::,,\\ue0189.-aelst \xc3\xa9";
        let genuine = self.random.pick(&self.tokens).clone();
        match self.random.below(5) {
            0 => text(self.random.bytes(600, BASE64)),
            1 => {
                let [header, claims, signature] =
                    [60, 300, 64].map(|longest| encode_part(self.random.bytes(longest, JSON)));
                format!("{header}.{claims}.{signature}")
            }
            2 => {
                let mut parts = genuine.splitn(3, '.');
                let (header, signature) = (parts.next().unwrap(), parts.nth(1).unwrap());
                let claims = encode_part(self.random.bytes(300, JSON));
                format!("{header}.{claims}.{signature}")
            }
            3 => genuine,
            _ => {
                let mut bytes = genuine.into_bytes();
                for _ in 0..=self.random.below(4) {
                    let position = self.random.below(bytes.len());
                    bytes[position] = *self.random.pick(BASE64);
                }
                text(bytes)
            }
        }
    }
}

fn text(ascii: Vec<u8>) -> String {
    String::from_utf8(ascii).expect("an ASCII alphabet")
}
