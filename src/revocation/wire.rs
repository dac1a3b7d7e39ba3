//! The interface between an edge and the authority: paths, queries and bodies.
//!
//! Signed messages have formats of their own: [`Manifest`](super::Manifest),
//! [`Batch`](super::Batch), [`proof`](super::proof).
//!
//! # Why does an edge send the last sequence number that it knows?
//!
//! There may be several authorities on one database, and one of them may be behind another that the
//! edge has heard from. It must not answer "not revoked" for a token whose revocation it does not
//! know yet. So a check carries the number of the last change that the edge knows (`at_least`), and
//! an authority that is behind answers 503. A poll carries the same number as `after`. An authority
//! that is alone and behind has lost something, which it notices by the polls (see [`Evidence`]).
//!
//! A sequence number means something only within its epoch: another history gives the same numbers to
//! other changes. So check and poll name the epoch too. To a check of another epoch than its own, an
//! authority never answers "not revoked", whichever is later: in a later epoch the edge knows what
//! this authority does not, and in an earlier one it may know what was lost before the new epoch
//! began. That does not last. The next poll makes the authority begin a still later epoch, or the
//! edge load the generation of the new one, and the next check is of the same epoch.
//!
//! # What if edge and authority are of different versions?
//!
//! A check has only members that are not as in earlier versions where they make a difference. Without
//! them it is judged as it always was, so an authority may be newer than its edges. One that is older
//! refuses a member that it does not know, and the edge has no answer, which is not the same as "not
//! revoked": its posture decides. So the authority is updated before the edges.
//!
//! A check does not carry the chain. A store that was put back to a backup, and has taken as many
//! changes since as it has lost, notices that by the first poll that reaches it, and until then
//! answers "not revoked" for what it has lost. Edges poll without a pause, so that is as long as they
//! need to connect again.

use serde_json::{Map, Value};

#[cfg(not(target_family = "wasm"))]
use super::Cause;
use super::{Chain, Evidence, Kind};
use crate::time::UnixTime;
use crate::token::parse_json;

pub mod activity;
mod introduction;
pub mod own_sessions;
pub mod sign_out;

pub use introduction::{EDGE_HEADER, Introduction, MAX_INSTANCE_BYTES, instance_name};

/// The path for the exact answer about one token, with a [`CheckRequest`].
pub const CHECK_PATH: &str = "/v1/check";

/// The path of the newest generation's manifest.
pub const MANIFEST_PATH: &str = "/v1/feed/manifest";

/// The path for changes, with a [`DeltaQuery`].
pub const DELTAS_PATH: &str = "/v1/feed/deltas";

// A macro, since `format!` takes no constant.
macro_rules! segment_path {
    () => {
        "/v1/feed/segments/{generation}/{index}"
    };
}

/// The path of a segment of a generation, both of which are parameters.
pub const SEGMENT_PATH: &str = segment_path!();

/// [`SEGMENT_PATH`] of this segment.
#[must_use]
pub fn segment_path(generation: u64, index: usize) -> String {
    format!(segment_path!(), generation = generation, index = index)
}

