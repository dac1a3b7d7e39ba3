//! A transmitter of security events by the book (Shared Signals Framework 1.0, RFC 8935, RFC 8936), which
//! can be made to misbehave.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::token::Token;

/// `aud` of its events.
pub(crate) const RECEIVER: &str = "https://receiver.example";

pub(crate) const SESSION_REVOKED: &str =
    "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";

const POLL: &str = "urn:ietf:rfc:8936";

/// What RISC called it before.
const OLDER_POLL: &str = "https://schemas.openid.net/secevent/risc/delivery-method/poll";

/// How long the answer to a poll is held back while there is nothing to say.
const HELD_BACK: Duration = Duration::from_secs(2);

/// A transmitter on loopback. Ends with the process.
#[derive(Clone)]
pub(crate) struct Transmitter {
    address: SocketAddr,
    world: Arc<Mutex<World>>,
}

/// What it has, and how it behaves.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "ways to misbehave, each by itself"
)]
pub(crate) struct World {
    pub(crate) issuer: String,
    streams: BTreeMap<String, Stream>,
    streams_made: usize,
    /// Events that were neither acknowledged nor refused, in their order.
    queue: VecDeque<(String, String)>,
    pub(crate) acknowledged: BTreeSet<String>,
    /// By `jti`: the code.
    pub(crate) refused: BTreeMap<String, String>,
    pub(crate) subjects: Vec<Value>,
    pub(crate) requests: Vec<String>,
    /// The bodies of the last polls.
    pub(crate) polls: Vec<Value>,
    /// The header that it wants to see; none if it does not care.
    pub(crate) credential: Option<String>,
    /// Tokens that were given for client credentials.
    pub(crate) tokens_made: usize,
    /// Forgets tokens that it gave.
    pub(crate) forgets_tokens: bool,
    /// There may be one stream only.
    pub(crate) allows_one_stream: bool,
    /// Only `PUT` changes a stream.
    pub(crate) knows_no_patch: bool,
    /// What is acknowledged comes again.
    pub(crate) ignores_acknowledgements: bool,
    /// So many polls are answered like this first.
    pub(crate) bad_answers: VecDeque<(u16, String)>,
    /// How long each answer to a poll takes.
    pub(crate) delay: Duration,
    /// Hands the events out from the last to the first.
    pub(crate) reverses: bool,
    /// How many events are handed out at once, whatever was asked for.
    pub(crate) at_once: Option<usize>,
    /// Answers nothing but polls.
    pub(crate) fails_management: bool,
    /// Does not say of whom its streams are.
    pub(crate) hides_issuer: bool,
    /// Knows ways of delivery by the names only that RISC had before, and its metadata is where it was.
    pub(crate) is_older: bool,
    /// Members of subjects that it calls critical.
    pub(crate) critical_members: Vec<String>,
    /// Delivers no event of this type, whatever was asked for.
    pub(crate) undelivered: Option<String>,
    verifications: usize,
}

#[derive(Clone)]
struct Stream {
    configuration: Value,
    status: String,
}

