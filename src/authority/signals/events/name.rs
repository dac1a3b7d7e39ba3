//! Types of events, by their URIs.

/// What can be done about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// What it says is revoked, or restored.
    Revoke,
    /// There is a record of it, and nothing else.
    Record,
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $key:literal, $action:ident, [$($uri:literal),+];)*) => {
        /// A type of event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum EventName { $($(#[$doc])* $name,)* }

        impl EventName {
            /// Every type.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// In the signals file.
            #[must_use]
            pub const fn key(self) -> &'static str {
                match self { $(Self::$name => $key,)* }
            }

            /// What is done about it where the signals file does not say.
            #[must_use]
            pub const fn default_action(self) -> Action {
                match self { $(Self::$name => Action::$action,)* }
            }

            /// What it is called in tokens: by the specification that is in force first, and then by
            /// those before it.
            #[must_use]
            pub const fn uris(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$($uri),+],)* }
            }
        }
    };
}

names! {
    /// CAEP 1.0 section 3.1. RISC 1.0 called it "sessions revoked".
    SessionRevoked = "session-revoked", Revoke,
        ["https://schemas.openid.net/secevent/caep/event-type/session-revoked"];
    /// CAEP 1.0 section 3.2.
    TokenClaimsChange = "token-claims-change", Revoke,
        ["https://schemas.openid.net/secevent/caep/event-type/token-claims-change"];
    /// CAEP 1.0 section 3.3.
    CredentialChange = "credential-change", Revoke,
        ["https://schemas.openid.net/secevent/caep/event-type/credential-change"];
    /// CAEP 1.0 section 3.4.
    AssuranceLevelChange = "assurance-level-change", Record,
        ["https://schemas.openid.net/secevent/caep/event-type/assurance-level-change"];
    /// CAEP 1.0 section 3.5.
    DeviceComplianceChange = "device-compliance-change", Revoke,
        ["https://schemas.openid.net/secevent/caep/event-type/device-compliance-change"];
    /// CAEP 1.0 section 3.6.
    SessionEstablished = "session-established", Record,
        ["https://schemas.openid.net/secevent/caep/event-type/session-established"];
    /// CAEP 1.0 section 3.7.
    SessionPresented = "session-presented", Record,
        ["https://schemas.openid.net/secevent/caep/event-type/session-presented"];
    /// CAEP 1.0 section 3.8.
    RiskLevelChange = "risk-level-change", Record,
        ["https://schemas.openid.net/secevent/caep/event-type/risk-level-change"];
    /// RISC 1.0 section 2.1.
    AccountCredentialChangeRequired = "account-credential-change-required", Revoke,
        ["https://schemas.openid.net/secevent/risc/event-type/account-credential-change-required"];
    /// RISC 1.0 section 2.2.
    AccountPurged = "account-purged", Revoke,
        ["https://schemas.openid.net/secevent/risc/event-type/account-purged"];
    /// RISC 1.0 section 2.3.
    AccountDisabled = "account-disabled", Revoke,
        ["https://schemas.openid.net/secevent/risc/event-type/account-disabled"];
    /// RISC 1.0 section 2.4.
    AccountEnabled = "account-enabled", Revoke,
        ["https://schemas.openid.net/secevent/risc/event-type/account-enabled"];
    /// RISC 1.0 section 2.5.
    IdentifierChanged = "identifier-changed", Record,
        ["https://schemas.openid.net/secevent/risc/event-type/identifier-changed"];
    /// RISC 1.0 section 2.6.
    IdentifierRecycled = "identifier-recycled", Revoke,
        ["https://schemas.openid.net/secevent/risc/event-type/identifier-recycled"];
    /// RISC 1.0 section 2.7.
    CredentialCompromise = "credential-compromise", Revoke,
        ["https://schemas.openid.net/secevent/risc/event-type/credential-compromise"];
    /// RISC 1.0 section 2.10, deprecated.
    SessionsRevoked = "sessions-revoked", Revoke,
        ["https://schemas.openid.net/secevent/risc/event-type/sessions-revoked"];
    /// OAuth Event Types 1.0 (draft) section 3.3, as Google sends it.
    TokensRevoked = "tokens-revoked", Revoke,
        ["https://schemas.openid.net/secevent/oauth/event-type/tokens-revoked",
         "https://schemas.openid.net/secevent/risc/event-type/tokens-revoked"];
    /// OAuth Event Types 1.0 (draft) section 3.2, as Google sends it.
    TokenRevoked = "token-revoked", Revoke,
        ["https://schemas.openid.net/secevent/oauth/event-type/token-revoked",
         "https://schemas.openid.net/secevent/risc/event-type/token-revoked"];
    /// Shared Signals Framework 1.0 section 8.1.4.1, and as RISC called it before.
    Verification = "verification", Record,
        ["https://schemas.openid.net/secevent/ssf/event-type/verification",
         "https://schemas.openid.net/secevent/risc/event-type/verification"];
    /// Shared Signals Framework 1.0 section 8.1.5.
    StreamUpdated = "stream-updated", Record,
        ["https://schemas.openid.net/secevent/ssf/event-type/stream-updated"];
}

impl EventName {
    /// The type that a URI stands for, if it is one that is known here.
    #[must_use]
    pub fn of_uri(uri: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|name| name.uris().contains(&uri))
    }

    /// The types about which the signals file may say what is done.
    pub fn all_that_may_act() -> impl Iterator<Item = Self> {
        let all = Self::ALL.iter().copied();
        all.filter(|name| name.may_act())
    }

    /// Whether anything can follow from it.
    const fn may_act(self) -> bool {
        !matches!(
            self,
            Self::SessionEstablished
                | Self::SessionPresented
                | Self::Verification
                | Self::StreamUpdated
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_type_has_uris_and_a_key_of_its_own_which_ends_them() {
        let (mut uris, mut keys) = (HashSet::new(), HashSet::new());
        for name in EventName::ALL {
            assert!(keys.insert(name.key()));
            for uri in name.uris() {
                assert!(uris.insert(*uri), "{uri}");
                assert_eq!(uri.rsplit('/').next(), Some(name.key()));
                assert_eq!(EventName::of_uri(uri), Some(*name));
            }
        }
        assert_eq!(EventName::of_uri("session-revoked"), None);
    }

    #[test]
    fn what_can_only_be_recorded_is_recorded_by_default() {
        for name in EventName::ALL {
            let is_recorded = name.default_action() == Action::Record;
            assert!(name.may_act() || is_recorded, "{name:?}");
        }
        assert_eq!(EventName::all_that_may_act().count(), 16);
    }
}
