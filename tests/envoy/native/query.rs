//! Tokens in the query and in cookies.

use serde_json::{Value, json};

use super::Requests;
use super::requests::{api, genuine};
use super::trials::usual;
use crate::support::Request;

pub(super) fn configuration() -> Value {
    let mut configuration = usual(json!({
        "from_params": ["token"],
        "from_cookies": ["session"],
        "from_headers": [{"name": "x-token"}],
        "claim_to_headers": [{"header_name": "x-user", "claim_name": "sub"}],
    }));
    configuration["rules"][2] =
        json!({"match": {"prefix": "/optional"}, "requires": {"allow_missing": {}}});
    configuration
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
            "a parameter in another spelling",
            get(format!("/optional?%20token={token}")),
        ),
        (
            "a parameter in another case",
            get(format!("/api?TOKEN={token}")),
        ),
        (
            "rubbish in a list of parameters",
            get("/optional?token[]=abc".to_owned()),
        ),
        (
            "rubbish behind a semicolon",
            get("/optional?a=1;token=abc".to_owned()),
        ),
        (
            "a cookie with a blank behind its name",
            cookie(format!("session ={token}")),
        ),
        (
            "a cookie with a blank before its value",
            cookie(format!("session= {token}")),
        ),
        (
            "a cookie behind a comma",
            cookie(format!("a=b, session={token}")),
        ),
        ("rubbish in a cookie with a blank", {
            get("/optional".to_owned()).header("cookie", "session =abc")
        }),
        ("rubbish in a cookie before a genuine one", {
            cookie(format!("session =abc; session={token}"))
        }),
        (
            "a header in another spelling",
            api().header("x_token", &token),
        ),
        ("rubbish in a header in another spelling", {
            get("/optional".to_owned()).header("x.token", "abc")
        }),
        (
            "the same header twice",
            api().header("x-token", &token).header("x-token", &token),
        ),
        ("access_token beside a genuine one", {
            get("/api?access_token=abc".to_owned()).header("x-token", &token)
        }),
        (
            "access_token where it is optional",
            get("/optional?access_token=abc".to_owned()),
        ),
        (
            "the same token twice",
            get(format!("/api?token={token}")).header("x-token", &token),
        ),
    ]
}
