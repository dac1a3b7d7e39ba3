//! The `OpenAPI` description of the interface, apart from what is written at the routes.

use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

use super::ProblemBody;
use crate::authority::credentials::Permission;
use crate::authority::sessions::suspicion::{EVENT, Kind};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Portcullis revocation authority",
        description = "Remembers which tokens, sessions, devices, subjects, clients, issuers and claims \
                       were revoked, and tells every edge. Answers that refuse are 400 where a \
                       request is not as it is described, and 422 where it is and something in it \
                       is out of bounds that no description can tell, such as a time too far from \
                       now or a name of too many bytes."
    ),
    modifiers(&Security),
    components(schemas(ProblemBody))
)]
pub(super) struct Description;

struct Security;

impl utoipa::Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = |text: &str| {
            let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
            SecurityScheme::Http(bearer.description(Some(text)).build())
        };
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("admin", scheme("A credential with the role `admin`"));
        components.add_security_scheme(
            "viewer",
            scheme("A credential with the role `viewer` or `admin`"),
        );
        components.add_security_scheme(
            "edge",
            scheme("A credential with the role `edge` or `admin`"),
        );
        for permission in Permission::ALL.map(Permission::name) {
            let text = format!("A credential with `edge+{permission}`, or with the role `admin`");
            components.add_security_scheme(format!("edge-{permission}"), scheme(&text));
        }
        components.add_security_scheme(
            "scrape",
            scheme("A credential with the role `scrape` or `admin`"),
        );
    }
}

/// The whole description as JSON, including what cannot be written at a route or type.
pub(super) fn complete(document: &utoipa::openapi::OpenApi) -> String {
    // A document that cannot be written as JSON does not exist.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    describe_refusals(&mut document);
    describe_kinds(&mut document);
    describe_numbers(&mut document);
    describe_webhook(&mut document);
    document.to_string()
}

/// The page that is answered whatever is known of the database.
const METRICS_PATH: &str = "/metrics";

/// Adds the answers that every route with a credential can give: unknown credential, wrong role,
/// too many connections, a database that is away.
fn describe_refusals(document: &mut Value) {
    let problem = |description: &str| {
        let schema = json!({"$ref": "#/components/schemas/ProblemBody"});
        let content = json!({"application/problem+json": {"schema": schema}});
        json!({"description": description, "content": content})
    };
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    let operations = paths.into_iter().flatten().flat_map(|(path, methods)| {
        let methods = methods.as_object_mut().into_iter().flatten();
        methods.map(move |(_, operation)| (path.as_str(), operation))
    });
    for (path, operation) in operations {
        let is_guarded = operation.pointer("/security/0").and_then(Value::as_object);
        if is_guarded.is_none_or(serde_json::Map::is_empty) {
            continue;
        }
        if let Some(responses) = operation
            .get_mut("responses")
            .and_then(Value::as_object_mut)
        {
            let refused = "The credential is not known (401) or not enough (403), or the request \
                           is not in order";
            responses.entry("4XX").or_insert_with(|| problem(refused));
            let mut busy = "`too_many_connections`".to_owned();
            if path != METRICS_PATH {
                busy.push_str(
                    ". `database_away`: this authority has not seen the database that the store is \
                     in for as long as `--lease`",
                );
            }
            match responses.get_mut("503") {
                Some(response) => {
                    let own = response["description"].as_str().unwrap_or_default();
                    response["description"] = format!("{own}. {busy}").into();
                }
                None => {
                    responses.insert("503".to_owned(), problem(&busy));
                }
            }
        }
    }
}

