use std::cell::Cell;
use std::fs;

use serde_json::{Value, json};
use tokio::sync::oneshot::Receiver;

use super::*;
use crate::authority::configuration::{ConfiguredFile, Issuer, KeyServer, SessionEnd};
use crate::authority::verifier::Signatory;
use crate::host::mock_background::{MockBackground, MockSpace};
use crate::keys::Url;
use crate::token::fixtures::{eddsa, es256, es256_other, jwk_set, signed, token};

/// 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600;

const SKEW: Duration = Duration::from_mins(1);

type Outcome = Result<User, Doubt>;

/// An issuer whose keys are on a server, as a desk has them, and another with a file.
struct Office {
    desk: Desk,
    host: MockBackground,
    file: tempfile::NamedTempFile,
}

impl Office {
    fn open() -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, jwk_set(&[&eddsa()])).unwrap();
        let remote = IssuerKeys::Server(KeyServer {
            origin: "https://id.example".to_owned(),
            url: Url::parse("https://id.example/keys").unwrap(),
            certificate_authority: None,
        });
        let issuer = |name: &str, keys| Issuer {
            issuer: name.to_owned(),
            keys,
            audiences: vec!["api".to_owned()],
            device_claim: Some("device".to_owned()),
            cut_off_by: CutOffBy::default(),
            sessions_end: SessionEnd::default(),
            session_policy: None,
            status_lists: None,
        };
        let issuers = vec![
            issuer("remote", remote),
            issuer(
                "local",
                IssuerKeys::File(ConfiguredFile::unnamed(file.path())),
            ),
        ];
        let now = Rc::new(Cell::new(NOW * 1000));
        let host = MockBackground::new(&Rc::new(MockSpace::default()), &now);
        let known = Known {
            signatories: issuers
                .iter()
                .map(|issuer| Signatory {
                    issuer: issuer.issuer.clone(),
                    keys: issuer.keys.clone(),
                })
                .collect(),
            clients: Vec::new(),
            claims: vec![ClaimSource::at("org.id")],
            issuers,
            clock_skew: SKEW,
            metrics: KeyMetrics::default(),
        };
        let desk = Desk::open(&known, 1).unwrap();
        Self { desk, host, file }
    }

    /// With the keys of the first issuer fetched: one of them.
    fn at_work() -> Self {
        let mut office = Self::open();
        office.pass(0);
        office.answer(200, &jwk_set(&[&es256()]));
        // What is asked for from now on is asked for after that fetch.
        office.pass(1);
        office
    }

    fn ask(&mut self, token: &str) -> Receiver<Outcome> {
        let (reply, answer) = oneshot::channel();
        let token = token.to_owned();
        let question = Question {
            token,
            reply: Reply::User(reply),
            sender: Standing::Known,
            room: None,
        };
        self.desk.take(&self.host, question);
        answer
    }

    fn ask_statement(&mut self, token: &str) -> Receiver<Result<VerifiedToken, Doubt>> {
        self.ask_statement_of(Standing::Known, token)
    }

    fn ask_statement_of(
        &mut self,
        sender: Standing,
        token: &str,
    ) -> Receiver<Result<VerifiedToken, Doubt>> {
        let (reply, answer) = oneshot::channel();
        let question = Question {
            token: token.to_owned(),
            reply: Reply::Statement(reply),
            sender,
            room: None,
        };
        self.desk.take(&self.host, question);
        answer
    }

    /// What becomes of a token at once.
    fn outcome(&mut self, token: &str) -> Outcome {
        self.ask(token).try_recv().unwrap()
    }

    /// Lets this many milliseconds pass.
    fn pass(&mut self, milliseconds: u64) {
        self.host.now.set(self.host.now.get() + milliseconds);
        self.desk.tick(&self.host);
    }

    /// Answers the only call.
    fn answer(&mut self, status: u16, body: &str) {
        let [(id, call)] = self.host.take_calls().try_into().unwrap();
        assert_eq!(
            (&*call.cluster, &*call.path),
            ("https://id.example", "/keys")
        );
        let outcome = CallOutcome::Answered {
            status,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        };
        self.desk.answered(&self.host, id, &outcome);
        self.desk.tick(&self.host);
    }
}

