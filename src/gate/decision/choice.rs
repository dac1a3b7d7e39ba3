//! The choice among several cookies of one name.

use std::borrow::Cow;

use super::{Decision, Observer, Pass, Setback};
use crate::gate::extraction::Found;
use crate::gate::policy::Provider;
use crate::gate::reason::Reason;
use crate::gate::verification::Candidate;
use crate::host::Host;

impl Pass<'_> {
    /// Whether the provider reads a cookie from which the token was chosen.
    fn has_cookie_of(&self, provider: &Provider) -> bool {
        let mut locations = self.found.locations.iter();
        locations.any(|location| {
            let mut others = provider.locations.iter();
            others.any(|other| other.is_cookie_of(location))
        })
    }
}

impl<'g, H: Host, O: Observer> Decision<'g, H, O> {
    /// The one of several cookies that has a good signature. While it is not known whether one of
    /// them has, none is taken.
    #[cold]
    pub(super) fn choose(
        &mut self,
        index: usize,
        provider: &'g Provider,
        found: &mut Found<'g>,
    ) -> Result<Candidate, Setback<'g>> {
        let mut genuine = None;
        let mut fault = None;
        for rival in found.rivals() {
            match self.candidate(index, provider, rival) {
                Ok(_) if genuine.is_some() => return Err(Reason::TokenAmbiguous.into()),
                Ok(candidate) => genuine = Some((rival, candidate)),
                Err(setback) if setback.is_unknown() => return Err(setback),
                Err(setback) => {
                    fault.get_or_insert(setback);
                }
            }
        }
        match genuine {
            Some((token, _)) if found.is_settled() && *found.token != *token => {
                Err(Reason::TokenAmbiguous.into())
            }
            Some((token, candidate)) => {
                found.token = Cow::Borrowed(token);
                Ok(candidate)
            }
            // There are at least two.
            None => Err(fault.unwrap_or(Reason::TokenAmbiguous.into())),
        }
    }

    /// Refuses what was met since then if another cookie is genuine for one of these providers,
    /// even if it is good for nothing else: otherwise the order of the providers would decide whose
    /// session it is.
    #[cold]
    pub(super) fn check_choices(
        &mut self,
        passes: usize,
        providers: &[usize],
    ) -> Result<(), Setback<'g>> {
        let all = &self.gate.policy.providers;
        let met = self.passes.split_off(passes);
        for index in providers.iter().copied() {
            let provider = all.get(index).ok_or(Reason::NoRule)?;
            self.observer.provider(&provider.name);
            for pass in met.iter().filter(|pass| pass.has_cookie_of(provider)) {
                for rival in pass.found.rivals() {
                    if *rival != *pass.found.token {
                        self.check_rival(index, provider, rival)?;
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
        index: usize,
        provider: &'g Provider,
        rival: &[u8],
    ) -> Result<(), Setback<'g>> {
        let setback = match self.candidate(index, provider, rival) {
            Ok(_) => Reason::TokenAmbiguous.into(),
            Err(setback) if setback.is_unknown() => setback,
            Err(_) => return Ok(()),
        };
        Err(setback.about(index, None))
    }
}
