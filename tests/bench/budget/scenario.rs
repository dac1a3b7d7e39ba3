//! What is counted: the requests of the side-by-side measurements, and what comes before them.

use std::ops::Range;

use crate::process::{Cost, Lines};
use crate::requests::{
    expired, forged, forged_without_key, long, request, token, with, with_forged_proof, with_proof,
};
use crate::vm::Vm;
use crate::world::World;

/// Enough requests for what is done once in sixteen.
pub(crate) const REQUESTS: u64 = 16;

/// Requests before those that are counted, so that everything is there that is made once.
const EARLIER: u64 = 48;

/// The same for requests that take the interpreter long, and those that are to find nothing.
const FEWER_EARLIER: u64 = 2;

/// So many ordinary tokens that the cache of 24 MiB has begun to drop some.
const MORE_THAN_ARE_KEPT: u64 = 20_000;

/// A counted scenario.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// The host and the configuration that the filter meets.
    pub(crate) world: World,
    /// The request of this number.
    pub(crate) request: fn(u64) -> Lines,
    /// The status with which all of them are refused.
    pub(crate) refused: Option<u32>,
    /// Whether so many requests are like this that the build is tuned for them.
    #[allow(dead_code, reason = "the build asks for it")]
    pub(crate) is_usual: bool,
    /// One that is let through before all others.
    first: Option<fn() -> Lines>,
    /// Requests that come before those that are counted.
    earlier: u64,
    /// Whether the cache has to have dropped tokens in the end.
    fills_cache: bool,
}

