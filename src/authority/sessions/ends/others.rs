//! What authorities that have the same registry tell each other.

use std::sync::Arc;
use std::time::Duration;

use super::super::coverage::Moment;
use super::super::registry::{HeardOf, Registry, RegistryError};
use super::{Ends, lock};
use crate::authority::Authority;
use crate::authority::clock;

/// How soon other authorities hear what was heard here.
const EXCHANGE_INTERVAL: Duration = Duration::from_millis(500);

/// How long after the registry was away no session is surplus: until another authority is connected again,
/// which tries every five seconds, and has told which sessions it signed out meanwhile.
const SETTLED_AFTER: Duration = Duration::from_secs(10);

impl Ends {
    /// Tells authorities that have the same registry what was heard here, and takes in what they have
    /// heard.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Away`], also once this authority has taken its leave: what is heard of edges comes to
    /// others then, so that nothing may follow from it here.
    pub(in crate::authority) fn exchange(
        &self,
        registry: &dyn Registry,
    ) -> Result<(), RegistryError> {
        let has_left = lock(&self.has_left);
        if *has_left {
            return Err(RegistryError::Away);
        }
        self.tell(registry)
    }

    /// Tells them a last time, and that this authority goes. Afterwards, nothing is told: an authority that
    /// is heard once more would be waited for.
    pub(in crate::authority) fn leave(&self, registry: &dyn Registry) {
        let mut has_left = lock(&self.has_left);
        *has_left = true;
        // One that cannot tell what it has heard goes as if it had died.
        if self.tell(registry).is_ok() {
            registry.leave();
        }
    }

    /// Whether the registry has been there for so long that other authorities have told it which sessions
    /// they have ended.
    pub(super) fn is_settled(&self, now: Moment) -> bool {
        let away = *lock(&self.away);
        away.is_none_or(|away| now.passed.saturating_sub(away) >= SETTLED_AFTER)
    }

    fn tell(&self, registry: &dyn Registry) -> Result<(), RegistryError> {
        let tidings = lock(&self.outbox).take(self.now());
        let told = registry.exchange(&tidings, clock::now());
        let others = match told {
            Ok(others) => others.unwrap_or_default(),
            Err(error) => {
                let now = self.now();
                lock(&self.outbox).put_back(tidings, now);
                *lock(&self.away) = Some(now.passed);
                return Err(error);
            }
        };
        let now = self.now();
        let mut coverage = self.coverage();
        for HeardOf {
            source,
            ago,
            interval,
        } in &others.heard
        {
            coverage.hear_of(source, *interval, *ago, now);
        }
        for source in &others.gone {
            coverage.forget(source, now);
        }
        if others.has_lost {
            coverage.lose(now);
        }
        Ok(())
    }
}

/// Tells authorities that have the same registry what was heard here, for ever.
pub(in crate::authority) async fn exchange(authority: Arc<Authority>) {
    loop {
        tokio::time::sleep(EXCHANGE_INTERVAL).await;
        let authority = Arc::clone(&authority);
        let told = tokio::task::spawn_blocking(move || {
            authority.ends.exchange(authority.sessions.registry())
        });
        if let Ok(Err(error)) = told.await {
            tracing::debug!(%error, "what was heard of edges cannot be told");
        }
    }
}
