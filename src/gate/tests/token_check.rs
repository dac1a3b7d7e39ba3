//! A token that is checked by itself, beside the same token in a request.

use super::*;
use crate::keys::KeyRing;
use crate::token::UnverifiedToken;

#[test]
fn a_token_by_itself_is_good_where_the_gate_would_let_it_in() {
    let gate = gate();
    let (_, keys) = gate.policy().key_sources().next().unwrap();
    let audiences = ["https://api/".to_owned()];
    let skew = Duration::from_mins(1);
    let check = TokenCheck::new(0, keys.clone(), "https://issuer.example", &audiences, skew);
    let ring = KeyRing::new([keys].into_iter());
    let (good, bad) = (es256(), es256_other());
    let times = [NOW - 61, NOW - 60, NOW - 59, NOW, NOW + 60, NOW + 61];
    let times = times
        .into_iter()
        .flat_map(|time| ["exp", "nbf"].map(|name| claims_with(name, time.into())));
    let others = [
        claims(),
        claims_with("exp", Value::Null),
        claims_with("exp", "1".into()),
        claims_with("iss", "https://issuer.example/".into()),
        claims_with("aud", "http://api".into()),
        claims_with("aud", json!(["web", "https://api/"])),
        claims_with("aud", "apis".into()),
        claims_with("aud", json!([])),
        {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove("exp");
            claims
        },
    ];
    let mut admitted = 0;
    for claims in times.chain(others) {
        for signer in [&good, &bad] {
            let token = token(signer, &claims);
            let parsed = UnverifiedToken::parse(token.as_bytes());
            let alone = match parsed.map(|parsed| check.verify(&ring, parsed, NOW * 1000)) {
                Ok(Ok(_)) => None,
                Ok(Err(TokenFault::Refused(reason))) => Some(reason),
                Ok(Err(TokenFault::Lacks(lack))) => panic!("{lack:?}: the keys are local"),
                Err(error) => Some(Reason::from(&error)),
            };
            assert_eq!(alone, refusal(&gate, &request(&token)), "{claims}");
            admitted += usize::from(alone.is_none());
        }
    }
    assert!(admitted >= 8, "{admitted}");
}