/// The claims of a token that a revocation could name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    not(target_family = "wasm"),
    derive(serde::Deserialize, utoipa::ToSchema),
    serde(deny_unknown_fields)
)]
pub struct CheckRequest {
    /// `iss`.
    pub issuer: String,
    /// `jti`.
    pub jti: Option<String>,
    /// `sid`.
    pub sid: Option<String>,
    /// The claim that names the device.
    pub device: Option<String>,
    /// `sub`.
    pub subject: Option<String>,
    /// `client_id`.
    pub client: Option<String>,
    /// `azp`, which names a client as well; a token may have both.
    pub azp: Option<String>,
    /// Claims of the token that the edge's configuration lists, at most 8. Of others the authority is not
    /// asked, and says nothing.
    #[cfg_attr(not(target_family = "wasm"), serde(default), schema(max_items = 8))]
    pub claims: Vec<ClaimName>,
    /// The entry of a status list that the token refers to. The authority fetches and watches the list;
    /// where it does not know it, it never answers that the token is not revoked.
    pub status: Option<StatusReference>,
    /// `iat`; without it, any cut-off applies.
    #[cfg_attr(not(target_family = "wasm"), schema(maximum = 253_402_300_799_isize))]
    pub issued_at: Option<u64>,
    /// `auth_time`, where cut-offs compare with it: where it is earlier than `issued_at`, all cut-offs
    /// but those of issuers do. An edge leaves it out for providers whose cut-offs compare with `iat`.
    #[cfg_attr(not(target_family = "wasm"), schema(maximum = 253_402_300_799_isize))]
    pub auth_time: Option<u64>,
    /// The epoch of the feed that the caller follows. An authority in another epoch never answers
    /// that a token is not revoked.
    #[cfg_attr(
        not(target_family = "wasm"),
        schema(maximum = 9_223_372_036_854_775_807_isize)
    )]
    pub epoch: Option<u64>,
    /// Number of the last change in that epoch that the caller knows. An authority that is behind it
    /// never answers that a token is not revoked.
    #[cfg_attr(
        not(target_family = "wasm"),
        schema(maximum = 9_223_372_036_854_775_807_isize)
    )]
    pub at_least: Option<u64>,
    /// Whether a request with the token is in progress already: that the token was revoked only
    /// because another one has taken its place does not count then.
    #[cfg_attr(not(target_family = "wasm"), serde(default))]
    pub in_progress: bool,
    /// Whether the proof may say why the token was revoked. To callers that do not ask for it, every
    /// revocation is the same.
    #[cfg_attr(not(target_family = "wasm"), serde(default))]
    pub with_cause: bool,
    /// A random number, below 2^63; with it the answer has a proof, which is valid for this check
    /// only.
    #[cfg_attr(
        not(target_family = "wasm"),
        schema(maximum = 9_223_372_036_854_775_807_isize)
    )]
    pub nonce: Option<u64>,
}

/// `status.status_list` of a token (draft-ietf-oauth-status-list section 6.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    not(target_family = "wasm"),
    derive(serde::Deserialize, utoipa::ToSchema),
    serde(deny_unknown_fields)
)]
pub struct StatusReference {
    /// Where the list is.
    #[cfg_attr(not(target_family = "wasm"), schema(min_length = 1, max_length = 1024))]
    pub uri: String,
    /// Which of its entries it is, below 2^53.
    #[cfg_attr(
        not(target_family = "wasm"),
        schema(maximum = 9_007_199_254_740_991_isize)
    )]
    pub idx: u64,
}

/// The first index that no reference has: the largest numbers are not the same to every reader of JSON
/// (RFC 8259 section 6).
pub const STATUS_INDEX_LIMIT: u64 = 1 << 53;

/// The most claims that a configuration may list, each of which is looked up for every new token.
pub const MAX_CLAIMS: usize = 8;

/// A claim that can be named by a revocation, with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(target_family = "wasm"),
    derive(serde::Deserialize, serde::Serialize, utoipa::ToSchema),
    serde(deny_unknown_fields)
)]
pub struct ClaimName {
    /// What the configuration calls it.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A member of a [`CheckRequest`] that a revocation can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(target_family = "wasm"),
    derive(serde::Deserialize, serde::Serialize, utoipa::ToSchema),
    serde(rename_all = "snake_case")
)]
pub enum Member {
    /// `jti`.
    Jti,
    /// `sid`.
    Sid,
    /// The claim that names the device.
    Device,
    /// `sub`.
    Subject,
    /// `client_id`.
    Client,
    /// `azp`.
    Azp,
    /// `sub` together with `client_id` or `azp`.
    SubjectAndClient,
    /// A claim.
    Claim,
    /// `iss`.
    Issuer,
}

impl Member {
    /// What the member names.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Jti => Kind::Token,
            Self::Sid => Kind::Session,
            Self::Device => Kind::Device,
            Self::Subject => Kind::Subject,
            Self::Client | Self::Azp => Kind::Client,
            Self::SubjectAndClient => Kind::SubjectAndClient,
            Self::Claim => Kind::Claim,
            Self::Issuer => Kind::Issuer,
        }
    }
}

