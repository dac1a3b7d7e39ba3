//! What edges report of a session that looks stolen.

use serde_json::{Value, json};

/// The bodies of such reports: two clients use the session in turn, from two networks, one in each of the last
/// minutes.
pub(crate) fn reports_of_theft(issuer: &str, sid: &str) -> impl Iterator<Item = Value> {
    (1..=6).rev().map(move |minutes| {
        let (network, client) = if minutes % 2 == 0 {
            ("203.0.113.0/24", "okhttp")
        } else {
            ("192.0.2.0/24", "curl")
        };
        let ago = minutes * 60_000;
        let report = json!({
            "issuer": issuer, "subject": "alice", "sid": sid, "first_seen_ago": ago,
            "last_seen_ago": ago, "requests": 3,
            "sightings": [{"network": network, "user_agent": client, "requests": 3,
                           "last_seen_ago": ago}],
        });
        json!({"version": 1, "reports": [report]})
    })
}