/// Which members each kind allows and requires.
fn describe_kinds(document: &mut Value) {
    let text = json!({"type": "string", "minLength": 1});
    let named = |kinds: Value, absent: &[&str]| {
        let mut properties = json!({"kind": {"enum": kinds}, "value": text});
        forbid(&mut properties, absent);
        json!({"properties": properties, "required": ["value"]})
    };
    let issuer = |absent: &[&str]| {
        let mut properties = json!({"kind": {"enum": ["issuer"]}});
        forbid(&mut properties, absent);
        json!({"properties": properties})
    };
    let all = json!(["token", "session", "device", "subject", "client"]);
    // Each with what it is never given, and what is never true of it.
    let never = |mut kind: Value, flags: &[&str]| {
        if let Some(Value::Object(properties)) = kind.get_mut("properties") {
            for flag in flags {
                properties.insert((*flag).to_owned(), json!({"enum": [false]}));
            }
        }
        kind
    };
    let qualified = |mut kind: Value, qualifier: &str| {
        require(&mut kind, qualifier, text.clone());
        kind
    };
    let plain = ["claim", "client"];
    let with = |more: &[&'static str]| [&plain[..], more].concat();
    let uncut = with(&["not_before", "except_session"]);
    let cut = with(&["subject"]);
    let mut until = never(
        named(json!(["session"]), &with(&["except_session"])),
        &["rotated"],
    );
    require(&mut until, "until_sign_in", json!({"enum": [true]}));
    let flags = ["rotated", "until_sign_in"];
    let revocation = json!([
        never(named(json!(["token"]), &uncut), &["until_sign_in"]),
        never(named(json!(["session", "device"]), &uncut), &flags),
        until,
        never(named(json!(["subject", "client"]), &cut), &flags),
        never(issuer(&with(&["value", "subject"])), &flags),
        never(
            qualified(named(json!(["claim"]), &["client", "subject"]), "claim"),
            &flags
        ),
        never(
            qualified(
                named(json!(["subject_and_client"]), &["claim", "subject"]),
                "client"
            ),
            &flags
        ),
    ]);
    let restoration = json!([
        named(all, &plain),
        issuer(&with(&["value"])),
        qualified(named(json!(["claim"]), &["client"]), "claim"),
        qualified(named(json!(["subject_and_client"]), &["claim"]), "client"),
    ]);
    let reported = |name: &str, other: &str| {
        let mut properties = json!({name: text});
        forbid(&mut properties, &[other]);
        json!({"properties": properties, "required": [name]})
    };
    let report = json!([reported("sid", "jti"), reported("jti", "sid")]);
    for (name, alternatives) in [
        ("Report", report),
        ("RevocationRequest", revocation),
        ("RestorationRequest", restoration),
    ] {
        let schema = document.pointer_mut(&format!("/components/schemas/{name}"));
        if let Some(Value::Object(schema)) = schema {
            schema.insert("oneOf".to_owned(), alternatives);
        }
    }
}

/// One more member that has to be there, and what it has to be.
fn require(kind: &mut Value, name: &str, schema: Value) {
    if let Some(Value::Object(properties)) = kind.get_mut("properties") {
        properties.insert(name.to_owned(), schema);
    }
    if let Some(Value::Array(required)) = kind.get_mut("required") {
        required.push(name.into());
    }
}

/// Members that have to be absent, or null.
fn forbid(properties: &mut Value, names: &[&str]) {
    if let Value::Object(properties) = properties {
        for name in names {
            properties.insert((*name).to_owned(), json!({"type": "null"}));
        }
    }
}

/// Numbers without a sign are described as such, with the largest one that they can be: `int32` and `int64`
/// would end at half of it.
fn describe_numbers(described: &mut Value) {
    match described {
        Value::Object(members) => {
            let width = match members.get("format").and_then(Value::as_str) {
                Some("int32") => Some(("uint32", u64::from(u32::MAX))),
                Some("int64") => Some(("uint64", u64::MAX)),
                _ => None,
            };
            if let Some((format, largest)) = width
                && members.get("minimum").is_some_and(Value::is_u64)
            {
                members.insert("format".to_owned(), format.into());
                members.entry("maximum").or_insert(largest.into());
            }
            members.values_mut().for_each(describe_numbers);
        }
        Value::Array(items) => items.iter_mut().for_each(describe_numbers),
        _ => {}
    }
}

/// What the receiver of the webhook gets: the other direction, which no route describes.
fn describe_webhook(document: &mut Value) {
    let text = json!({"type": "string"});
    let header = |name: &str, description: &str| {
        json!({"name": name, "in": "header", "required": true, "schema": text,
               "description": description})
    };
    let post = json!({
        "summary": "Sent to `webhook.url` of the authority's file, signed as Standard Webhooks has it",
        "parameters": [
            header("webhook-id", "The same in every attempt"),
            header("webhook-timestamp", "Of the attempt, in seconds since 1970"),
            header("webhook-signature", "`v1,` and the HMAC-SHA256 of id, timestamp and body in \
                                         Base64; two of them while a secret is replaced"),
        ],
        "requestBody": {
            "required": true,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/SuspicionEvent"}}},
        },
        "responses": {
            "2XX": {"description": "Delivered"},
            "400": {"description": "Never sent again; so are 410, 413, 415 and 422"},
            "default": {"description": "Sent again later, for an hour"},
        },
    });
    if let Some(schemas) = document.pointer_mut("/components/schemas") {
        schemas["SuspicionEvent"] = suspicion_event();
    }
    if let Value::Object(document) = document {
        document.insert("webhooks".to_owned(), json!({EVENT: {"post": post}}));
    }
}

fn suspicion_event() -> Value {
    let text = json!({"type": "string"});
    let number = json!({"type": "integer", "minimum": 0});
    json!({
        "type": "object",
        "description": "A session looks stolen. More members may be added.",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"const": EVENT},
            "timestamp": {"type": "string", "format": "date-time", "description": "When it was found"},
            "data": {
                "type": "object",
                "required": ["kind", "evidence", "ended", "session"],
                "properties": {
                    "kind": {"enum": Kind::ALL.map(Kind::name)},
                    "evidence": {
                        "type": "object",
                        "required": ["text", "minutes"],
                        "properties": {
                            "text": text,
                            "networks": {"type": "array", "items": text},
                            "changes": number,
                            "requests_per_minute": number,
                            "usual_requests_per_minute": number,
                            "minutes": number,
                        },
                    },
                    "ended": {"type": "boolean", "description": "Whether the session was revoked for it"},
                    "session": {"$ref": "#/components/schemas/SessionAnswer"},
                },
            },
        },
    })
}

/// Every operation of a description.
pub(in crate::authority) fn operations_in(
    document: &mut Value,
) -> impl Iterator<Item = &mut Value> {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    let paths = paths.into_iter().flat_map(serde_json::Map::values_mut);
    paths
        .filter_map(Value::as_object_mut)
        .flat_map(serde_json::Map::values_mut)
}
