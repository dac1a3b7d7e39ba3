//! The headers that tell the upstream who is calling, as the operator wants them.

/// The standard set: what comes after the prefix, and the claim that it is taken from. If two
/// claims are named, the first that is present counts.
const STANDARD_SET: [(&str, &[&str]); 12] = [
    ("subject", &["sub"]),
    ("id", &["sid"]),
    ("issuer", &["iss"]),
    ("client", &["client_id", "azp"]),
    ("token-id", &["jti"]),
    ("audience", &["aud"]),
    ("scope", &["scope", "scp"]),
    ("expires-at", &["exp"]),
    ("issued-at", &["iat"]),
    ("authenticated-at", &["auth_time"]),
    ("authentication-class", &["acr"]),
    ("authentication-methods", &["amr"]),
];

/// How many of these say who is calling. They come first.
const IDENTITIES: usize = 5;

/// The header with the provider's name, after the prefix.
const PROVIDER: &str = "provider";

/// The header with the thumbprint of what the token is bound to, after the prefix.
const KEY: &str = "key";

/// One entry of `claim_to_headers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gate) struct ClaimHeader {
    /// Name in lower case.
    pub(in crate::gate) header: String,
    /// Names of the members that lead to the value, outermost first.
    pub(in crate::gate) path: Vec<String>,
    pub(in crate::gate) form: Form,
}

/// Where the claims set goes as a whole (`forward_payload_header`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gate) struct PayloadHeader {
    /// Name in lower case.
    pub(in crate::gate) name: String,
    /// Whether the base64 is padded.
    pub(in crate::gate) is_padded: bool,
}

/// How lists and objects are written into a header. Text and scalars are written as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gate) enum Form {
    /// Base64 of their JSON, as `jwt_authn` does.
    Base64,
    /// Their JSON, in ASCII.
    Json,
    /// Lists of scalars with commas between them. Other values, and elements that have a comma or
    /// are empty, refuse the request: an upstream could not tell them apart again.
    Comma,
}

/// The standard set under one prefix, with the names made once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gate) struct SessionHeaders {
    /// What all of them begin with, in lower case.
    pub(in crate::gate) prefix: String,
    names: Vec<String>,
    pub(in crate::gate) unfit: Unfit,
}

/// One header of the standard set that is taken from a claim.
#[derive(Clone, Copy, Debug)]
pub(in crate::gate) struct StandardHeader {
    /// The claims that it is taken from; the first that is present counts.
    pub(in crate::gate) claims: &'static [&'static str],
    /// Whether it says who is calling.
    pub(in crate::gate) is_identity: bool,
}

/// What becomes of a request when a header of the standard set cannot carry its claim unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gate) enum Unfit {
    /// It is refused.
    Refuse,
    /// It goes on without the header, unless the header says who is calling: without it, one user
    /// could look like another.
    Omit,
}

impl SessionHeaders {
    pub(in crate::gate) fn new(prefix: &str, unfit: Unfit) -> Self {
        let prefix = prefix.to_ascii_lowercase();
        let suffixes = STANDARD_SET.iter().map(|(suffix, _)| *suffix);
        let names = suffixes.chain([PROVIDER, KEY]);
        Self {
            names: names.map(|suffix| format!("{prefix}{suffix}")).collect(),
            prefix,
            unfit,
        }
    }

    /// Names of all headers of the set; those of provider and key are the last.
    pub(in crate::gate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The headers of every set but those two, in the order of their names.
    pub(in crate::gate) fn standard() -> impl Iterator<Item = StandardHeader> {
        let set = STANDARD_SET.iter().enumerate();
        set.map(|(index, (_, claims))| StandardHeader {
            claims,
            is_identity: index < IDENTITIES,
        })
    }
}
