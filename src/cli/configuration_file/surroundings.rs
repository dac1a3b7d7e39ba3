//! The surroundings of a plugin configuration that decide whether it takes effect: what happens to
//! requests when the filter fails, which variables it sees, which clusters exist.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::cluster::{self, ClusterFinding};
use super::{HolderKind, joined};
use crate::cli::yaml::plain;
use crate::configuration::{Variable, boolean};

/// The surroundings of one plugin configuration, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surroundings {
    /// The variables of its virtual machine; `None` if the file does not list them.
    variables: Option<BTreeMap<String, Origin>>,
    clusters: Clusters,
    /// The names of all routes; `None` where others may be added while Envoy runs.
    routes: Option<Vec<String>>,
    /// What happens to clients' certificates; `None` where the file does not tell.
    certificates: Option<Certificates>,
    /// Whether Envoy itself certainly says by which scheme a client has come.
    writes_forwarded_proto: bool,
    /// What opens the API, whatever the configuration says: path in the file and message.
    pub openings: Vec<(String, &'static str)>,
}

/// Where the value of a variable comes from.
#[derive(Clone, Debug, PartialEq)]
enum Origin {
    /// It is written in the file.
    File(String),
    /// It is in Envoy's own environment.
    Host,
}

/// Which clusters the file defines.
#[derive(Clone, Debug, Default, PartialEq)]
enum Clusters {
    /// None, since the file is no bootstrap.
    #[default]
    Elsewhere,
    /// These, and others that Envoy learns of while it runs.
    Dynamic(Vec<Value>),
    /// These and no others.
    Static(Vec<Value>),
}

/// What becomes of clients' certificates on the way to the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Certificates {
    /// Whether the listener asks for them.
    are_asked_for: bool,
    /// Whether it may take one that no authority it trusts has issued.
    are_unverified: bool,
    /// Whether what proxies in front say of theirs gets to the filter.
    are_forwarded: bool,
}

impl Surroundings {
    /// The surroundings of what this object configures, which has this path and is inside of
    /// `ancestors`, the outermost first.
    pub(super) fn of(
        kind: HolderKind,
        holder: &Map<String, Value>,
        path: &str,
        ancestors: &[(String, &Value)],
    ) -> Self {
        let document = ancestors.first().map_or(&Value::Null, |(_, value)| value);
        let mut openings = when_it_fails(holder, path);
        if kind == HolderKind::Envoy {
            openings.extend(when_it_is_left_out(document, ancestors));
        }
        Self {
            variables: variables(kind, holder),
            clusters: Clusters::of(document),
            routes: routes(document),
            certificates: (kind == HolderKind::Envoy)
                .then(|| Certificates::of(ancestors))
                .flatten(),
            writes_forwarded_proto: kind == HolderKind::Envoy && writes_forwarded_proto(ancestors),
            openings,
        }
    }

    /// Whether there is certainly no route of this name.
    #[must_use]
    pub fn lacks_route(&self, name: &str) -> bool {
        let mut routes = self.routes.iter();
        routes.any(|routes| !routes.iter().any(|known| known == name))
    }

    /// Whether the listener certainly asks no client for a certificate.
    #[must_use]
    pub fn asks_for_no_certificate(&self) -> bool {
        let certificates = self.certificates;
        certificates.is_some_and(|certificates| !certificates.are_asked_for)
    }

    /// Whether `x-forwarded-proto` certainly says how the client of this Envoy has come, whatever a proxy in front
    /// has written there.
    #[must_use]
    pub const fn writes_forwarded_proto(&self) -> bool {
        self.writes_forwarded_proto
    }

    /// Whether the listener takes certificates with any names, and verifies none.
    #[must_use]
    pub fn takes_unverified_certificates(&self) -> bool {
        let certificates = self.certificates;
        certificates.is_some_and(|it| it.are_asked_for && it.are_unverified)
    }

    /// Whether `x-forwarded-client-cert` certainly is removed before the filter sees it.
    #[must_use]
    pub fn removes_forwarded_certificates(&self) -> bool {
        let certificates = self.certificates;
        certificates.is_some_and(|certificates| !certificates.are_forwarded)
    }

    /// A variable of the virtual machine; `host` looks one up in Envoy's environment.
    pub fn variable(&self, name: &str, host: impl Fn(&str) -> Variable) -> Variable {
        let Some(variables) = &self.variables else {
            return host(name);
        };
        match variables.get(name) {
            None => Variable::Unset,
            Some(Origin::File(value)) => Variable::Set(value.clone()),
            Some(Origin::Host) => host(name),
        }
    }

    /// The finding about a cluster with this name.
    #[must_use]
    pub fn cluster(&self, name: &str) -> Option<ClusterFinding> {
        let (clusters, is_whole) = match &self.clusters {
            Clusters::Elsewhere => return None,
            Clusters::Dynamic(clusters) => (clusters, false),
            Clusters::Static(clusters) => (clusters, true),
        };
        let mut clusters = clusters.iter();
        match clusters.find(|cluster| cluster.get("name").is_some_and(|known| known == name)) {
            Some(cluster) => cluster::finding(cluster),
            None if is_whole => Some(ClusterFinding::Missing),
            None => Some(ClusterFinding::Unknown),
        }
    }
}

