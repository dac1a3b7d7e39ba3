//! How an admitted request is changed before it goes on: the upstream is told who is calling, and
//! tokens that are not meant for it are removed.

use super::{Decision, Observer, Pass, Setback, Step};
use crate::gate::dpop;
use crate::gate::extraction::{self, Stripped};
use crate::gate::reason::Reason;
use crate::gate::session;
use crate::host::Host;

impl Pass<'_> {
    /// What is removed from the request: the token, or if the token goes on, the other cookies of
    /// its name, one of which the upstream might read.
    fn stripped(&self) -> impl Iterator<Item = Stripped<'_>> {
        let kept = self.provider.forward.then_some(&*self.found.token);
        let has_any = kept.is_none() || self.found.is_choice();
        let locations = self.found.locations.iter().filter(move |_| has_any);
        locations.map(move |location| (*location, kept))
    }
}

impl<'g, H: Host, O: Observer> Decision<'g, H, O> {
    /// Tells the upstream who is calling, and removes the tokens from the request.
    pub(super) fn forward(&mut self) -> Result<(), Setback<'g>> {
        // All headers are made before the first one is set: a refused request stays as it came.
        for (number, pass) in self.passes.iter().enumerate() {
            let made = self.headers(number, pass).map(|_| ());
            self.gate.verification.cache.weigh(&pass.token);
            self.observer.checked(Step::Headers, made.err());
            made.map_err(|reason| Setback::from(reason).about(pass.index, None))?;
        }
        extraction::strip(
            self.host,
            self.request,
            self.passes.iter().flat_map(Pass::stripped),
        );
        // A proof is for the token that is taken off, and of no use without it.
        if self
            .passes
            .iter()
            .any(|pass| pass.proof.is_some() && !pass.provider.forward)
        {
            self.host.remove_request_header(dpop::HEADER);
        }
        for (number, pass) in self.passes.iter().enumerate() {
            for (name, value) in self.headers(number, pass).into_iter().flatten() {
                self.host.set_request_header(name, value.as_bytes());
            }
        }
        for pass in &self.passes {
            for entry in &pass.provider.filter_state {
                if let Some(value) = pass.token.claims().at(&entry.path) {
                    let value = session::loggable(value);
                    self.host.set_filter_state(&entry.name, value.as_bytes());
                }
            }
        }
        Ok(())
    }

    /// The headers that one of the passes adds to the request. The first token is the session's.
    fn headers<'p>(
        &self,
        number: usize,
        pass: &'p Pass<'g>,
    ) -> Result<impl Iterator<Item = (&'p str, &'p str)>, Reason>
    where
        'g: 'p,
    {
        let Pass {
            provider,
            found,
            token,
            ..
        } = pass;
        let claims = token.claims();
        let of_provider = token
            .injections
            .of_provider(provider, &found.token, claims)?;
        let session = self.gate.policy.session_headers.as_ref();
        let session = session.filter(|_| number == 0);
        let of_session =
            session.map(|session| token.injections.of_session(session, provider, claims));
        Ok(of_provider.chain(of_session.transpose()?.into_iter().flatten()))
    }
}