impl Scenario {
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Self::accepted();
        all.extend(Self::refused());
        all.push(accepted("open path", World::Revocation, |_| {
            request("/public/logo")
        }));
        all.extend(Self::unusual());
        all
    }

    fn accepted() -> Vec<Self> {
        use World::{Activity, NoSignatures, Plain, Revocation, SessionHeaders};
        vec![
            accepted("warm", Revocation, |_| with(token("es256", 0))),
            accepted("warm, RS256", Revocation, |_| with(token("rs256", 0))),
            accepted("warm, 32 tokens in rotation", Revocation, |number| {
                with(token("es256", number % 32))
            }),
            accepted("warm, activity", Activity, |_| with(token("es256", 0))),
            accepted("cold, ES256, activity", Activity, |number| {
                with(token("es256", number))
            }),
            accepted("warm, without revocation", Plain, |_| {
                with(token("es256", 0))
            }),
            accepted("warm, all session headers", SessionHeaders, |_| {
                with(token("es256", 0))
            }),
            accepted("cold, RS256", Revocation, |number| {
                with(token("rs256", number))
            }),
            accepted("cold, ES256", Revocation, |number| {
                with(token("es256", number))
            }),
            accepted("cold, EdDSA", Revocation, |number| {
                with(token("eddsa", number))
            }),
            accepted("cold, ES256, no host function", NoSignatures, |number| {
                with(token("es256", number))
            })
            .for_few(),
            accepted("cold, ES256, without revocation", Plain, |number| {
                with(token("es256", number))
            }),
            accepted(
                "cold, ES256, all session headers",
                SessionHeaders,
                |number| with(token("es256", number)),
            ),
        ]
    }

    fn refused() -> Vec<Self> {
        let refused = |name, request| refused(name, World::Revocation, request);
        vec![
            refused("forged, RS256", |number| with(forged("rs256", number))),
            refused("forged, ES256", |number| with(forged("es256", number))),
            refused("forged, EdDSA", |number| with(forged("eddsa", number))),
            refused("unknown key", |number| {
                with(token("es256", number).header("kid", "unknown"))
            }),
            refused("another issuer", |number| {
                with(token("es256", number).claim("iss", "https://evil.example"))
            }),
            refused("no token", |_| request("/orders/1")),
        ]
    }

    /// What happens once in a while, to few, or under attack.
    fn unusual() -> Vec<Self> {
        use World::{CutOff, Dpop, EightKeys, LargeFilter, OtherAlgorithms, Perhaps, Revocation};
        let all = vec![
            refused("expired", Revocation, |number| {
                with(expired("es256", number))
            }),
            refused("cut off", CutOff, |number| with(token("es256", number))),
            refused("cut off, the same again", CutOff, |_| {
                with(token("es256", 0))
            }),
            accepted(
                "perhaps revoked, the authority says no",
                Perhaps,
                |number| with(token("es256", number)),
            ),
            accepted("warm, with a proof, ES256", Dpop, |number| {
                with_proof(0, number)
            }),
            accepted("cold, with a proof, ES256", Dpop, |number| {
                with_proof(number, number)
            }),
            refused("forged proof, ES256", Dpop, with_forged_proof)
                .behind(|| with_proof(0, u64::from(u32::MAX))),
            refused(
                "forged proof of an unknown client, ES256",
                Dpop,
                with_forged_proof,
            ),
            // Its salt is random, so that some hundred instructions of 22 million differ.
            accepted("cold, PS256", OtherAlgorithms, |number| {
                with(token("ps256", number))
            })
            .after(FEWER_EARLIER),
            accepted("cold, HS256", OtherAlgorithms, |number| {
                with(token("hs256", number))
            }),
            accepted("cold, RS256, 12 KB", Revocation, |number| {
                with(long("rs256", number))
            }),
            accepted("cold, ES256, 1,024 pages", LargeFilter, |number| {
                with(token("es256", number))
            })
            .after(FEWER_EARLIER),
            accepted("cold, HS256, cache full", OtherAlgorithms, |number| {
                with(token("hs256", number))
            })
            .after(MORE_THAN_ARE_KEPT)
            .filling_the_cache(),
            refused(
                "forged, RS256, without kid, eight keys",
                EightKeys,
                |number| with(forged_without_key("rs256", number)),
            ),
        ];
        all.into_iter().map(Self::for_few).collect()
    }

    /// Not counted: forged tokens that libraries check, which make errors of their own of them.
    pub(crate) fn errors_of_libraries() -> Vec<Self> {
        use World::{NoSignatures, OtherAlgorithms};
        vec![
            refused("forged, PS256", OtherAlgorithms, |number| {
                with(forged("ps256", number))
            }),
            refused("forged, HS256", OtherAlgorithms, |number| {
                with(forged("hs256", number))
            }),
            refused("forged, RS256, no host function", NoSignatures, |number| {
                with(forged("rs256", number))
            }),
            refused("forged, ES256, no host function", NoSignatures, |number| {
                with(forged("es256", number))
            }),
        ]
    }

    /// What its requests cost together.
    pub(crate) fn cost(&self, vm: &mut Vm) -> Cost {
        let all = self.earlier + REQUESTS;
        if let Some(first) = self.first {
            assert_eq!(vm.request(&first()), None, "{}", self.name);
        }
        self.send(vm, 0..self.earlier);
        let cost = vm.cost_of(|vm| self.send(vm, self.earlier..all));
        if self.fills_cache {
            // The filter tells it on a tick.
            vm.tick();
            let kept = vm.process().sum("portcullis.token_cache.entries");
            assert!(u64::from(kept) < all, "{}: all of {kept} kept", self.name);
        }
        cost
    }

    /// Sends the requests of these numbers.
    pub(crate) fn send(&self, vm: &mut Vm, numbers: Range<u64>) {
        for number in numbers {
            let refused = vm.request(&(self.request)(number));
            assert_eq!(refused, self.refused, "{}", self.name);
        }
    }

    /// Not one that the build is tuned for.
    fn for_few(self) -> Self {
        Self {
            is_usual: false,
            ..self
        }
    }

    /// With this request before all others, which is let through.
    fn behind(self, first: fn() -> Lines) -> Self {
        Self {
            first: Some(first),
            ..self
        }
    }

    /// With so many requests before those that are counted.
    fn after(self, earlier: u64) -> Self {
        Self { earlier, ..self }
    }

    fn filling_the_cache(self) -> Self {
        Self {
            fills_cache: true,
            ..self
        }
    }
}

fn accepted(name: &'static str, world: World, request: fn(u64) -> Lines) -> Scenario {
    Scenario {
        name,
        world,
        request,
        refused: None,
        is_usual: true,
        first: None,
        earlier: EARLIER,
        fills_cache: false,
    }
}

fn refused(name: &'static str, world: World, request: fn(u64) -> Lines) -> Scenario {
    Scenario {
        refused: Some(401),
        ..accepted(name, world, request)
    }
}