fn claims(issuer: &str) -> Value {
    json!({
        "iss": issuer, "aud": "api", "sub": "alice", "sid": "s", "device": "phone",
        "exp": NOW + 300,
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims("remote");
    claims[name] = value;
    claims
}

#[test]
fn a_good_token_says_who_the_user_is() {
    let mut office = Office::at_work();
    for (issuer, signer) in [("remote", es256()), ("local", eddsa())] {
        let user = office.outcome(&token(&signer, &claims(issuer))).unwrap();
        assert_eq!(user.names.issuer, issuer);
        assert_eq!(user.names.sid.as_deref(), Some("s"));
        assert_eq!(user.names.subject.as_deref(), Some("alice"));
        assert_eq!(user.names.device.as_deref(), Some("phone"));
        assert_eq!(user.expires_at.seconds(), NOW + 300);
    }
}

#[test]
fn no_other_token_is_evidence() {
    let mut office = Office::at_work();
    let good = token(&es256(), &claims("remote"));
    let (body, signature) = good.rsplit_once('.').unwrap();
    let unsigned = signed(
        &es256(),
        br#"{"alg":"none"}"#,
        claims("remote").to_string().as_bytes(),
    );
    let (unsigned, _) = unsigned.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{body}.{other}{}", &signature[1..]);
    let of = |claims: &Value| token(&es256(), claims);
    for (token, expected) in [
        (good.clone() + ".", Doubt::Refused(Reason::TokenMalformed)),
        (String::new(), Doubt::Refused(Reason::TokenMalformed)),
        (forged, Doubt::Refused(Reason::SignatureInvalid)),
        (
            format!("{unsigned}."),
            Doubt::Refused(Reason::AlgorithmMismatch),
        ),
        (
            format!("{unsigned}.{signature}"),
            Doubt::Refused(Reason::AlgorithmMismatch),
        ),
        (
            of(&with("exp", json!(NOW - 61))),
            Doubt::Refused(Reason::TokenExpired),
        ),
        (
            of(&with("exp", json!("soon"))),
            Doubt::Refused(Reason::TokenMalformed),
        ),
        (
            of(&with("nbf", json!(NOW + 61))),
            Doubt::Refused(Reason::TokenNotYetValid),
        ),
        (
            of(&with("iat", json!(NOW + 61))),
            Doubt::Refused(Reason::TokenIssuedAhead),
        ),
        (
            of(&with("aud", json!("other"))),
            Doubt::Refused(Reason::AudienceMismatch),
        ),
        (of(&with("iss", json!("strange"))), Doubt::StrangeIssuer),
        (of(&with("iss", json!("REMOTE"))), Doubt::StrangeIssuer),
        // Signed by another issuer that is trusted for its own users.
        (
            token(&eddsa(), &claims("remote")),
            Doubt::Refused(Reason::KeyUnknown),
        ),
        (
            token(&es256(), &claims("local")),
            Doubt::Refused(Reason::KeyUnknown),
        ),
    ] {
        let mut answer = office.ask(&token);
        let outcome = answer.try_recv().unwrap_or_else(|_| {
            // Its key may be new, so it waits for a fetch, which brings none.
            office.pass(1_000);
            office.answer(200, &jwk_set(&[&es256()]));
            answer.try_recv().unwrap()
        });
        assert_eq!(outcome.unwrap_err(), expected, "{token}");
    }
    let lacking = {
        let mut claims = claims("remote");
        claims.as_object_mut().unwrap().remove("exp");
        claims
    };
    let doubt = office.outcome(&of(&lacking)).unwrap_err();
    assert_eq!(doubt, Doubt::Refused(Reason::ExpirationMissing));
    // Within the skew it is good.
    assert!(office.outcome(&of(&with("exp", json!(NOW - 20)))).is_ok());
}

#[test]
fn a_listed_claim_names_a_token_unless_it_cannot() {
    let mut office = Office::at_work();
    let mut user = |organisation: Value| {
        let claims = with("org", json!({"id": organisation}));
        let user = office.outcome(&token(&es256(), &claims)).unwrap();
        let names = user.names.claims.into_iter();
        let names: Vec<_> = names.map(|claim| (claim.name, claim.value)).collect();
        (names, user.is_wholly_named)
    };
    let named = vec![("org.id".to_owned(), "acme".to_owned())];
    assert_eq!(user(json!("acme")), (named, true));
    assert_eq!(user(json!("")), (vec![], true));
    assert_eq!(user(json!(7)), (vec![], false));
}

/// As at a gate whose rules say nothing of types.
#[test]
fn what_says_that_it_is_no_access_token_is_no_evidence() {
    let mut office = Office::at_work();
    let mut typed = |name: &str, claims: &Value| {
        let header = json!({"alg": "ES256", "kid": es256().key_id(), "typ": name});
        let (header, claims) = (header.to_string(), claims.to_string());
        let token = signed(&es256(), header.as_bytes(), claims.as_bytes());
        office.outcome(&token).map(|_| ())
    };
    let refused = Err(Doubt::Refused(Reason::TokenTypeMismatch));
    let plain = claims("remote");
    for name in ["logout+jwt", "application/SecEvent+JWT", "dpop+jwt"] {
        assert_eq!(typed(name, &plain), refused, "{name}");
    }
    let event = "http://schemas.openid.net/event/backchannel-logout";
    let logout = with("events", json!({event: {}}));
    assert_eq!(typed("JWT", &logout), refused);
    for name in ["JWT", "at+jwt", "", "of-this-provider"] {
        assert_eq!(typed(name, &plain), Ok(()), "{name}");
    }
}

#[test]
fn a_token_waits_for_a_key_that_its_server_has_by_now() {
    let mut office = Office::at_work();
    let new = token(&es256_other(), &claims("remote"));
    let mut answer = office.ask(&new);
    assert!(answer.try_recv().is_err(), "it waits");
    office.pass(1_000);
    office.answer(200, &jwk_set(&[&es256(), &es256_other()]));
    assert!(answer.try_recv().unwrap().is_ok());
    assert!(office.outcome(&new).is_ok());
}

#[test]
fn what_is_not_known_is_no_refusal_and_no_evidence() {
    let mut office = Office::open();
    let good = token(&es256(), &claims("remote"));
    let mut answer = office.ask(&good);
    office.pass(0);
    assert!(answer.try_recv().is_err(), "it waits for the first keys");
    office.answer(500, "");
    let unavailable = Doubt::Unknown(Reason::KeysUnavailable);
    assert_eq!(answer.try_recv().unwrap().unwrap_err(), unavailable);
    // An issuer whose server is away does not concern another.
    assert!(office.outcome(&token(&eddsa(), &claims("local"))).is_ok());

    let mut office = Office::at_work();
    let mut answer = office.ask(&token(&es256_other(), &claims("remote")));
    office.pass(1_000);
    office.answer(500, "");
    office.pass(2_000);
    let unconfirmed = Doubt::Unknown(Reason::KeyUnconfirmed);
    assert_eq!(answer.try_recv().unwrap().unwrap_err(), unconfirmed);
    assert!(
        office.outcome(&good).is_ok(),
        "the last good keys stay in force"
    );
}

#[test]
fn few_tokens_wait_and_none_for_a_request_that_has_gone() {
    let mut office = Office::at_work();
    let new = token(&es256_other(), &claims("remote"));
    let mut answers: Vec<_> = (0..=MOST_TOKENS_WAITING)
        .map(|_| office.ask(&new))
        .collect();
    let last = answers.pop().unwrap().try_recv().unwrap().unwrap_err();
    assert_eq!(last, Doubt::Unknown(Reason::KeyUnconfirmed));
    drop(answers);
    office.pass(3_000);
    assert!(office.desk.waiting.is_empty());
}

#[test]
fn of_a_statement_nothing_but_the_signature_is_checked() {
    let mut office = Office::at_work();
    let claims = json!({"iss": "remote", "aud": "nobody", "exp": NOW - 9_999, "events": {}});
    let mut answer = office.ask_statement(&token(&es256(), &claims));
    let statement = answer.try_recv().unwrap().unwrap();
    assert_eq!(statement.claims().string("aud"), Some("nobody"));
    let good = token(&eddsa(), &json!({"iss": "local"}));
    let (body, signature) = good.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    for (token, expected) in [
        (
            format!("{body}.{other}{}", &signature[1..]),
            Doubt::Refused(Reason::SignatureInvalid),
        ),
        (
            token(&es256(), &json!({"iss": "local"})),
            Doubt::Refused(Reason::KeyUnknown),
        ),
        (
            token(&eddsa(), &json!({"iss": "strange"})),
            Doubt::StrangeIssuer,
        ),
        (token(&eddsa(), &json!({})), Doubt::StrangeIssuer),
        ("x".to_owned(), Doubt::Refused(Reason::TokenMalformed)),
    ] {
        let refused = office.ask_statement(&token).try_recv().unwrap();
        assert_eq!(refused.unwrap_err(), expected, "{token}");
    }
    assert!(office.ask_statement(&good).try_recv().unwrap().is_ok());
}

#[test]
fn statements_that_wait_leave_room_for_tokens_and_for_those_whose_key_is_known() {
    let mut office = Office::at_work();
    let new = token(&es256_other(), &claims("remote"));
    let statements = (0..=MOST_STATEMENTS_WAITING).map(|_| office.ask_statement(&new));
    let mut statements: Vec<_> = statements.collect();
    let last = statements.pop().unwrap().try_recv().unwrap().unwrap_err();
    assert_eq!(last, Doubt::Unknown(Reason::KeyUnconfirmed));
    let mut user = office.ask(&new);
    assert!(user.try_recv().is_err(), "it waits");
    let known = token(&es256(), &claims("remote"));
    assert!(office.ask_statement(&known).try_recv().unwrap().is_ok());
    office.pass(1_000);
    office.answer(200, &jwk_set(&[&es256(), &es256_other()]));
    assert!(user.try_recv().unwrap().is_ok());
    for mut statement in statements {
        assert!(statement.try_recv().unwrap().is_ok());
    }
}

#[test]
fn statements_of_strangers_that_wait_leave_room_for_those_of_providers_that_are_known() {
    let mut office = Office::at_work();
    let new = token(&es256_other(), &claims("remote"));
    let forged =
        (0..=MOST_OF_STRANGERS_WAITING).map(|_| office.ask_statement_of(Standing::Stranger, &new));
    let mut forged: Vec<_> = forged.collect();
    let last = forged.pop().unwrap().try_recv().unwrap().unwrap_err();
    assert_eq!(last, Doubt::Unknown(Reason::KeyUnconfirmed));
    let genuine = (0..MOST_STATEMENTS_WAITING).map(|_| office.ask_statement(&new));
    let genuine: Vec<_> = genuine.collect();
    office.pass(1_000);
    office.answer(200, &jwk_set(&[&es256(), &es256_other()]));
    for mut statement in genuine {
        assert!(statement.try_recv().unwrap().is_ok());
    }
}

#[test]
fn a_changed_file_is_read_again_and_a_broken_one_changes_nothing() {
    let mut office = Office::open();
    let old = token(&eddsa(), &claims("local"));
    let new = token(&es256_other(), &claims("local"));
    fs::write(&office.file, "{\"keys\": [").unwrap();
    office.pass(1_000);
    assert!(office.outcome(&old).is_ok());
    fs::write(&office.file, jwk_set(&[&es256_other(), &es256()])).unwrap();
    assert!(office.outcome(&new).is_err());
    office.pass(1_000);
    assert!(office.outcome(&new).is_ok());
    assert!(office.outcome(&old).is_err());
    fs::remove_file(&office.file).unwrap();
    office.pass(1_000);
    assert!(office.outcome(&new).is_ok());
}
