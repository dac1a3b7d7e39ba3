//! The `sign_out` and `sessions` keys: the routes that the gate serves itself.

use super::answers::page_url;
use crate::configuration::{Fields, Node, Read, all};
use crate::gate::path;
use crate::gate::session_routes::{At, SessionRoutes, SignOutRoute};
use crate::keys::Url;

/// The routes, in a configuration with or without `revocation`; `None` if there are none.
pub(super) fn routes(fields: &mut Fields<'_>, has_revocation: bool) -> Read<Option<SessionRoutes>> {
    let nodes = [fields.optional("sign_out"), fields.optional("sessions")];
    for node in nodes.iter().flatten().filter(|_| !has_revocation) {
        node.fault("expected `revocation` beside it, whose authority ends sessions");
    }
    let [sign_out, sessions] = nodes;
    let sign_out = sign_out.map(sign_out_route).transpose();
    let sessions = sessions.map(|node| node.object(at)).transpose();
    let routes = SessionRoutes {
        sign_out: sign_out?,
        sessions: sessions?,
    };
    if let (Some(sign_out), Some(sessions)) = (&routes.sign_out, &routes.sessions)
        && let Some(rest) = sign_out.at.path.strip_prefix(&sessions.path)
        && (rest.is_empty() || rest.starts_with('/'))
    {
        fields.fault_at(
            "sign_out.path".to_owned(),
            "expected a path that is neither `sessions.path` nor below it",
        );
    }
    let has_any = routes.sign_out.is_some() || routes.sessions.is_some();
    Ok(has_any.then_some(routes))
}

fn sign_out_route(node: Node<'_>) -> Read<SignOutRoute> {
    node.object(|fields| {
        let at = at(fields);
        let methods = fields.optional("methods").map(methods);
        let others = fields.flag("others", true);
        let everywhere = fields.flag("everywhere", true);
        let redirect = fields.optional("end_session_redirect").map(end_session);
        Ok(SignOutRoute {
            at: at?,
            methods: methods.transpose()?.unwrap_or_else(|| vec!["POST"]),
            others,
            everywhere,
            end_session_redirect: redirect.transpose()?,
        })
    })
}

/// Not inlined twice.
#[inline(never)]
fn at(fields: &mut Fields<'_>) -> Read<At> {
    let path = fields.required("path").and_then(route_path);
    let origins = fields.each("origins", origin);
    Ok(At {
        path: path?,
        origins,
    })
}

/// A path that can be read in one way only.
fn route_path(node: Node<'_>) -> Read<String> {
    let text = node.text()?;
    let is_fit = path::is_normal(text.as_bytes()) && !text.contains(['?', '#']) && text != "/";
    if is_fit && !text.ends_with('/') {
        return Ok(text.to_owned());
    }
    Err(node.fault(
        "expected a path as `/session/sign-out`: without a query, an encoded letter, an empty \
         segment, or a segment that begins or ends with a dot",
    ))
}

fn methods(node: Node<'_>) -> Read<Vec<&'static str>> {
    all(node.some_elements("method")?, |node| node.word(&METHODS))
}

/// Not `GET`, which browsers also send ahead of a user, and for a page that only shows an image.
const METHODS: [(&str, &str); 3] = [("POST", "POST"), ("PUT", "PUT"), ("DELETE", "DELETE")];

fn origin(node: Node<'_>) -> Read<String> {
    let text = node.text()?;
    let is_odd = |byte: u8| byte.is_ascii_uppercase() || byte == b'*';
    let url = Url::parse(text).filter(|url| text.ends_with(&url.authority));
    if url.is_some() && !text.bytes().any(is_odd) {
        return Ok(text.to_owned());
    }
    Err(node.fault(
        "expected an origin as browsers send it: `https://` or `http://`, a host in lower case, \
         and its port if it is not the usual one",
    ))
}

fn end_session(node: Node<'_>) -> Read<String> {
    let url = page_url(node)?;
    if url.starts_with("http://") {
        return Err(node.fault("expected a path, or a URL that begins with `https://`"));
    }
    Ok(url.to_owned())
}