impl CheckRequest {
    /// A check for a token of this issuer, without names yet.
    #[must_use]
    pub fn of(issuer: &str, issued_at: Option<UnixTime>) -> Self {
        Self {
            issuer: issuer.to_owned(),
            issued_at: issued_at.map(UnixTime::seconds),
            ..Self::default()
        }
    }

    /// Adds a name; nothing for a member that is made of others.
    pub fn put(&mut self, member: Member, name: &str) {
        let field = match member {
            Member::Jti => &mut self.jti,
            Member::Sid => &mut self.sid,
            Member::Device => &mut self.device,
            Member::Subject => &mut self.subject,
            Member::Client => &mut self.client,
            Member::Azp => &mut self.azp,
            Member::Issuer => return name.clone_into(&mut self.issuer),
            Member::SubjectAndClient | Member::Claim => return,
        };
        *field = Some(name.to_owned());
    }

    /// The body of the request.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let names = [
            ("jti", &self.jti),
            ("sid", &self.sid),
            ("device", &self.device),
            ("subject", &self.subject),
            ("client", &self.client),
            ("azp", &self.azp),
        ];
        let numbers = [
            ("issued_at", self.issued_at),
            ("auth_time", self.auth_time),
            ("epoch", self.epoch),
            ("at_least", self.at_least),
            ("nonce", self.nonce),
        ];
        let names = names.map(|(member, name)| (member, name.as_deref()));
        let mut members = members(&names, &numbers);
        members.insert("issuer".to_owned(), self.issuer.as_str().into());
        let flags = [
            ("in_progress", self.in_progress),
            ("with_cause", self.with_cause),
        ];
        for (member, flag) in flags {
            if flag {
                members.insert(member.to_owned(), flag.into());
            }
        }
        if !self.claims.is_empty() {
            let claims = self.claims.iter().map(ClaimName::to_json).collect();
            members.insert("claims".to_owned(), claims);
        }
        if let Some(status) = &self.status {
            members.insert("status".to_owned(), status.to_json());
        }
        Value::Object(members)
    }
}

impl StatusReference {
    fn to_json(&self) -> Value {
        let uri = ("uri", Some(self.uri.as_str()));
        Value::Object(members(&[uri], &[("idx", Some(self.idx))]))
    }
}

impl ClaimName {
    fn to_json(&self) -> Value {
        let texts = [
            ("name", Some(self.name.as_str())),
            ("value", Some(self.value.as_str())),
        ];
        Value::Object(members(&texts, &[]))
    }
}

/// Those of these members that are there. Not inlined: requests are made seldom.
#[inline(never)]
fn members(texts: &[(&str, Option<&str>)], numbers: &[(&str, Option<u64>)]) -> Map<String, Value> {
    let texts = texts
        .iter()
        .map(|(name, text)| (*name, text.map(Value::from)));
    let numbers = numbers.iter();
    let numbers = numbers.map(|(name, number)| (*name, number.map(Value::from)));
    let mut members = Map::new();
    for (name, value) in texts.chain(numbers) {
        if let Some(value) = value {
            members.insert(name.to_owned(), value);
        }
    }
    members
}

/// The proof in the answer to a check or a sign-out, the only part that an edge trusts.
#[must_use]
pub fn proof_in(answer: &[u8]) -> Option<String> {
    match parse_json(answer).ok()?.get_mut("proof")?.take() {
        Value::String(proof) => Some(proof),
        _ => None,
    }
}

/// What a status list says of a token.
#[cfg(not(target_family = "wasm"))]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TokenStatus {
    /// It is good.
    Valid,
    /// Its issuer has revoked it, or says something that is not known here, which counts as that.
    Invalid,
    /// Its issuer has suspended it, and may take that back.
    Suspended,
}