impl Transmitter {
    pub(crate) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket that can");
        let address = listener.local_addr().expect("the address just bound");
        let transmitter = Self {
            address,
            world: Arc::default(),
        };
        transmitter.world().issuer = transmitter.issuer();
        let router = Router::new().fallback(answer);
        let router = router.with_state(transmitter.clone());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a Tokio runtime");
        thread::spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                axum::serve(listener, router).await
            })
        });
        transmitter
    }

    /// Its issuer, which is its URL.
    pub(crate) fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no thread has panicked")
    }

    /// An event of its own, in order, until it is changed.
    pub(crate) fn event(&self, id: &str, event: &str, claims: &Value) -> Token {
        Token::signed_by("es256")
            .header("typ", "secevent+jwt")
            .claim("iss", self.issuer())
            .claim("aud", RECEIVER)
            .claim("jti", id)
            .claim("events", json!({ event: claims }))
            .without_claim("sub")
            .without_claim("exp")
    }

    /// Everything of this user has ended.
    pub(crate) fn session_revoked(&self, id: &str, subject: &str) -> Token {
        let issuer = self.issuer();
        self.event(id, SESSION_REVOKED, &json!({"event_timestamp": now() - 5}))
            .claim(
                "sub_id",
                json!({"format": "iss_sub", "iss": issuer, "sub": subject}),
            )
    }

    /// Has an event to say.
    pub(crate) fn enqueue(&self, id: &str, token: impl Into<String>) {
        let event = (id.to_owned(), token.into());
        self.world().queue.push_back(event);
    }

    /// The number of streams, made and not deleted.
    pub(crate) fn streams(&self) -> usize {
        self.world().streams.len()
    }

    /// The number of streams that were ever made.
    pub(crate) fn streams_made(&self) -> usize {
        self.world().streams_made
    }

    /// The configuration of the first stream.
    pub(crate) fn stream(&self) -> Value {
        let world = self.world();
        let first = world.streams.values().next();
        first.map_or(Value::Null, |stream| stream.configuration.clone())
    }

    pub(crate) fn status(&self) -> String {
        let world = self.world();
        let first = world.streams.values().next();
        first.map_or_else(String::new, |stream| stream.status.clone())
    }

    /// A stream that another receiver, or this one earlier, has made.
    pub(crate) fn add_stream(&self, configuration: &Value) {
        let issuer = self.issuer();
        self.world().make(configuration, &issuer);
    }

    pub(crate) fn forget_streams(&self) {
        self.world().streams.clear();
    }

    pub(crate) fn is_acknowledged(&self, id: &str) -> bool {
        self.world().acknowledged.contains(id)
    }

    /// The number of requests that begin like this, `POST /streams` for instance.
    pub(crate) fn requests(&self, start: &str) -> usize {
        let world = self.world();
        let requests = world.requests.iter();
        requests
            .filter(|request| request.starts_with(start))
            .count()
    }

    fn verification(&self, stream: &str, state: &Value) -> (String, Token) {
        let id = {
            let mut world = self.world();
            world.verifications += 1;
            format!("verification-{}", world.verifications)
        };
        let token = self
            .event(&id, VERIFICATION, &json!({ "state": state }))
            .claim("sub_id", json!({"format": "opaque", "id": stream}));
        (id, token)
    }

    fn metadata(&self) -> Value {
        let issuer = self.issuer();
        let at = |path: &str| format!("{issuer}{path}");
        let critical_members = self.world().critical_members.clone();
        let methods = if self.world().is_older {
            [
                OLDER_POLL,
                "https://schemas.openid.net/secevent/risc/delivery-method/push",
            ]
        } else {
            ["urn:ietf:rfc:8935", POLL]
        };
        json!({
            "critical_subject_members": critical_members, "spec_version": "1_0", "issuer": issuer, "jwks_uri": at("/jwks"),
            "delivery_methods_supported": methods,
            "configuration_endpoint": at("/streams"), "status_endpoint": at("/status"),
            "add_subject_endpoint": at("/subjects:add"), "verification_endpoint": at("/verify"),
            "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6749"}],
        })
    }

    async fn poll(&self, request: &Value) -> Response {
        let delay = {
            let mut world = self.world();
            world.take_acknowledgements(request);
            world.polls.push(request.clone());
            if let Some((status, body)) = world.bad_answers.pop_front() {
                return plain(status, body);
            }
            world.delay
        };
        tokio::time::sleep(delay).await;
        let most = request["maxEvents"].as_u64().unwrap_or(u64::MAX);
        let deadline = Instant::now() + HELD_BACK;
        loop {
            let (sets, is_more) = self
                .world()
                .polled(usize::try_from(most).unwrap_or(usize::MAX));
            let is_awaited = most > 0 && request["returnImmediately"] != true;
            if !sets.is_empty() || !is_awaited || Instant::now() > deadline {
                // By hand, since a map would forget the order.
                let sets: Vec<_> = sets
                    .iter()
                    .map(|(id, token)| format!("{}:{}", json!(id), json!(token)))
                    .collect();
                let sets = sets.join(",");
                return plain(
                    200,
                    format!("{{\"sets\":{{{sets}}},\"moreAvailable\":{is_more}}}"),
                );
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sends a verification event over a stream, whichever way it is delivered.
    fn verify(&self, request: &Value) -> Response {
        let id = request["stream_id"].as_str().unwrap_or_default().to_owned();
        let stream = self.world().streams.get(&id).cloned();
        let Some(stream) = stream else {
            return plain(404, String::new());
        };
        let (jti, token) = self.verification(&id, &request["state"]);
        let delivery = stream.configuration["delivery"].clone();
        if delivery["method"] == POLL || delivery["delivery_method"] == OLDER_POLL {
            self.enqueue(&jti, token);
        } else {
            let transmitter = self.clone();
            thread::spawn(move || transmitter.push(&delivery, &jti, &token));
        }
        plain(204, String::new())
    }

    fn push(&self, delivery: &Value, id: &str, token: &Token) {
        let mut request = ureq::post(delivery["endpoint_url"].as_str().unwrap_or_default())
            .content_type("application/secevent+jwt");
        if let Some(authorization) = delivery["authorization_header"].as_str() {
            request = request.header("authorization", authorization);
        }
        if request
            .send(token.to_string())
            .is_ok_and(|answer| answer.status() == 202)
        {
            self.world().acknowledged.insert(id.to_owned());
        }
    }
}

impl World {
    fn make(&mut self, wanted: &Value, issuer: &str) -> Value {
        self.streams_made += 1;
        let id = format!("stream-{}", self.streams_made);
        let mut configuration = wanted.clone();
        configuration["stream_id"] = id.as_str().into();
        configuration["iss"] = issuer.into();
        configuration["aud"] = RECEIVER.into();
        let mut delivered = configuration["events_requested"].clone();
        if let Some(events) = delivered.as_array_mut() {
            events.retain(|event| event.as_str() != self.undelivered.as_deref());
        }
        configuration["events_delivered"] = delivered;
        if self.hides_issuer {
            configuration["iss"] = Value::Null;
        }
        let configuration = complete(&configuration, &id, issuer);
        let stream = Stream {
            configuration: configuration.clone(),
            status: "enabled".to_owned(),
        };
        self.streams.insert(id, stream);
        configuration
    }

    fn take_acknowledgements(&mut self, request: &Value) {
        let done = request["ack"].as_array().cloned().unwrap_or_default();
        for id in done.iter().filter_map(Value::as_str) {
            self.acknowledged.insert(id.to_owned());
        }
        let errors = request["setErrs"].as_object().cloned().unwrap_or_default();
        for (id, error) in errors {
            let code = error["err"].as_str().unwrap_or_default().to_owned();
            self.refused.insert(id, code);
        }
        if !self.ignores_acknowledgements {
            let (acknowledged, refused) = (&self.acknowledged, &self.refused);
            self.queue
                .retain(|(id, _)| !acknowledged.contains(id) && !refused.contains_key(id));
        }
    }

    fn polled(&self, most: usize) -> (Vec<(String, String)>, bool) {
        if self
            .streams
            .values()
            .any(|stream| stream.status != "enabled")
        {
            return (Vec::new(), false);
        }
        let most = self.at_once.filter(|_| most > 0).unwrap_or(most);
        let is_more = self.queue.len() > most;
        let queue = self.queue.iter().cloned();
        let sets = if self.reverses {
            queue.rev().take(most).collect()
        } else {
            queue.take(most).collect()
        };
        (sets, is_more)
    }

    fn configure(&mut self, method: &Method, id: Option<&str>, body: &Value) -> Response {
        let issuer = self.issuer.clone();
        let known = id.and_then(|id| self.streams.get(id)).cloned();
        match (method.as_str(), known) {
            ("POST", _) if self.allows_one_stream && !self.streams.is_empty() => {
                plain(409, String::new())
            }
            ("POST", _) if self.is_older && !body["delivery"]["delivery_method"].is_string() => {
                plain(400, String::new())
            }
            ("POST", _) => plain(201, self.make(body, &issuer).to_string()),
            ("GET", _) if id.is_none() => {
                let streams = self.streams.values();
                let streams: Vec<_> = streams.map(|stream| &stream.configuration).collect();
                plain(200, json!(streams).to_string())
            }
            ("PATCH", _) if self.knows_no_patch => plain(405, String::new()),
            ("GET", Some(stream)) => plain(200, stream.configuration.to_string()),
            ("PATCH" | "PUT", Some(mut stream)) => {
                for (name, value) in body.as_object().into_iter().flatten() {
                    stream.configuration[name] = value.clone();
                }
                let id = id.unwrap_or_default().to_owned();
                stream.configuration = complete(&stream.configuration, &id, &issuer);
                let answer = plain(200, stream.configuration.to_string());
                self.streams.insert(id, stream);
                answer
            }
            ("DELETE", Some(_)) => {
                self.streams.remove(id.unwrap_or_default());
                plain(204, String::new())
            }
            _ => plain(404, String::new()),
        }
    }

    fn status(&mut self, method: &Method, id: Option<&str>, body: &Value) -> Response {
        let stream = id.and_then(|id| self.streams.get_mut(id));
        let Some(stream) = stream else {
            return plain(404, String::new());
        };
        if method == Method::POST {
            let status = body["status"].as_str().unwrap_or_default();
            status.clone_into(&mut stream.status);
        }
        plain(
            200,
            json!({"stream_id": id, "status": stream.status}).to_string(),
        )
    }

    /// RFC 6749 section 4.4.
    fn token(&mut self, authorization: &str, form: &str) -> Response {
        let is_client =
            authorization == "Basic cG9ydDpzJTJDaA==" || form.contains("client_secret=s%2Ch");
        if !is_client || !form.contains("grant_type=client_credentials") {
            return plain(401, json!({"error": "invalid_client"}).to_string());
        }
        self.tokens_made += 1;
        let token = format!("token-{}", self.tokens_made);
        self.credential = Some(format!("Bearer {token}"));
        let answer = json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600});
        plain(200, answer.to_string())
    }
}

