//! `webhook`: who is told what happened.

use std::path::Path;
use std::time::Duration;

use super::file::path;
use super::issuers::server;
use crate::authority::webhook::Receiver;
use crate::configuration::{Fields, Read};

/// How long an attempt may take.
const TIMEOUT: Duration = Duration::from_secs(10);

const TIMEOUTS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_mins(1);

/// The section. Without it nobody is told.
pub(super) fn webhook(fields: &mut Fields<'_>, directory: &Path) -> Read<Option<Receiver>> {
    let Some(node) = fields.optional("webhook") else {
        return Ok(None);
    };
    node.object(|fields| {
        let url = fields.required("url").and_then(|node| {
            server(node, None)?;
            node.text()
        });
        let secret_file = fields.required("secret_file");
        let secret_file = secret_file.and_then(|node| path(node, directory));
        let authority = fields.optional("certificate_authority");
        let authority = authority.map(|node| path(node, directory)).transpose();
        let timeout = match fields.optional("timeout") {
            None => Ok(TIMEOUT),
            Some(node) => node.duration().and_then(|timeout| {
                if TIMEOUTS.contains(&timeout) {
                    Ok(timeout)
                } else {
                    Err(node.fault("expected a duration from 0.1s to 60s"))
                }
            }),
        };
        Ok(Receiver {
            url: url?.to_owned(),
            secret_file: secret_file?,
            certificate_authority: authority?,
            timeout: timeout?,
        })
    })
    .map(Some)
}