#[cfg(not(target_family = "wasm"))]
impl TokenStatus {
    /// Why a token with this status is refused, if it is.
    #[must_use]
    pub const fn cause(self) -> Option<Cause> {
        match self {
            Self::Valid => None,
            Self::Invalid => Some(Cause::Plain),
            Self::Suspended => Some(Cause::Suspended),
        }
    }
}

/// Whether a token is revoked.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, utoipa::ToSchema)]
pub struct CheckAnswer {
    /// Whether it is.
    pub revoked: bool,
    /// What kind of revocation names it: the first of token, session, device, subject, client, subject
    /// and client, claim, issuer. None where it is revoked for its `status` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Kind>,
    /// Why it is, where there is more to say than that it was revoked. For checks without a nonce.
    #[serde(default, skip_serializing_if = "Cause::is_plain")]
    pub cause: Cause,
    /// Every member of the check that a revocation names, in the order of `by`. For checks without
    /// a nonce.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
    /// The claims among them. For checks without a nonce.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
    /// What its status list says, where the check names one. For checks without a nonce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TokenStatus>,
    /// Whether anything of the issuer was ever revoked. For admins whose check has no nonce, when
    /// the token is not revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<IssuerAnswer>,
    /// The same, signed with a key of the feed: base64url of SHA-256 of the check's body, one byte
    /// that is 0 for not revoked, eight bytes that name the key, and an Ed25519 signature over
    /// `portcullis check 1`, a zero byte and what is before the key. For checks with a nonce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
}

/// Whether anything of an issuer was ever revoked here.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, utoipa::ToSchema)]
pub struct IssuerAnswer {
    /// Whether it was.
    pub known: bool,
    /// If it was not: an issuer with a similar name, of which something was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similar: Option<String>,
}

/// What an edge knows, and how long it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(target_family = "wasm"),
    derive(serde::Deserialize, utoipa::IntoParams),
    serde(deny_unknown_fields),
    into_params(parameter_in = Query)
)]
pub struct DeltaQuery {
    /// The epoch it follows.
    pub epoch: u64,
    /// The last change it knows.
    pub after: u64,
    /// The chain at that change: 32 bytes in base64url without padding. An edge whose history
    /// differs from the authority's is told so.
    #[cfg_attr(
        not(target_family = "wasm"),
        serde(default, deserialize_with = "text::chain"),
        param(value_type = Option<String>, pattern = "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$")
    )]
    pub chain: Option<Chain>,
    /// The evidence for `after` in the last batch: 72 bytes in base64url without padding. Only with
    /// it does the authority believe that an edge knows more than itself.
    #[cfg_attr(
        not(target_family = "wasm"),
        serde(default, deserialize_with = "text::evidence"),
        param(value_type = Option<String>, pattern = "^[A-Za-z0-9_-]{96}$")
    )]
    pub evidence: Option<Evidence>,
    /// The newest generation that it knows of. The answer comes at once when there is a newer one.
    pub generation: Option<u64>,
    /// The time by the edge's clock, in milliseconds since 1970. An authority whose clock disagrees
    /// with most edges refuses cut-offs at "now".
    pub time: Option<u64>,
    /// A random number; it is signed with the answer.
    #[cfg_attr(not(target_family = "wasm"), serde(default))]
    pub nonce: u64,
    /// Seconds to wait for a change; 25 by default, 60 at most.
    #[cfg_attr(not(target_family = "wasm"), serde(default = "text::default_wait"))]
    pub wait: u64,
}

impl DeltaQuery {
    /// The path with this query.
    #[must_use]
    pub fn path(&self) -> String {
        let texts = [
            ("chain", self.chain.map(Chain::to_text)),
            ("evidence", self.evidence.map(Evidence::to_text)),
            (
                "generation",
                self.generation.map(|number| number.to_string()),
            ),
            ("time", self.time.map(|number| number.to_string())),
        ];
        let mut path = format!("{DELTAS_PATH}?epoch={}&after={}", self.epoch, self.after);
        for (name, text) in texts {
            if let Some(text) = text {
                path.extend(["&", name, "=", &text]);
            }
        }
        path + &format!("&nonce={}&wait={}", self.nonce, self.wait)
    }
}

