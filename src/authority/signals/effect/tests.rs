use super::*;
use crate::authority::signals::configuration::SubjectRule;
use crate::authority::signals::logout::tests::issuer;

/// 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600;

const LIMITS: Limits = Limits {
    max_token_lifetime: Duration::from_hours(24),
    clock_skew: Duration::from_mins(1),
    disagreement: None,
    expiry_margin: Duration::from_mins(15),
};

fn time(seconds: u64) -> UnixTime {
    UnixTime::from_seconds(seconds).unwrap()
}

fn logout(subject: Option<&str>, session: Option<&str>) -> Logout {
    Logout {
        id: "j".to_owned(),
        subject: subject.map(str::to_owned),
        session: session.map(str::to_owned),
        clients: vec!["web".to_owned(), "app".to_owned()],
        issued_at: time(NOW - 5),
        good_until: time(NOW + 600),
    }
}

fn effect(logout: &Logout, issuer: &SignalIssuer) -> Result<RevocationRequest, Code> {
    let requests = of_logout(logout, issuer, &LIMITS, time(NOW));
    let requests = requests.map_err(|refusal| refusal.code)?;
    let [request] = requests.try_into().unwrap();
    Ok(request)
}

/// What is revoked: kind, name, not before, whose.
fn named(request: &RevocationRequest) -> (Kind, &str, Option<u64>, Option<&str>) {
    assert_eq!(request.reason.as_deref(), Some(REASON));
    let value = request.value.as_deref().unwrap();
    (
        request.kind,
        value,
        request.not_before,
        request.subject.as_deref(),
    )
}

#[test]
fn a_session_is_ended_and_nothing_else_where_tokens_carry_it() {
    let issuer = issuer();
    let request = effect(&logout(Some("alice"), Some("s")), &issuer).unwrap();
    assert_eq!(named(&request), (Kind::Session, "s", None, Some("alice")));
    assert_eq!(request.issuer, "https://id.example");
    let request = effect(&logout(None, Some("s")), &issuer).unwrap();
    assert_eq!(named(&request), (Kind::Session, "s", None, None));
}

#[test]
fn without_a_session_what_the_subject_was_issued_until_then_is_revoked() {
    let expected = (Kind::Subject, "alice", Some(NOW - 4), None);
    let mut issuer = issuer();
    let request = effect(&logout(Some("alice"), None), &issuer).unwrap();
    assert_eq!(named(&request), expected);
    issuer.tokens_carry_sid = false;
    for session in [None, Some("s")] {
        let request = effect(&logout(Some("alice"), session), &issuer).unwrap();
        assert_eq!(named(&request), expected);
    }
    let unnamed = effect(&logout(None, Some("s")), &issuer);
    assert_eq!(unnamed.unwrap_err(), Code::NothingToRevoke);
}

#[test]
fn without_a_session_only_the_clients_of_the_token_are_cut_off_where_the_file_says_so() {
    let mut issuer = issuer();
    issuer.logout_without_sid = LogoutScope::SubjectAndClient;
    let requests = of_logout(&logout(Some("alice"), None), &issuer, &LIMITS, time(NOW)).unwrap();
    let found = requests.iter().map(|request| {
        let (kind, value, not_before, _) = named(request);
        (kind, value, request.client.as_deref(), not_before)
    });
    let at = |client| (Kind::SubjectAndClient, "alice", Some(client), Some(NOW - 4));
    assert_eq!(found.collect::<Vec<_>>(), [at("web"), at("app")]);
    // A session is one of all clients, whether or not tokens carry it.
    let named = logout(Some("alice"), Some("s"));
    let request = effect(&named, &issuer).unwrap();
    assert_eq!(request.kind, Kind::Session);
    issuer.tokens_carry_sid = false;
    let request = effect(&named, &issuer).unwrap();
    assert_eq!((request.kind, request.client), (Kind::Subject, None));
}

/// Its clock may be ahead of that of the issuer of the signal: then a token of before the logout has a
/// later `iat`.
#[test]
fn cut_offs_of_another_issuers_tokens_reach_as_far_ahead_as_clocks_may_differ() {
    let mut issuer = issuer();
    issuer.access_token_issuer = Some("https://api.example".to_owned());
    let request = effect(&logout(Some("alice"), None), &issuer).unwrap();
    assert_eq!(named(&request).2, Some(NOW - 4 + 60));
    let revocation = request.check("caller", time(NOW), &LIMITS).unwrap();
    let life = 86_400 + 60 + 900;
    assert_eq!(revocation.expires_at.seconds(), NOW - 4 + 60 + life);
    let alice = || asked(Identifier::Opaque("alice".to_owned()), Some(NOW - 5));
    let request = global(&alice(), &issuer, "email").unwrap();
    assert_eq!(request.not_before, Some(NOW - 4 + 60));
    issuer.sessions_end = SessionEnd::UntilSignIn;
    let request = effect(&logout(Some("alice"), Some("s")), &issuer).unwrap();
    assert_eq!(request.not_before, Some(NOW - 4 + 60));
    // The same one by another way of writing it is not another.
    issuer.access_token_issuer = Some(issuer.issuer.clone());
    let request = effect(&logout(Some("alice"), None), &issuer).unwrap();
    assert_eq!(request.not_before, Some(NOW - 4));
}

#[test]
fn a_session_whose_name_comes_again_ends_until_the_next_sign_in() {
    let mut issuer = issuer();
    issuer.sessions_end = SessionEnd::UntilSignIn;
    let request = effect(&logout(Some("alice"), Some("s")), &issuer).unwrap();
    assert!(request.until_sign_in);
    assert_eq!(
        named(&request),
        (Kind::Session, "s", Some(NOW - 4), Some("alice"))
    );
    let revocation = request.check("caller", time(NOW), &LIMITS).unwrap();
    assert_eq!(revocation.not_before, time(NOW - 4));
}