/// Envoy's `use_remote_address` without trusted hops in front.
fn writes_forwarded_proto(ancestors: &[(String, &Value)]) -> bool {
    let mut around = ancestors.iter().rev();
    let Some((_, manager)) = around.find(|(_, one)| member(one, "http_filters").is_some()) else {
        return false;
    };
    let hops = member(manager, "xff_num_trusted_hops");
    let has_hops = hops.is_some_and(|hops| *hops != 0 && hops.as_str() != Some("0"));
    // Extensions may trust proxies in another way.
    let has_extensions = member(manager, "original_ip_detection_extensions").is_some();
    member(manager, "use_remote_address").is_some_and(is_true) && !has_hops && !has_extensions
}

impl Certificates {
    /// By the connection manager that the filter is in, and the filter chain that this one is in.
    fn of(ancestors: &[(String, &Value)]) -> Option<Self> {
        // Without one of these in its validation context, Envoy asks for none. Of what comes by SDS, nothing is
        // known.
        const ASKING: [&str; 5] = [
            "trustedca",
            "verifycertificatespki",
            "verifycertificatehash",
            "validationcontextsdssecretconfig",
            "customvalidatorconfig",
        ];
        let holder_of = |key| {
            let mut around = ancestors.iter().rev();
            around.find(|(_, one)| member(one, key).is_some())
        };
        let (_, manager) = holder_of("http_filters")?;
        let (_, chain) = holder_of("filters")?;
        let socket = member(chain, "transport_socket").unwrap_or(&Value::Null);
        let what = member(manager, "forward_client_cert_details").unwrap_or(&Value::Null);
        let text = what.as_str().unwrap_or_default();
        let is = |name: &str, number: u8| {
            text.eq_ignore_ascii_case(name) || *what == number || text == number.to_string()
        };
        Some(Self {
            are_asked_for: accepts_untrusted(socket)
                || ASKING.iter().any(|key| has_inside(socket, key)),
            are_unverified: accepts_untrusted(socket),
            are_forwarded: is("FORWARD_ONLY", 1)
                || is("APPEND_FORWARD", 2)
                || is("ALWAYS_FORWARD_ONLY", 4),
        })
    }
}

/// Whether certificates are accepted whose chain leads to no authority that is trusted.
fn accepts_untrusted(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(name, inner)| {
            let text = inner.as_str().unwrap_or_default();
            let is_accepting =
                text.eq_ignore_ascii_case("ACCEPT_UNTRUSTED") || text == "1" || *inner == 1;
            (plain(name) == "trustchainverification" && is_accepting) || accepts_untrusted(inner)
        }),
        Value::Array(elements) => elements.iter().any(accepts_untrusted),
        _ => false,
    }
}

/// Whether there is a member of this name, which is plain, however deep inside.
fn has_inside(value: &Value, key: &str) -> bool {
    match value {
        Value::Object(members) => {
            let mut members = members.iter();
            members.any(|(name, inner)| plain(name) == key || has_inside(inner, key))
        }
        Value::Array(elements) => elements.iter().any(|inner| has_inside(inner, key)),
        _ => false,
    }
}

impl Clusters {
    fn of(document: &Value) -> Self {
        let Some(resources) = member(document, "static_resources") else {
            return Self::Elsewhere;
        };
        let clusters = member(resources, "clusters").map(elements);
        let clusters = clusters.unwrap_or_default().to_vec();
        let dynamic = member(document, "dynamic_resources");
        let source = dynamic.and_then(|dynamic| member(dynamic, "cds_config"));
        if source.is_some() {
            Self::Dynamic(clusters)
        } else {
            Self::Static(clusters)
        }
    }
}

/// The keys of Envoy, Istio and Envoy Gateway that decide what happens to requests when the filter
/// fails.
fn when_it_fails(holder: &Map<String, Value>, path: &str) -> Vec<(String, &'static str)> {
    let opens = |(name, value): &(&String, &Value)| match plain(name).as_str() {
        // Protobuf's JSON takes the number of a value for its name, and Envoy any case.
        "failurepolicy" => {
            let text = value.as_str().unwrap_or_default();
            text.eq_ignore_ascii_case("FAIL_OPEN") || text == "3" || **value == 3
        }
        "failstrategy" => **value == "FAIL_OPEN",
        "failopen" => is_true(value),
        _ => false,
    };
    let message = "every request goes through unchecked while the filter cannot be loaded or has \
                   crashed; hint: leave it out, which fails closed";
    let found = holder.iter().filter(opens);
    found
        .map(|(name, _)| (joined(path, name), message))
        .collect()
}

