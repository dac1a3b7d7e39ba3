//! What holds for proofs and for what they say they are for, whatever their bytes.

use serde_json::json;

use super::super::path::{percent_decoded, without_query};
use super::super::request::Request;
use super::target::Target;
use crate::host::mock::MockHost;
use crate::time::UnixTime;
use crate::token::{Backend, Claims, KeyRules, KnownProver, UnverifiedProof, parse_object};

/// The line breaks between the parts of an input: a proof, `:authority`, `:path`.
const BREAK: u8 = b'\n';

/// A proof, and where a request goes, in three lines.
///
/// A proof that is read has a public key and nothing private. If it is for the request, then what its sender
/// has signed is what the upstream sees: the same host, and the same path once everything is decoded, with the
/// same segments.
pub fn proof(bytes: &[u8]) {
    let mut lines = bytes.splitn(3, |byte| *byte == BREAK);
    let mut line = || lines.next().unwrap_or_default();
    let (text, authority, path) = (line(), line(), line());
    let Some(proof) = UnverifiedProof::parse(text, None) else {
        // A URI by itself, which no proof has to be made for.
        for_uri(text, authority, path);
        return;
    };
    if let Some(uri) = proof.unverified_claims().string("htu") {
        for_uri(uri.as_bytes(), authority, path);
    }
    let (algorithm, thumbprint) = (proof.algorithm(), proof.thumbprint().map(str::to_owned));
    let mut known = None;
    if is_genuine(proof, |prover| known = Some(prover)) {
        let algorithm = algorithm.expect("a known algorithm");
        assert!(!algorithm.is_symmetric());
        assert!(thumbprint.is_some());
        // Read by what is known of its prover, it is the same.
        let again = UnverifiedProof::parse(text, known.as_ref()).expect("a proof");
        assert_eq!(again.thumbprint(), thumbprint.as_deref());
        assert!(is_genuine(again, |_| panic!("a prover that is known")));
    }
}

fn is_genuine(proof: UnverifiedProof<'_>, keep: impl FnOnce(KnownProver)) -> bool {
    let host = MockHost::get("/", UnixTime::EPOCH);
    proof.is_genuine(&KeyRules::asymmetric(), Backend::Module, &host, keep)
}

/// What holds where a request is the one that this URI means.
fn for_uri(uri: &[u8], authority: &[u8], path: &[u8]) {
    let Ok(uri) = str::from_utf8(uri) else {
        return;
    };
    let said = json!({"htm": "GET", "htu": uri}).to_string();
    let members = parse_object(said.as_bytes())
        .expect("JSON")
        .expect("an object");
    let claims = Claims::new(members).expect("claims");
    let lines: [(&[u8], &[u8]); 3] = [
        (b":method", b"GET"),
        (b":authority", authority),
        (b":path", path),
    ];
    let request = Request::new(lines.into_iter().collect());
    for (is_encrypted, port) in [(true, ":443"), (false, ":80")] {
        if !Target::of(&request, Some(is_encrypted)).is_that_of(&claims) {
            continue;
        }
        let (scheme, rest) = uri.split_once("://").expect("a scheme");
        assert_eq!(scheme.eq_ignore_ascii_case("https"), is_encrypted);
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (signed_authority, rest) = rest.split_at(end);
        let bare = |authority: &str| {
            let authority = authority.to_ascii_lowercase();
            let bare = authority.strip_suffix(port).or(authority.strip_suffix(':'));
            bare.map_or(authority.clone(), str::to_owned)
        };
        let own = str::from_utf8(authority).expect("as ASCII as the other one");
        assert_eq!(bare(own), bare(signed_authority));
        let signed = rest.split(['?', '#']).next().unwrap_or_default();
        let seen = without_query(path);
        let segments = |path: &[u8]| path.split(|byte| *byte == b'/').count().max(2);
        assert_eq!(segments(signed.as_bytes()), segments(seen));
        let whole = |path: &[u8]| match path {
            b"" => b"/".to_vec(),
            path => percent_decoded(path).unwrap_or_else(|| path.to_vec()),
        };
        assert_eq!(whole(signed.as_bytes()), whole(seen));
    }
}

/// Real proofs with the requests that they are for, and URIs alone.
#[cfg(test)]
pub(crate) fn proofs() -> Vec<Vec<u8>> {
    use crate::token::fixtures::{eddsa, es256, rs256, signed};
    let mut seeds: Vec<_> = [es256(), eddsa(), rs256()]
        .iter()
        .map(|signer| {
            let (name, key) = (signer.algorithm().name(), signer.public_jwk());
            let header = json!({"typ": "dpop+jwt", "alg": name, "jwk": key}).to_string();
            let said = json!({
                "jti": "1", "htm": "GET", "htu": "https://api.example/a/%7eb", "iat": 1_767_225_600,
            });
            let proof = signed(signer, header.as_bytes(), said.to_string().as_bytes());
            format!("{proof}\nAPI.example:443\n/a/~b?c=d").into_bytes()
        })
        .collect();
    let uris = [
        "HTTP://[::1]:8080/%41?x#y\n[::1]:8080\n/A",
        "https://api.example\napi.example\n/",
        "https://api.example/%2f%\napi.example\n/%2F%",
    ];
    seeds.extend(uris.map(|seed| seed.as_bytes().to_vec()));
    seeds
}
