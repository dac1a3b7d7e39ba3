//! Which workloads a resource of Istio is for.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::cli::convert::item::Item;

/// Where Istio keeps what counts for every namespace, unless it was installed otherwise.
const ROOT_NAMESPACE: &str = "istio-system";

/// A class of gateways: all waypoints are of one.
const CLASS: &str = "GatewayClass";

/// Which workloads a resource is for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    namespace: String,
    /// Labels, all of which they have.
    labels: Map<String, Value>,
    /// What they are behind (`targetRefs`), one of these; anything if there are none.
    references: BTreeSet<Reference>,
}

/// Something that workloads are behind: a gateway or a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Reference {
    namespace: String,
    kind: String,
    /// All of it in one spelling: without the group if that is the core one.
    spelling: String,
}

impl Reference {
    fn of(one: &Item<'_>, namespace: &str) -> Self {
        one.refuse_others(&["group", "kind", "name", "namespace", "sectionName"]);
        let mut members = one.value.clone();
        if let Some(members) = members.as_object_mut() {
            members.retain(|name, value| name != "group" || *value != "");
        }
        let reference = Self {
            namespace: namespace.to_owned(),
            kind: one.text_of("kind").unwrap_or_default(),
            spelling: members.to_string(),
        };
        if reference.kind == CLASS && !reference.is_everywhere() {
            one.opens(format!(
                "Istio heeds a `{CLASS}` in its root namespace only, which is taken to be \
                 `{ROOT_NAMESPACE}`; if this is the root namespace, what it closes elsewhere may be \
                 OPEN; hint: write `{ROOT_NAMESPACE}` in its place, and convert again"
            ));
        }
        reference
    }

    /// Whether these are the waypoints of every namespace.
    fn is_everywhere(&self) -> bool {
        self.kind == CLASS && self.namespace == ROOT_NAMESPACE
    }

    /// Whether all that is behind the other one is behind this one. Services have only waypoints
    /// before them; of a `Gateway`, its own resource says whether it is a waypoint.
    fn includes(&self, other: &Self) -> bool {
        let is_behind_waypoints = matches!(&*other.kind, "Service" | "ServiceEntry");
        self == other || (self.is_everywhere() && is_behind_waypoints)
    }

    /// Whether something may be behind both: a service behind a gateway, for instance.
    fn may_share(&self, other: &Self) -> bool {
        let is_near =
            self.namespace == other.namespace || self.is_everywhere() || other.is_everywhere();
        self == other || (is_near && self.kind != other.kind)
    }
}

impl Target {
    pub(super) fn of(resource: &Item<'_>) -> Self {
        let namespace = resource
            .member("metadata")
            .and_then(|metadata| metadata.text_of("namespace"))
            .unwrap_or_default();
        let spec = resource.member("spec");
        let selector = spec.as_ref().and_then(|spec| spec.member("selector"));
        let labels = selector.and_then(|selector| {
            selector.refuse_others(&["matchLabels"]);
            selector.member("matchLabels")?.value.as_object().cloned()
        });
        let references = spec.iter().flat_map(|spec| {
            let keys = ["targetRef", "targetRefs"].into_iter();
            keys.flat_map(|key| spec.list(key))
        });
        Self {
            labels: labels.unwrap_or_default(),
            references: references
                .map(|one| Reference::of(&one, &namespace))
                .collect(),
            namespace,
        }
    }

    /// Whether a resource for this target applies to every workload of the other one.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let mut labels = self.labels.iter();
        let by_namespace = if self.references.is_empty() {
            self.is_everywhere() || self.namespace == other.namespace
        } else {
            let is_included =
                |other: &Reference| self.references.iter().any(|own| own.includes(other));
            !other.references.is_empty() && other.references.iter().all(is_included)
        };
        by_namespace && labels.all(|(name, value)| other.labels.get(name) == Some(value))
    }

    /// Whether both may apply to one workload.
    pub(super) fn may_meet(&self, other: &Self) -> bool {
        let mut labels = self.labels.iter();
        let by_namespace = if self.references.is_empty() || other.references.is_empty() {
            let is_near = self.namespace == other.namespace;
            is_near || self.is_everywhere() || other.is_everywhere()
        } else {
            let mut own = self.references.iter();
            own.any(|own| other.references.iter().any(|other| own.may_share(other)))
        };
        by_namespace
            && labels.all(|(name, value)| other.labels.get(name).is_none_or(|own| own == value))
    }

    /// Whether something of it is in every namespace. In the root one, labels choose among the
    /// workloads of all of them, and references do not, unless they are to a class of gateways.
    fn is_everywhere(&self) -> bool {
        let mut references = self.references.iter();
        references.any(Reference::is_everywhere)
            || (self.namespace == ROOT_NAMESPACE && self.references.is_empty())
    }

    pub(super) fn name(&self) -> String {
        let namespace = match self.namespace.as_str() {
            _ if self.references.iter().any(Reference::is_everywhere) => {
                "every namespace".to_owned()
            }
            "" => "the namespace it is applied to".to_owned(),
            namespace => format!("namespace {namespace}"),
        };
        let labels = self.labels.iter().map(|(name, value)| match value {
            Value::String(value) => format!("{name}={value}"),
            other => format!("{name}={other}"),
        });
        let references = self.references.iter();
        let references = references.map(|reference| reference.spelling.clone());
        let chosen: Vec<_> = labels.chain(references).collect();
        if chosen.is_empty() {
            return format!("all workloads of {namespace}");
        }
        format!("workloads of {namespace} with {}", chosen.join(", "))
    }
}