/// What the transmitter says of a stream beside what it was told.
fn complete(configuration: &Value, id: &str, issuer: &str) -> Value {
    let mut configuration = configuration.clone();
    let url = format!("{issuer}/poll/{id}");
    let delivery = &mut configuration["delivery"];
    if delivery["method"] == POLL {
        delivery["endpoint_url"] = url.into();
    } else if delivery["delivery_method"] == OLDER_POLL {
        delivery["url"] = url.into();
    }
    configuration
}

async fn answer(State(transmitter): State<Transmitter>, request: Request) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let authorization = request.headers().get("authorization");
    let authorization = authorization.and_then(|value| value.to_str().ok());
    let authorization = authorization.unwrap_or_default().to_owned();
    let has_language = request.headers().contains_key("content-language");
    let body = to_bytes(request.into_body(), 1 << 22)
        .await
        .expect("a body");
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    {
        let mut world = transmitter.world();
        world.requests.push(format!("{method} {path}"));
        if world.fails_management && !path.starts_with("/poll/") {
            return plain(503, String::new());
        }
        match path {
            "/.well-known/ssf-configuration" | "/.well-known/risc-configuration" => {
                if world.is_older != path.contains("risc") {
                    return plain(404, String::new());
                }
                drop(world);
                return plain(200, transmitter.metadata().to_string());
            }
            "/token" => return world.token(&authorization, &String::from_utf8_lossy(&body)),
            _ => {}
        }
        if std::mem::take(&mut world.forgets_tokens) {
            return plain(401, String::new());
        }
        if world
            .credential
            .as_ref()
            .is_some_and(|expected| *expected != authorization)
        {
            return plain(401, String::new());
        }
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let id = query
        .strip_prefix("stream_id=")
        .or(body["stream_id"].as_str());
    match path {
        "/streams" => transmitter.world().configure(&method, id, &body),
        "/status" => transmitter.world().status(&method, id, &body),
        "/subjects:add" if body["subject"]["email"] == "refused@example.com" => {
            plain(400, String::new())
        }
        "/subjects:add" => {
            transmitter.world().subjects.push(body["subject"].clone());
            plain(200, String::new())
        }
        "/verify" => transmitter.verify(&body),
        // RFC 8936 section 2.6.
        path if path.starts_with("/poll/") && body.get("setErrs").is_some() && !has_language => {
            plain(400, String::new())
        }
        path if path.starts_with("/poll/") => transmitter.poll(&body).await,
        _ => plain(404, String::new()),
    }
}

fn plain(status: u16, body: String) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, [("content-type", "application/json")], body).into_response()
}

#[expect(
    clippy::disallowed_methods,
    reason = "its events are by the clock of the machine"
)]
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("a clock past 1970").as_secs()
}
