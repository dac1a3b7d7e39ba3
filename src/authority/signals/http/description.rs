//! The `OpenAPI` description of the listener, apart from what is written at the routes.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, OpenApi, ToSchema as _};

use super::ErrorAnswer;
use crate::authority::http::operations_in;
use crate::revocation::MAX_NAME_BYTES;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Portcullis receivers of signals",
        description = "What identity providers, transmitters of security events and OAuth clients \
                       reach of a revocation authority. A body is at most as long as `limits.body` \
                       of the signals file, 65536 bytes where it says nothing; a longer one is 400, \
                       and so is one of another media type. What is answered 429 or 503 may be sent \
                       again, and with 503 it may have been carried out all the same. Paths that are \
                       not described are 404, and other methods 405, with the same body as 400."
    ),
    modifiers(&Security),
    components(schemas(ErrorAnswer))
)]
pub(super) struct Description;

struct Security;

impl utoipa::Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = |scheme, text: &str| {
            let http = HttpBuilder::new().scheme(scheme).description(Some(text));
            SecurityScheme::Http(http.build())
        };
        let caller = "A JWT that the issuer of the path has signed for this one request, or the \
                      secret that its `credential` names";
        let client = "Client id and secret, both form-encoded (`client_secret_basic`). A client can \
                      show who it is in the form as well";
        let stream = "All of the value in the stream's `authorization`, where it has one";
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("caller", scheme(HttpAuthScheme::Bearer, caller));
        components.add_security_scheme("client", scheme(HttpAuthScheme::Basic, client));
        let value = ApiKeyValue::with_description("Authorization", stream);
        components.add_security_scheme("stream", SecurityScheme::ApiKey(ApiKey::Header(value)));
    }
}

/// What is not carried out at present.
pub(in crate::authority::signals) struct NotNow;

impl IntoResponses for NotNow {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let schema = Ref::from_schema_name(ErrorAnswer::name());
        let content = ContentBuilder::new().schema(Some(schema)).build();
        not_now(|response| response.content("application/json", content.clone()))
    }
}

/// The same, with nothing in the body.
pub(super) struct SilentlyNotNow;

impl IntoResponses for SilentlyNotNow {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        not_now(|response| response)
    }
}

fn not_now(
    with_body: impl Fn(ResponseBuilder) -> ResponseBuilder,
) -> BTreeMap<String, RefOr<Response>> {
    let responses = NOT_NOW.map(|(status, description)| {
        let response = ResponseBuilder::new().description(description);
        (status.to_owned(), with_body(response).build().into())
    });
    responses.into()
}

const NOT_NOW: [(&str, &str); 3] = [
    ("408", "The body did not arrive in time"),
    (
        "429",
        "Too many from this network were not in order, or too many came from this issuer or client",
    ),
    (
        "503",
        "The keys that are needed cannot be fetched, nothing can be written, too much is going on, or \
         it took too long",
    ),
];

/// The whole description as JSON, including what cannot be written at a route or type.
pub(super) fn complete(document: &utoipa::openapi::OpenApi, public_url: Option<&str>) -> String {
    // A document that cannot be written as JSON does not exist.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    for operation in operations_in(&mut document) {
        if let Some(body) = operation.get_mut("requestBody") {
            body["required"] = true.into();
        }
        let responses = operation.get_mut("responses");
        for (status, response) in responses
            .and_then(Value::as_object_mut)
            .into_iter()
            .flatten()
        {
            describe_headers(status, response);
        }
    }
    if let Some(schemas) = document.pointer_mut("/components/schemas") {
        forbid_null(schemas);
        schemas["GlobalRevocationRequest"] = global_revocation_request();
    }
    // Without servers, the paths would be taken for those of the interface that this is read from.
    let url = json!({
        "default": public_url.unwrap_or("http://127.0.0.1:10003"),
        "description": "`public_url` of the signals file, or where the listener is reached",
    });
    let server = json!({"url": "{url}", "variables": {"url": url}});
    if let Value::Object(document) = &mut document {
        document.insert("servers".to_owned(), json!([server]));
    }
    document.to_string()
}

/// The headers of an answer, which are always there.
fn describe_headers(status: &str, response: &mut Value) {
    let header = |name: &str, schema: Value| (name.to_owned(), json!({"schema": schema}));
    let mut headers = Map::from_iter([header("cache-control", json!({"const": "no-store"}))]);
    match status {
        "401" => headers.extend([header("www-authenticate", json!({"type": "string"}))]),
        "408" | "429" | "503" => {
            let seconds = json!({"type": "integer", "minimum": 0});
            headers.extend([header("retry-after", seconds)]);
        }
        _ => {}
    }
    // One whose value is another is described at its route.
    if let Some(Value::Object(described)) = response.get("headers") {
        headers.extend(described.clone());
    }
    for header in headers.values_mut() {
        header["required"] = true.into();
    }
    response["headers"] = headers.into();
}

/// What is not there is left out: a form has no null, and no answer here has one.
fn forbid_null(schemas: &mut Value) {
    let schemas = schemas
        .as_object_mut()
        .into_iter()
        .flat_map(Map::values_mut);
    let properties = schemas.filter_map(|schema| schema.get_mut("properties")?.as_object_mut());
    for property in properties.flat_map(Map::values_mut) {
        if let Some(Value::Array(types)) = property.get_mut("type") {
            types.retain(|kind| kind != "null");
        }
    }
}

