//! By what is counted apart.

use prometheus_client::encoding::EncodeLabelSet;

use crate::authority::sessions::suspicion;
use crate::revocation::wire::TokenStatus;
use crate::revocation::wire::sign_out::SignOutScope;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ResponseLabels {
    pub(super) route: String,
    pub(super) status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ListenerLabels {
    pub(super) listener: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CheckLabels {
    pub(super) revoked: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StatusLabels {
    pub(super) status: &'static str,
}

impl StatusLabels {
    pub(super) const fn of(status: Option<TokenStatus>) -> Self {
        let status = match status {
            Some(TokenStatus::Valid) => "valid",
            Some(TokenStatus::Invalid) => "invalid",
            Some(TokenStatus::Suspended) => "suspended",
            None => "unknown",
        };
        Self { status }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FetchLabels {
    pub(super) result: &'static str,
}

impl FetchLabels {
    pub(super) const fn of(is_success: bool) -> Self {
        let result = if is_success { "success" } else { "failure" };
        Self { result }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct SignOutLabels {
    pub(super) scope: &'static str,
    pub(super) outcome: String,
}

impl SignOutLabels {
    pub(super) fn done(scope: SignOutScope) -> Self {
        Self {
            scope: scope.name(),
            outcome: "done".to_owned(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct SuspicionLabels {
    pub(super) kind: &'static str,
    pub(super) ended: &'static str,
}

impl SuspicionLabels {
    pub(super) const fn new(kind: suspicion::Kind, is_ended: bool) -> Self {
        Self {
            kind: kind.name(),
            ended: if is_ended { "true" } else { "false" },
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct EventLabels {
    pub(super) outcome: &'static str,
}
