//! Requests and tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::process::{Lines, NOW};
use crate::support::{Token, jwks};

/// `client_id` of every token.
pub(crate) const CLIENT: &str = "mobile";

/// A request as a mobile application sends it.
pub(crate) fn request(path: &str) -> Lines {
    let line = |(name, value): (&str, &str)| (name.to_owned(), value.as_bytes().to_vec());
    let lines = [
        (":authority", "api.example"),
        (":path", path),
        (":method", "GET"),
        (":scheme", "http"),
        ("user-agent", "MobileApp/7.1 (iPhone; iOS 19.2)"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, br"),
        ("accept-language", "en-GB"),
        ("x-forwarded-proto", "http"),
        ("x-request-id", "0b9a1e1c-6f53-4b0a-9b8c-0d5b6d0f3a11"),
    ];
    lines.into_iter().map(line).collect()
}

pub(crate) fn with(token: impl Into<String>) -> Lines {
    let mut lines = request("/orders/1");
    let value = format!("Bearer {}", token.into());
    lines.push(("authorization".to_owned(), value.into_bytes()));
    lines
}

/// A genuine token, another one for each number.
pub(crate) fn token(key: &'static str, number: u64) -> Token {
    Token::signed_by(key)
        .claim("iat", NOW)
        .claim("exp", NOW + 3_600)
        .claim("sub", format!("user-{number:08}"))
        .claim("sid", format!("{number:032x}"))
        .claim("jti", format!("{:032x}", number << 32))
        .claim("scope", "read write")
        .claim("client_id", CLIENT)
        .claim("email", format!("user-{number:08}@example.com"))
}

/// The key of the one client, as a proof has it, and its thumbprint.
fn client_key() -> (Value, String) {
    let set: Value = serde_json::from_str(&jwks(&[CLIENT_KEY])).expect("JSON");
    let key = set["keys"][0].clone();
    let thumbprint = portcullis::token::thumbprint(&key).expect("a public key");
    (key, thumbprint)
}

const CLIENT_KEY: &str = "es256-other";

/// A token that is bound to that key.
fn bound(number: u64) -> String {
    let (_, thumbprint) = client_key();
    let token = token("es256", number).claim("cnf", json!({"jkt": thumbprint}));
    token.to_string()
}

/// A request with the bound token of one number, and the proof of another.
pub(crate) fn with_proof(number: u64, proof: u64) -> Lines {
    let (token, proof) = (bound(number), proof_for(&bound(number), proof));
    let mut lines = request("/orders/1");
    lines.push((
        "authorization".to_owned(),
        format!("DPoP {token}").into_bytes(),
    ));
    lines.push(("dpop".to_owned(), proof.into_bytes()));
    lines
}

/// The same, with a signature that the key has not made.
pub(crate) fn with_forged_proof(number: u64) -> Lines {
    let mut lines = with_proof(0, number);
    let other = proof_for(&bound(0), u64::from(u32::MAX));
    let (_, signature) = other.rsplit_once('.').expect("three parts");
    let (_, proof) = lines.last_mut().expect("the proof");
    let end = proof.len() - signature.len();
    proof.truncate(end);
    proof.extend(signature.as_bytes());
    lines
}

/// A proof for a request with this token.
fn proof_for(token: &str, number: u64) -> String {
    let (key, _) = client_key();
    let hash = URL_SAFE_NO_PAD.encode(hmac_sha256::Hash::hash(token.as_bytes()));
    let proof = Token::signed_by(CLIENT_KEY)
        .header("typ", "dpop+jwt")
        .header("jwk", key)
        .without_header("kid")
        .claim("jti", format!("{number:032x}"))
        .claim("htm", "GET")
        .claim("htu", "http://api.example/orders/1")
        .claim("iat", NOW)
        .claim("ath", hash);
    ["iss", "aud", "sub", "exp"]
        .into_iter()
        .fold(proof, Token::without_claim)
        .to_string()
}

/// One that was good until an hour ago.
pub(crate) fn expired(key: &'static str, number: u64) -> Token {
    token(key, number)
        .claim("iat", NOW - 7_200)
        .claim("exp", NOW - 3_600)
}

/// A genuine one of about 12 KB: a user in 220 groups.
pub(crate) fn long(key: &'static str, number: u64) -> Token {
    const GROUPS: u64 = 220;
    let group = |index| format!("0b9a1e1c-6f53-4b0a-9b8c-{:012x}", index * 7_919);
    let groups: Vec<_> = (0..GROUPS).map(group).collect();
    token(key, number).claim("groups", json!(groups))
}

/// With the genuine signature of another token.
pub(crate) fn forged(key: &'static str, number: u64) -> String {
    with_signature_of_another(key, &token(key, number))
}

/// The same, and it does not say which key is to be tried.
pub(crate) fn forged_without_key(key: &'static str, number: u64) -> String {
    with_signature_of_another(key, &token(key, number).without_header("kid"))
}

fn with_signature_of_another(key: &'static str, own: &Token) -> String {
    let own = own.to_string();
    let other = token(key, u64::from(u32::MAX)).to_string();
    let (signed, _) = own.rsplit_once('.').expect("three parts");
    let (_, signature) = other.rsplit_once('.').expect("three parts");
    format!("{signed}.{signature}")
}
