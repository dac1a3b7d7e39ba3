//! The `OpenAPI` description of the interface, apart from what is written at the routes.

use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

use super::ProblemBody;
use crate::authority::credentials::Permission;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Portcullis revocation authority",
        description = "Remembers which tokens, sessions, devices, subjects, clients and issuers \
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
    document.to_string()
}

/// Adds the answers that every route with a credential can give: unknown credential, wrong role,
/// too many connections.
fn describe_refusals(document: &mut Value) {
    let problem = |description| {
        let schema = json!({"$ref": "#/components/schemas/ProblemBody"});
        let content = json!({"application/problem+json": {"schema": schema}});
        json!({"description": description, "content": content})
    };
    for operation in operations(document) {
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
            let busy = "Too many connections";
            responses.entry("503").or_insert_with(|| problem(busy));
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
    let only_cut_offs = ["not_before", "except_session"];
    let unrotated = |mut kind: Value| {
        if let Some(Value::Object(properties)) = kind.get_mut("properties") {
            properties.insert("rotated".to_owned(), json!({"enum": [false]}));
        }
        kind
    };
    let revocation = json!([
        named(json!(["token"]), &only_cut_offs),
        unrotated(named(json!(["session", "device"]), &only_cut_offs)),
        unrotated(named(json!(["subject", "client"]), &["subject"])),
        unrotated(issuer(&["value", "subject"])),
    ]);
    let restoration = json!([named(all, &[]), issuer(&["value"])]);
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

/// Members that have to be absent, or null.
fn forbid(properties: &mut Value, names: &[&str]) {
    if let Value::Object(properties) = properties {
        for name in names {
            properties.insert((*name).to_owned(), json!({"type": "null"}));
        }
    }
}

/// Numbers in queries use all 64 bits; those in bodies are below 2^63.
fn describe_numbers(document: &mut Value) {
    for operation in operations(document) {
        let parameters = operation
            .get_mut("parameters")
            .and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten() {
            if let Some(schema) = parameter.get_mut("schema")
                && schema["format"] == "int64"
            {
                schema["format"] = "uint64".into();
                schema["maximum"] = u64::MAX.into();
            }
        }
    }
}

fn operations(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    let paths = paths.into_iter().flat_map(serde_json::Map::values_mut);
    paths
        .filter_map(Value::as_object_mut)
        .flat_map(serde_json::Map::values_mut)
}
