//! The choice among several cookies of one name.

use std::borrow::Cow;

use super::{Decision, Failure, Observer, Pass, Sought};
use crate::gate::extraction::Found;
use crate::gate::policy::Provider;
use crate::gate::reason::Reason;
use crate::gate::verification::Candidate;
use crate::host::Host;

impl Pass<'_> {
    /// Whether the provider reads a cookie from which the token was chosen.
    fn has_cookie_of(&self, provider: &Provider) -> bool {
        let mut places = self.found.places.iter();
        places.any(|place| provider.locations.iter().any(|own| own.is_cookie_of(place)))
    }
}

impl<'g, H: Host, O: Observer> Decision<'g, H, O> {
    /// The one of several cookies that has a good signature. As long as it is not known whether
    /// one of them has, none is taken.
    #[cold]
    pub(super) fn choose(
        &mut self,
        place: usize,
        provider: &'g Provider,
        found: &mut Found<'g>,
    ) -> Result<Candidate, Reason> {
        let mut genuine = None;
        let mut fault = None;
        for rival in found.rivals() {
            match self.candidate(place, provider, rival) {
                Ok(_) if genuine.is_some() => return Err(Reason::TokenAmbiguous),
                Ok(candidate) => genuine = Some((rival, candidate)),
                Err(reason) => {
                    if self.failure(place, provider, reason.into()).is_unknown() {
                        return Err(reason);
                    }
                    fault.get_or_insert(reason);
                }
            }
        }
        match genuine {
            Some((token, _)) if found.is_settled() && *found.token != *token => {
                Err(Reason::TokenAmbiguous)
            }
            Some((token, candidate)) => {
                found.token = Cow::Borrowed(token);
                Ok(candidate)
            }
            None => {
                // No newer keys help any of them, and the reason may not be that of the last one.
                self.sought = Sought::default();
                // There are two at least.
                Err(fault.unwrap_or(Reason::TokenAmbiguous))
            }
        }
    }

    /// Refuses what was met since then if another cookie is genuine for one of these providers, be
    /// it good for nothing else: the order of the providers would decide whose session it is.
    #[cold]
    pub(super) fn check_choices(
        &mut self,
        passes: usize,
        providers: &[usize],
    ) -> Result<(), Failure<'g>> {
        let all = &self.gate.policy.providers;
        let met = self.passes.split_off(passes);
        for place in providers.iter().copied() {
            let provider = all.get(place).ok_or(Reason::NoRule)?;
            self.observer.provider(&provider.name);
            for pass in met.iter().filter(|pass| pass.has_cookie_of(provider)) {
                for rival in pass.found.rivals() {
                    if *rival != *pass.found.token {
                        self.check_rival(place, provider, rival)?;
                    }
                }
            }
        }
        self.passes.extend(met);
        Ok(())
    }

    /// Refuses a cookie that is genuine, or may be.
    fn check_rival(
        &mut self,
        place: usize,
        provider: &'g Provider,
        rival: &[u8],
    ) -> Result<(), Failure<'g>> {
        let reason = match self.candidate(place, provider, rival) {
            Ok(_) => Reason::TokenAmbiguous,
            Err(reason) => reason,
        };
        let failure = self.failure(place, provider, reason.into());
        if reason == Reason::TokenAmbiguous || failure.is_unknown() {
            return Err(failure);
        }
        Ok(())
    }
}
