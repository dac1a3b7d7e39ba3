//! Classification of what can go wrong between an edge and its authority.
//!
//! Where the operator has to look depends on what has answered: the host, which could not send the
//! call; the host, because it could not reach the authority; the authority, which says why it
//! refuses; or another server.
//!
//! # What does the host say about a connection?
//!
//! Envoy answers in place of a server that it cannot reach, in plain text. Up to 1.39 that text
//! said why TLS failed; since then it says only that there is no connection, unless
//! `envoy.reloadable_features.hide_transport_failure_reason_in_response_body` is off. So a cluster
//! with a `transport_socket` before an authority without TLS is [`Fault::NoConnection`] there,
//! which names both causes; the authority's log tells which. The reverse is recognised everywhere:
//! an authority with TLS answers a request without, and says what is wrong.

use crate::host::NotSent;

/// Why a call to the authority has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Envoy has no cluster of the name.
    NoCluster,
    /// The cluster has no healthy endpoint.
    NoEndpoint,
    /// No connection was established.
    NoConnection,
    /// One side speaks TLS and the other does not, or they do not agree on how.
    Tls,
    /// There was a connection, but no complete answer in time.
    NoAnswer,
    /// The authority does not know the credential.
    Credential,
    /// It knows the credential, but its role does not allow following.
    Role,
    /// An answer with another status.
    Status,
    /// The authority is behind the edge.
    Behind,
    /// Two leaders have begun to load a generation at the same time.
    Contended,
    /// An answer that fails verification: signature, format, hash or history.
    NotBelieved,
}

impl Fault {
    /// Every one, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::NoCluster,
        Self::NoEndpoint,
        Self::NoConnection,
        Self::Tls,
        Self::NoAnswer,
        Self::Credential,
        Self::Role,
        Self::Status,
        Self::Behind,
        Self::Contended,
        Self::NotBelieved,
    ];

    /// Its name in the name of its metric.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoCluster => "no_cluster",
            Self::NoEndpoint => "no_endpoint",
            Self::NoConnection => "no_connection",
            Self::Tls => "tls",
            Self::NoAnswer => "no_answer",
            Self::Credential => "credential",
            Self::Role => "role",
            Self::Status => "status",
            Self::Behind => "behind",
            Self::Contended => "contended",
            Self::NotBelieved => "not_believed",
        }
    }

    /// The fault that an unsuccessful answer means.
    pub(super) fn of_answer(status: u16, body: &[u8]) -> Self {
        match code(body) {
            Some("credential_missing") => return Self::Credential,
            Some("role_missing") => return Self::Role,
            Some("tls_expected") => return Self::Tls,
            Some(_) => return Self::Status,
            None => {}
        }
        let says = |text: &str| {
            let text = text.as_bytes();
            body.windows(text.len()).any(|part| part == text)
        };
        // Envoy's own texts, which differ from version to version, so only parts of them are
        // compared.
        match status {
            504 => Self::NoAnswer,
            502 | 503 if says("TLS_error") || says("protocol error") => Self::Tls,
            503 if says("no healthy upstream") => Self::NoEndpoint,
            503 if says("connection failure") || says("connection timeout") => Self::NoConnection,
            503 if says("reset reason") => Self::NoAnswer,
            _ => Self::Status,
        }
    }
}

impl From<NotSent> for Fault {
    fn from(reason: NotSent) -> Self {
        match reason {
            NotSent::NoCluster => Self::NoCluster,
            NotSent::NoEndpoint => Self::NoEndpoint,
        }
    }
}

/// The `code` of a problem of the authority, as it writes them. Another server may write anything,
/// and this goes into a log: letters and `_` only.
pub(super) fn code(body: &[u8]) -> Option<&str> {
    const MEMBER: &[u8] = b"\"code\":\"";
    const LONGEST: usize = 40;
    let start = body.windows(MEMBER.len()).position(|part| part == MEMBER)? + MEMBER.len();
    let rest = body.get(start..)?;
    let rest = rest.get(..LONGEST).unwrap_or(rest);
    let code = rest.split(|byte| *byte == b'"').next()?;
    let is_word = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'_';
    let code = Some(code).filter(|code| !code.is_empty() && code.iter().all(is_word))?;
    str::from_utf8(code).ok()
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn the_source_and_the_cause_of_an_answer_are_told_apart() {
        let reset = |reason: &str| {
            format!(
                "upstream connect error or disconnect/reset before headers. reset reason: {reason}"
            )
        };
        let problem =
            |code: &str| format!(r#"{{"type":"about:blank","code":"{code}","detail":""}}"#);
        let tls = reset(
            "remote connection failure, transport failure reason: TLS_error:|268435703:SSL \
             routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end",
        );
        for (status, body, expected) in [
            (401, problem("credential_missing"), Fault::Credential),
            (403, problem("role_missing"), Fault::Role),
            (400, problem("tls_expected"), Fault::Tls),
            (403, problem("cross_site"), Fault::Status),
            (503, problem("feed_not_ready"), Fault::Status),
            // A proxy on the way.
            (401, String::new(), Fault::Status),
            (403, "RBAC: access denied".into(), Fault::Status),
            (404, "<html>".into(), Fault::Status),
            (503, "connection pool is empty".into(), Fault::Status),
            (503, reset("remote connection failure"), Fault::NoConnection),
            (503, reset("connection timeout"), Fault::NoConnection),
            (503, reset("connection termination"), Fault::NoAnswer),
            (503, tls, Fault::Tls),
            (502, reset("protocol error"), Fault::Tls),
            (503, "no healthy upstream".into(), Fault::NoEndpoint),
            (504, "upstream request timeout".into(), Fault::NoAnswer),
        ] {
            assert_eq!(
                Fault::of_answer(status, body.as_bytes()),
                expected,
                "{body}"
            );
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn only_words_of_a_strangers_answer_are_logged() {
        for body in [
            "",
            r#"{"code":7}"#,
            r#"{"code":""}"#,
            r#"{"code":"a b"}"#,
            "{\"code\":\"a\nforged line\"}",
            "{\"code\":\"\u{202e}\"}",
            r#"{"code":"Word"}"#,
            r#"{"code":"#,
        ] {
            assert_eq!(code(body.as_bytes()), None, "{body}");
        }
        let endless = [br#"{"code":""#.as_slice(), &[b'a'; 1000]].concat();
        assert_eq!(code(&endless).map(str::len), Some(40));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn every_fault_has_its_number_and_its_name() {
        for (number, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, number);
            let same = |other: &Fault| other.name() == fault.name();
            assert_eq!(Fault::ALL.iter().filter(|other| same(other)).count(), 1);
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_documents_say_of_every_fault_where_to_look() {
        let document = include_str!("../../envoy/operations.md");
        let (_, rows) = document
            .split_once("| `<fault>` | the line says |")
            .unwrap();
        let rows = rows.lines().skip(2);
        let told = rows.map_while(|row| row.strip_prefix("| `")?.split('`').next());
        assert!(told.eq(Fault::ALL.map(Fault::name)));
    }
}