/// Who is meant by a request to revoke everything of a user.
fn global_revocation_request() -> Value {
    let name = json!({"type": "string", "minLength": 1, "maxLength": MAX_NAME_BYTES});
    let identifier = |format: &str, members: Value| {
        let mut properties = json!({"format": {"const": format}});
        let mut required = vec![Value::from("format")];
        if let (Value::Object(properties), Value::Object(members)) = (&mut properties, members) {
            required.extend(members.keys().map(|name| Value::from(name.as_str())));
            properties.extend(members);
        }
        json!({
            "type": "object", "properties": properties, "required": required,
            "additionalProperties": false,
        })
    };
    let user = json!({"oneOf": [
        identifier("iss_sub", json!({"iss": {"type": "string"}, "sub": name})),
        identifier("opaque", json!({"id": name})),
        identifier("email", json!({"email": name})),
    ]});
    json!({
        "type": "object",
        "description": "Who it is, as a subject identifier (RFC 9493): `sub_id`, or `subject`, as the \
                        first drafts have it. Other members are ignored.",
        "properties": {"sub_id": user, "subject": user},
        "oneOf": [{"required": ["sub_id"]}, {"required": ["subject"]}],
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::body::to_bytes;
    use axum::http::HeaderName;
    use axum::response::IntoResponse as _;

    use super::super::{
        Code, GLOBAL_REVOCATION_PATH, LOGOUT_PATH, Refusal, STREAM_PATH, global_revocation, oauth,
        push, routes,
    };
    use super::*;

    fn document(for_clients: bool) -> Value {
        let (_, document) = routes(for_clients).split_for_parts();
        serde_json::from_str(&complete(&document, None)).unwrap()
    }

    fn names(object: &Value) -> BTreeSet<&str> {
        let members = object.as_object().into_iter().flatten();
        members.map(|(name, _)| name.as_str()).collect()
    }

    /// Routes are registered with their descriptions, unless one is registered without.
    #[test]
    fn what_is_described_is_what_is_routed() {
        for for_clients in [false, true] {
            let (interface, _) = routes(for_clients).split_for_parts();
            // A router tells its paths in no other way, those of its fallback last.
            let shown = format!("{interface:?}");
            let (shown, _) = shown.split_once("fallback_router").unwrap();
            let routed = shown.split('"').filter(|text| text.starts_with('/'));
            let routed: BTreeSet<_> = routed.collect();
            assert!(routed.contains(LOGOUT_PATH));
            let document = document(for_clients);
            assert_eq!(routed, names(&document["paths"]));
        }
    }

    /// A code that a receiver never gives may be described or not. One that it may give is held to it
    /// here, and every status that is described has a code.
    #[tokio::test]
    async fn refusals_are_answered_as_they_are_described() {
        let document = document(true);
        let of_form = |refusal: &Refusal| refusal.code.into_response();
        for (path, answer) in [
            (LOGOUT_PATH, of_form as fn(&Refusal) -> _),
            (STREAM_PATH, push::refused),
            (GLOBAL_REVOCATION_PATH, global_revocation::refused),
            (oauth::http::REVOKE_PATH, of_form),
            (oauth::http::INTROSPECT_PATH, of_form),
        ] {
            let responses = &document["paths"][path]["post"]["responses"];
            let mut given = BTreeSet::new();
            for code in Code::ALL {
                let response = answer(&(*code).into());
                let status = response.status().as_u16().to_string();
                // Without a stream there is nothing that could refuse an event.
                let is_of_none = path == STREAM_PATH && status == "404";
                let Some(described) = responses.get(&status).filter(|_| !is_of_none) else {
                    continue;
                };
                let case = format!("{path}: {}", code.label());
                let (head, body) = response.into_parts();
                let headers = head.headers.keys().map(HeaderName::as_str);
                let headers =
                    headers.filter(|name| !["content-type", "content-length"].contains(name));
                assert_eq!(
                    headers.collect::<BTreeSet<_>>(),
                    names(&described["headers"]),
                    "{case}"
                );
                let body = to_bytes(body, 1_000).await.unwrap();
                let schema = &described["content"]["application/json"]["schema"]["$ref"];
                if let Some(schema) = schema.as_str() {
                    let schema = document.pointer(schema.trim_start_matches('#')).unwrap();
                    let body: Value = serde_json::from_slice(&body).unwrap();
                    assert_eq!(names(&body), names(&schema["properties"]), "{case}");
                } else {
                    assert!(described["content"].is_null() && body.is_empty(), "{case}");
                }
                given.insert(status);
            }
            let refusals = names(responses)
                .into_iter()
                .filter(|status| *status >= "400");
            let refusals = refusals.filter(|status| path != STREAM_PATH || *status != "404");
            assert_eq!(
                refusals.map(str::to_owned).collect::<BTreeSet<_>>(),
                given,
                "{path}"
            );
        }
    }

    #[test]
    fn a_body_that_is_described_has_to_be_there_and_has_no_null() {
        let document = document(true);
        let mut count = 0;
        for (path, operations) in document["paths"].as_object().unwrap() {
            if let Some(body) = operations.pointer("/post/requestBody") {
                assert_eq!(body["required"], true, "{path}");
                count += 1;
            }
        }
        assert_eq!(count, 5);
        let form = &document["components"]["schemas"]["ClientForm"]["properties"];
        assert_eq!(form["client_id"]["type"], json!(["string"]));
    }

    #[test]
    fn the_server_is_the_listener_and_not_where_the_description_is_read() {
        let (_, document) = routes(false).split_for_parts();
        let url = |public_url| {
            let document = complete(&document, public_url);
            let document: Value = serde_json::from_str(&document).unwrap();
            assert_eq!(document["servers"][0]["url"], "{url}");
            document["servers"][0]["variables"]["url"]["default"].clone()
        };
        assert_eq!(
            url(Some("https://signals.example/in")),
            "https://signals.example/in"
        );
        assert_eq!(url(None), "http://127.0.0.1:10003");
    }
}