/// The keys of Envoy's HTTP filter, and those of its routes.
fn when_it_is_left_out(
    document: &Value,
    ancestors: &[(String, &Value)],
) -> Vec<(String, &'static str)> {
    let mut openings = Vec::new();
    let mut around = ancestors.iter().rev();
    let Some((path, filter)) = around.find(|(_, one)| member(one, "typed_config").is_some()) else {
        return openings;
    };
    for (key, message) in [
        (
            "disabled",
            "the filter is off for every route that does not switch it on",
        ),
        (
            "is_optional",
            "an Envoy that cannot run the filter leaves it out, and every request goes through",
        ),
    ] {
        if member(filter, key).is_some_and(is_true) {
            openings.push((joined(path, key), message));
        }
    }
    if let Some(name) = filter.get("name").and_then(Value::as_str) {
        switched_off(document, "", name, &mut openings);
    }
    openings
}

/// Routes, hosts and the like that switch the filter of this name off.
fn switched_off(value: &Value, path: &str, name: &str, openings: &mut Vec<(String, &'static str)>) {
    match value {
        Value::Object(members) => {
            for (key, inner) in members {
                let path = joined(path, key);
                let settings = inner.get(name).filter(|settings| {
                    plain(key) == "typedperfilterconfig"
                        && settings.get("disabled").is_some_and(is_true)
                });
                if settings.is_some() {
                    let message = "the filter is off here, and headers that only it may set go \
                                   through as clients send them; hint: a requirement `{}` in \
                                   `requirement_map`, which `requirement_by_route_name` chooses";
                    openings.push((format!("{path}[\"{name}\"].disabled"), message));
                }
                switched_off(inner, &path, name, openings);
            }
        }
        Value::Array(elements) => {
            for (index, inner) in elements.iter().enumerate() {
                switched_off(inner, &format!("{path}[{index}]"), name, openings);
            }
        }
        _ => {}
    }
}

/// Whether Envoy reads it as `true`: protobuf's JSON takes it in quotes too, and has more words for
/// it there.
fn is_true(value: &Value) -> bool {
    boolean(value) == Some(true)
}

fn variables(kind: HolderKind, holder: &Map<String, Value>) -> Option<BTreeMap<String, Origin>> {
    let mut variables = BTreeMap::new();
    let mut add_hosts = |names: Option<&Value>| {
        let names = names.map(elements).unwrap_or_default().iter();
        let names = names.filter_map(Value::as_str);
        variables.extend(names.map(|name| (name.to_owned(), Origin::Host)));
    };
    match kind {
        HolderKind::Envoy => {
            let machine = holder.get("vm_config").or_else(|| holder.get("vmConfig"))?;
            let environment = member(machine, "environment_variables").unwrap_or(&Value::Null);
            add_hosts(member(environment, "host_env_keys"));
            let written = member(environment, "key_values").and_then(Value::as_object);
            variables.extend(written.into_iter().flatten().filter_map(|(name, value)| {
                Some((name.clone(), Origin::File(value.as_str()?.to_owned())))
            }));
        }
        HolderKind::Istio => {
            let machine = holder.get("vmConfig").unwrap_or(&Value::Null);
            let list = machine.get("env").and_then(Value::as_array);
            variables.extend(list.into_iter().flatten().filter_map(|entry| {
                let name = entry.get("name")?.as_str()?.to_owned();
                let is_of_the_host = entry.get("valueFrom").is_some_and(|from| from == "HOST");
                let value = entry.get("value").and_then(Value::as_str);
                let value = Origin::File(value.unwrap_or_default().to_owned());
                Some((name, if is_of_the_host { Origin::Host } else { value }))
            }));
        }
        HolderKind::EnvoyGateway => {
            add_hosts(holder.get("env").and_then(|env| env.get("hostKeys")));
        }
    }
    Some(variables)
}

/// The routes of a bootstrap in which no listener gets its routes while it runs.
fn routes(document: &Value) -> Option<Vec<String>> {
    fn collect(value: &Value, names: &mut Vec<String>) -> Option<()> {
        match value {
            Value::Object(members) => {
                for (key, inner) in members {
                    match plain(key).as_str() {
                        "rds" | "scopedroutes" | "vhds" => return None,
                        "routes" => {
                            let routes = elements(inner).iter();
                            let found = routes.filter_map(|route| route.get("name")?.as_str());
                            names.extend(found.map(str::to_owned));
                        }
                        _ => {}
                    }
                    collect(inner, names)?;
                }
            }
            Value::Array(elements) => {
                for inner in elements {
                    collect(inner, names)?;
                }
            }
            _ => {}
        }
        Some(())
    }
    let resources = member(document, "static_resources")?;
    let mut names = Vec::new();
    collect(resources, &mut names)?;
    Some(names)
}

/// A member by its name in snake case, or in the camel case that Envoy takes as well.
pub(super) fn member<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    let members = value.as_object()?;
    let mut members = members.iter();
    let found = members.find(|(name, _)| plain(name) == plain(key));
    found.map(|(_, member)| member)
}

/// The elements of a list. Protobuf's JSON takes a single one for a list.
pub(super) const fn elements(value: &Value) -> &[Value] {
    match value {
        Value::Array(elements) => elements.as_slice(),
        Value::Null => &[],
        one => std::slice::from_ref(one),
    }
}
