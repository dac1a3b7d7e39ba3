//! Something that is repeated, and the clock.

use std::hint::black_box;
use std::time::{Duration, SystemTime};

use proxy_wasm::hostcalls;

/// One step.
pub(crate) struct Step {
    /// `GROUP: WHAT`.
    pub(crate) name: String,
    /// Takes it so often, and tells how long that was.
    take: Box<dyn Fn(u32) -> Duration>,
}

/// What a step uses up is made in advance for so many.
const SUPPLY: u32 = 64;

impl Step {
    /// A step that can be taken again at once. `take` says whether it did its work.
    pub(crate) fn new(name: &str, take: impl Fn() -> bool + 'static) -> Self {
        Self::boxed(name, move |count| {
            let before = now();
            let done = (0..count).filter(|_| black_box(take())).count();
            let took = since(before);
            assert_eq!(done, count as usize, "the step has to do its work");
            took
        })
    }

    /// One that uses up what `make` makes, the time of which does not count.
    pub(crate) fn using_up<T>(
        name: &str,
        make: impl Fn() -> T + 'static,
        take: impl Fn(T) -> bool + 'static,
    ) -> Self {
        Self::boxed(name, move |count| {
            let mut took = Duration::ZERO;
            for begun in (0..count).step_by(SUPPLY as usize) {
                let supply = SUPPLY.min(count - begun);
                let supply: Vec<T> = (0..supply).map(|_| make()).collect();
                let expected = supply.len();
                let before = now();
                let done = supply.into_iter().map(|it| take(black_box(it)));
                let done = done.filter(|is_done| *is_done).count();
                took += since(before);
                assert_eq!(done, expected, "the step has to do its work");
            }
            took
        })
    }

    fn boxed(name: &str, take: impl Fn(u32) -> Duration + 'static) -> Self {
        Self {
            name: name.to_owned(),
            take: Box::new(take),
        }
    }

    /// Nanoseconds that the step takes, of as many as take at least so long together.
    pub(crate) fn measure(&self, at_least: Duration) -> f64 {
        let mut count = 1;
        loop {
            let took = (self.take)(count);
            if took >= at_least {
                return took.as_secs_f64() * 1e9 / f64::from(count);
            }
            // The clock may not have moved at all.
            let missing = at_least.as_nanos() / took.as_nanos().max(1) + 1;
            let factor = u32::try_from(missing.min(10)).expect("ten at most");
            let more = count.checked_mul(factor.max(2));
            count = more.expect("a clock that moves");
        }
    }
}

/// The clock of the host; that of the standard library asks it by another way.
pub(crate) fn now() -> SystemTime {
    hostcalls::get_current_time().expect("a clock")
}

/// A clock that is set back while it is looked at gives no time, and the step is taken again.
fn since(before: SystemTime) -> Duration {
    now().duration_since(before).unwrap_or_default()
}
