//! Users whose token an edge shows: the token is verified here again, since a stolen credential must
//! not be enough to act for any user.

use std::time::Instant;

use super::Problem;
use super::check::{issuance, revocations};
use crate::authority::credentials::Caller;
use crate::authority::request::RevocationRequest;
use crate::authority::verifier::{Doubt, User};
use crate::authority::{Authority, clock, sessions};
use crate::gate::Reason;
use crate::revocation::wire::Member;
use crate::revocation::wire::sign_out::{DoneAnswer, UserToken};
use crate::revocation::{Kind, Signable, proof};
use crate::time::UnixTime;

/// In histories, after the name of the edge's credential.
const ACTOR: &str = "the user";

/// The user whose token this is.
///
/// # Errors
///
/// 422 `token_refused`, or 503 where it is not known whether the token is good. Why is in the log.
pub(super) async fn verified(
    authority: &Authority,
    caller: &Caller,
    UserToken(token): UserToken,
) -> Result<User, Problem> {
    let verified = authority.verifier.verify(token).await;
    verified.map_err(|doubt| authority.doubted(caller, doubt))
}

/// The names of the user's token that are revoked.
pub(super) fn revoked(authority: &Authority, user: &User) -> Vec<Member> {
    let issuance = issuance(&user.names).unwrap_or_default();
    let revoked = revocations(authority, &user.names, issuance, clock::now());
    revoked.map(|found| found.member).collect()
}

/// Refuses a token that is revoked, by anything but this.
pub(super) fn expect_in_force(
    authority: &Authority,
    caller: &Caller,
    user: &User,
    but: Option<Member>,
) -> Result<(), Problem> {
    let revoked = revoked(authority, user);
    if revoked.is_empty() || but.is_some_and(|but| revoked.contains(&but)) {
        return Ok(());
    }
    Err(authority.doubted(caller, Doubt::Refused(Reason::TokenRevoked)))
}

/// When the user signed in, where the token says so.
pub(super) fn signed_in(user: &User) -> Option<UnixTime> {
    let auth_time = user.names.auth_time.and_then(UnixTime::from_seconds);
    sessions::signed_in(auth_time, issuance(&user.names).ok()?)
}

/// Has a session end only until its user signs in anew, where its issuer gives a `sid` again. A session
/// that has ended already is not ended once more: that would end a sign-in since then.
pub(in crate::authority) fn until_sign_in(
    authority: &Authority,
    request: &mut RevocationRequest,
    signed_in: Option<UnixTime>,
) {
    let (Kind::Session, Some(sid)) = (request.kind, request.value.as_deref()) else {
        return;
    };
    let now = clock::now();
    // It may have tokens of a later sign-in than this one's.
    let last = signed_in.map(|time| time.max(now));
    let not_before = authority.session_ends.not_before(&request.issuer, last);
    if not_before == UnixTime::EPOCH {
        return;
    }
    let key = authority.store.filter_key();
    let name = key.fingerprint(Kind::Session, &request.issuer, sid);
    let standing = authority.index.lives_again_from(name, now);
    let standing = standing.filter(|from| signed_in.is_some_and(|time| time < *from));
    request.until_sign_in = true;
    request.not_before = Some(standing.unwrap_or(not_before).seconds());
}

/// Carries out what a user asks for, and waits until it is on the disk.
pub(super) async fn revoke(
    authority: &Authority,
    caller: &Caller,
    mut request: RevocationRequest,
) -> Result<(), Problem> {
    request.actor = Some(ACTOR.to_owned());
    let revocation = request.check(&caller.name, clock::now(), &authority.limits())?;
    authority.writer.write(revocation).await?;
    Ok(())
}

/// The answer to a request with this body, once what it asks for is on the disk.
pub(super) fn done(authority: &Authority, body: &[u8]) -> DoneAnswer {
    let statement = proof::completion(body);
    let now = clock::now();
    let signed = authority.signer.sign(Signable::SignOut, statement, now);
    DoneAnswer {
        proof: proof::encode(&signed),
        current: false,
    }
}

impl Authority {
    /// The answer where a token is no evidence. Says in the log once in a while why, and nothing of
    /// the token.
    fn doubted(&self, caller: &Caller, doubt: Doubt) -> Problem {
        let reason = match doubt {
            Doubt::Refused(reason) | Doubt::Unknown(reason) => reason.label(),
            Doubt::StrangeIssuer => "strange_issuer",
            Doubt::Overloaded => "overloaded",
        };
        if let Some(times) = self.refusals.take(reason, None, Instant::now()) {
            tracing::warn!(
                credential = &*caller.name,
                reason,
                times,
                "a user's token was not verified: {doubt}"
            );
        }
        match doubt {
            Doubt::Refused(_) | Doubt::StrangeIssuer => Problem::token_refused(),
            Doubt::Unknown(_) => Problem::keys_unavailable(),
            Doubt::Overloaded => Problem::overloaded(&doubt.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::authority::credentials::Permission;
    use crate::authority::writer::WriteError;

    /// Those of bodies that are not as described are the same on every path.
    #[test]
    fn the_page_has_the_codes_that_edges_are_told() {
        let problems = [
            Problem::token_refused(),
            Problem::token_unnamed(""),
            Problem::session_not_found(),
            Problem::keys_unavailable(),
            Problem::not_permitted(Permission::SignOut),
            Problem::out_of_bounds(""),
            Problem::no_registry(),
            Problem::overloaded(""),
            Problem::database_away(),
            Problem::from(WriteError::Unavailable),
        ];
        let mut given: BTreeSet<_> = (problems.iter())
            .map(|problem| (problem.code().to_owned(), problem.status().as_u16()))
            .collect();
        // Made of what a clock says, which nothing but a running authority has.
        given.insert(("clocks_disagree".to_owned(), 503));
        let page = include_str!("../../../envoy/authority.md");
        let (_, table) = page
            .split_once("| code | status | meaning |\n|---|---|---|\n")
            .unwrap();
        let rows = table.lines().take_while(|line| line.starts_with('|'));
        let told = rows.flat_map(|row| {
            let cells: Vec<_> = row.split('|').collect();
            let status: u16 = cells[2].trim().parse().unwrap();
            let codes = cells[1].split('`').skip(1).step_by(2);
            codes
                .map(move |code| (code.to_owned(), status))
                .collect::<Vec<_>>()
        });
        assert_eq!(told.collect::<BTreeSet<_>>(), given);
    }
}
