//! Tokens in the query and in cookies.

use serde_json::{Value, json};

use super::Requests;
use super::requests::{api, genuine};
use super::trials::usual;
use crate::support::Request;

pub(super) fn configuration() -> Value {
    usual(json!({
        "from_params": ["token"],
        "from_cookies": ["session"],
        "from_headers": [{"name": "x-token"}],
        "claim_to_headers": [{"header_name": "x-user", "claim_name": "sub"}],
    }))
}

pub(super) fn requests() -> Requests {
    let token = genuine().to_string();
    let get = |target: String| Request::get(target);
    let cookie = |value: String| api().header("cookie", value);
    vec![
        ("a parameter", get(format!("/api?token={token}"))),
        (
            "a parameter among others",
            get(format!("/api?a=1&token={token}&b=2")),
        ),
        (
            "a parameter beside an encoded one",
            get(format!("/api?a=%26&token={token}")),
        ),
        (
            "two parameters, genuine first",
            get(format!("/api?token={token}&token=abc")),
        ),
        (
            "two parameters, genuine last",
            get(format!("/api?token=abc&token={token}")),
        ),
        ("a cookie", cookie(format!("session={token}; theme=dark"))),
        (
            "two cookies, genuine first",
            cookie(format!("session={token}; session=abc")),
        ),
        (
            "a cookie without a value",
            cookie("session=; theme=dark".to_owned()),
        ),
        (
            "the same token twice",
            get(format!("/api?token={token}")).header("x-token", &token),
        ),
    ]
}