/// Values that a query has as text, for the authority.
#[cfg(not(target_family = "wasm"))]
mod text {
    use serde::de::{Deserialize as _, Deserializer, Error};

    use super::{Chain, Evidence};

    pub(super) fn chain<'d, D: Deserializer<'d>>(reader: D) -> Result<Option<Chain>, D::Error> {
        let text = String::deserialize(reader)?;
        let chain = Chain::from_text(&text);
        chain.map(Some).ok_or_else(|| expected(32))
    }

    pub(super) fn evidence<'d, D: Deserializer<'d>>(
        reader: D,
    ) -> Result<Option<Evidence>, D::Error> {
        let text = String::deserialize(reader)?;
        let evidence = Evidence::from_text(&text);
        evidence.map(Some).ok_or_else(|| expected(72))
    }

    fn expected<E: Error>(bytes: usize) -> E {
        E::custom(format_args!("expected {bytes} bytes in base64url"))
    }

    pub(super) const fn default_wait() -> u64 {
        25
    }
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_authority_reads_what_an_edge_asks() {
        let mut request = CheckRequest::of("i", UnixTime::from_seconds(7));
        assert_eq!(
            request.to_json(),
            json!({"issuer": "i", "issued_at": 7}),
            "what is absent is not there"
        );
        let members = [
            Member::Jti,
            Member::Sid,
            Member::Device,
            Member::Subject,
            Member::Client,
            Member::Azp,
        ];
        for (number, member) in members.into_iter().enumerate() {
            request.put(member, &number.to_string());
        }
        (request.epoch, request.at_least, request.nonce) = (Some(8), Some(9), Some(10));
        request.auth_time = Some(6);
        request.claims = vec![ClaimName {
            name: "tenant".to_owned(),
            value: "acme".to_owned(),
        }];
        request.status = Some(StatusReference {
            uri: "https://i/list".to_owned(),
            idx: STATUS_INDEX_LIMIT - 1,
        });
        (request.in_progress, request.with_cause) = (true, true);
        let json = request.to_json();
        assert_eq!(json.as_object().unwrap().len(), 16);
        for (number, member) in members.into_iter().enumerate() {
            let name = serde_json::to_value(member).unwrap();
            assert_eq!(json[name.as_str().unwrap()], number.to_string());
        }
        let read: CheckRequest = serde_json::from_value(json).unwrap();
        assert_eq!(read, request);
    }

    #[test]
    fn an_edge_finds_the_proof_that_the_authority_gives() {
        let mut answer = CheckAnswer {
            claims: Vec::new(),
            status: None,
            revoked: true,
            by: Some(Kind::Token),
            cause: Cause::Plain,
            members: vec![Member::Jti],
            issuer: None,
            proof: Some("proof".to_owned()),
        };
        let proof = |answer: &CheckAnswer| proof_in(&serde_json::to_vec(answer).unwrap());
        assert_eq!(proof(&answer).as_deref(), Some("proof"));
        answer.proof = None;
        assert_eq!(proof(&answer), None);
        for other in ["", "[]", "{\"proof\":1}", "proof"] {
            assert_eq!(proof_in(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_query_comes_to_the_authority_as_an_edge_has_made_it() {
        let full = DeltaQuery {
            epoch: u64::MAX,
            after: 2,
            chain: Some(Chain([3; 32])),
            evidence: Some(Evidence([4; 72])),
            generation: Some(5),
            time: Some(6),
            nonce: u64::MAX - 1,
            wait: 8,
        };
        let sparse = DeltaQuery {
            chain: None,
            evidence: None,
            generation: None,
            time: None,
            ..full.clone()
        };
        for query in [full, sparse] {
            let uri = query.path().parse().unwrap();
            let read = axum::extract::Query::<DeltaQuery>::try_from_uri(&uri);
            assert_eq!(read.unwrap().0, query);
        }
    }
}