#[test]
fn users_are_called_what_access_tokens_call_them() {
    let mut issuer = issuer();
    issuer.access_token_issuer = Some("https://api.example".to_owned());
    issuer.subject = SubjectRule::Template {
        before: "user:".to_owned(),
        after: "@shop".to_owned(),
    };
    let request = effect(&logout(Some("alice"), None), &issuer).unwrap();
    assert_eq!(named(&request).1, "user:alice@shop");
    assert_eq!(request.issuer, "https://api.example");
    let request = effect(&logout(Some("alice"), Some("s")), &issuer).unwrap();
    assert_eq!(named(&request).3, Some("user:alice@shop"));
    let long = "x".repeat(1_020);
    let refused = effect(&logout(Some(&long), None), &issuer);
    assert_eq!(refused.unwrap_err(), Code::SubjectInvalid);
}

fn asked(subject: Identifier, asked_at: Option<u64>) -> GlobalRevocation {
    GlobalRevocation {
        subject,
        asked_at: asked_at.map(time),
    }
}

fn global(
    revocation: &GlobalRevocation,
    issuer: &SignalIssuer,
    email_claim: &str,
) -> Result<RevocationRequest, Code> {
    of_global_revocation(revocation, issuer, email_claim, &LIMITS, time(NOW))
        .map_err(|refusal| refusal.code)
}

fn of_issuer(issuer: &str, subject: &str) -> Identifier {
    Identifier::IssuerSubject {
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
    }
}

#[test]
fn everything_of_a_user_is_what_was_issued_until_that_was_asked() {
    let issuer = issuer();
    let opaque = Identifier::Opaque("alice".to_owned());
    for subject in [opaque, of_issuer("https://id.example", "alice")] {
        let request = global(&asked(subject, Some(NOW - 5)), &issuer, "email").unwrap();
        assert_eq!(
            (request.kind, request.value.as_deref()),
            (Kind::Subject, Some("alice"))
        );
        assert_eq!(request.not_before, Some(NOW - 4));
        assert_eq!(request.reason.as_deref(), Some(REASON_OF_GLOBAL));
    }
    // Without an instant of the issuer's, by the rule for all that is said to be "now".
    let request = global(
        &asked(Identifier::Opaque("alice".to_owned()), None),
        &issuer,
        "email",
    );
    let request = request.unwrap();
    assert_eq!((request.not_before, request.expires_at), (None, None));
    let revocation = request.check("caller", time(NOW), &LIMITS).unwrap();
    assert_eq!(revocation.not_before.seconds(), NOW + 61);
}

#[test]
fn a_user_with_an_e_mail_address_is_cut_off_by_the_claim_that_has_it() {
    let issuer = issuer();
    let email = || asked(Identifier::Email("a@shop.example".to_owned()), Some(NOW));
    let request = global(&email(), &issuer, "email").unwrap();
    assert_eq!(request.kind, Kind::Claim);
    assert_eq!(request.claim.as_deref(), Some("email"));
    assert_eq!(request.value.as_deref(), Some("a@shop.example"));
    let revocation = request.check("caller", time(NOW), &LIMITS).unwrap();
    assert_eq!(revocation.target.qualifier, "email");
    let request = global(&email(), &issuer, "sub").unwrap();
    assert_eq!((request.kind, request.claim), (Kind::Subject, None));
}

#[test]
fn a_caller_may_name_users_of_its_own_issuer_only() {
    let mut issuer = issuer();
    issuer.access_token_issuer = Some("https://api.example".to_owned());
    issuer.subject = SubjectRule::Template {
        before: "user:".to_owned(),
        after: String::new(),
    };
    for (of, expected) in [
        ("https://id.example", Ok("user:alice")),
        // As access tokens have it already.
        ("https://api.example", Ok("alice")),
        ("https://id.example/", Err(Code::SubjectForeign)),
        ("https://other.example", Err(Code::SubjectForeign)),
    ] {
        let request = global(&asked(of_issuer(of, "alice"), Some(NOW)), &issuer, "email");
        let named = request.map(|request| {
            assert_eq!(request.issuer, "https://api.example");
            request.value.unwrap()
        });
        assert_eq!(named.as_deref().map_err(|code| *code), expected, "{of}");
    }
    let long = asked(Identifier::Opaque("x".repeat(1_020)), Some(NOW));
    assert_eq!(
        global(&long, &issuer, "email").unwrap_err(),
        Code::SubjectUnusable
    );
}

/// A process that dies before the ledger has the signal may carry it out once more.
#[test]
fn the_same_signal_means_the_same_whenever_it_is_read() {
    for session in [None, Some("s")] {
        let logout = logout(Some("alice"), session);
        let at = |now: u64, lifetime: Duration| {
            let limits = Limits {
                max_token_lifetime: lifetime,
                ..LIMITS
            };
            let mut requests = of_logout(&logout, &issuer(), &limits, time(now)).unwrap();
            let request = requests.pop().unwrap();
            request.check("caller", time(now), &limits).unwrap()
        };
        let day = Duration::from_hours(24);
        let first = at(NOW, day);
        for later in [1, 300, 660] {
            assert_eq!(at(NOW + later, day), first);
        }
        // It is kept until the last token that it names has expired.
        assert_eq!(first.expires_at.seconds(), NOW - 4 + 86_400 + 60 + 900);
        // The longest lifetime that there may be is within what may be asked for.
        at(NOW - 65, MAX_EXPIRY);
    }
}
