//! The plugin configuration that most tests start from.

use serde_json::{Value, json};

use super::keys::jwks;
use super::token::{AUDIENCE, ISSUER};

/// One provider, `demo`, with a key of each algorithm. Everything under `/public` is open,
/// everything under `/api` needs a token, and no rule matches anything else.
pub(crate) fn configuration() -> Value {
    json!({
        "providers": {
            "demo": {
                "issuer": ISSUER,
                "audiences": [AUDIENCE],
                "local_jwks": {"inline_string": jwks(&["rs256", "es256", "eddsa"])},
            },
        },
        "rules": [
            {"match": {"prefix": "/public"}},
            {"match": {"prefix": "/api"}, "requires": {"provider_name": "demo"}},
        ],
    })
}
