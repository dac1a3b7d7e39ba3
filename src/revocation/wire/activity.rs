//! `POST /v1/activity`: what edges have seen of sessions.
//!
//! Every instant is an age, counted back from when the report is sent, so that no edge's clock
//! matters. An edge reports a session at most once per interval, off the path of any request. If a
//! report is lost, the registry only knows less of how recently a session was used.
//!
//! # Why does an edge send a request without reports?
//!
//! A session of which nothing was heard may be idle, or the edge that it uses may be silent, and only
//! the first may end it. So an edge sends a request once per interval, also when there is nothing to
//! report, and says how long that is: while such requests come in, the authority knows that it would
//! have heard of a session that is used. An edge that has seen more than it can tell says that too.

use std::time::Duration;

use crate::json_object::JsonObject;

/// The path for an `ActivityRequest`.
pub const ACTIVITY_PATH: &str = "/v1/activity";

/// The most reports in a request.
pub const MAX_REPORTS: usize = 1_000;

/// The longest request.
pub const MAX_ACTIVITY_BYTES: usize = 1 << 20;

/// The most sightings in a report.
pub const MAX_SIGHTINGS: usize = 4;

/// The longest network (an IPv6 address with a prefix has 43 bytes) and kind of client.
pub const MAX_SIGHTING_BYTES: usize = 64;

/// How long ago something may have been seen: what is older was kept back for too long to say
/// anything about who is signed in now. An edge tells it as that old.
pub const MAX_AGE: Duration = Duration::from_hours(24);

/// The version of the format. Another one is refused.
pub const ACTIVITY_VERSION: u8 = 1;

/// What one edge has seen of one session since its report before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    not(target_family = "wasm"),
    derive(serde::Deserialize, utoipa::ToSchema),
    serde(deny_unknown_fields)
)]
pub struct Report {
    /// `iss`.
    #[cfg_attr(not(target_family = "wasm"), schema(min_length = 1, max_length = 1024))]
    pub issuer: String,
    /// `sub`.
    #[cfg_attr(not(target_family = "wasm"), schema(min_length = 1, max_length = 1024))]
    pub subject: Option<String>,
    /// `sid`, which names the session.
    #[cfg_attr(not(target_family = "wasm"), schema(min_length = 1, max_length = 1024))]
    pub sid: Option<String>,
    /// `jti`, which stands for the session where there is no `sid`. A report has one of the two.
    #[cfg_attr(not(target_family = "wasm"), schema(min_length = 1, max_length = 1024))]
    pub jti: Option<String>,
    /// `client_id`, else `azp`.
    #[cfg_attr(not(target_family = "wasm"), schema(min_length = 1, max_length = 1024))]
    pub client: Option<String>,
    /// The claim that names the device.
    #[cfg_attr(not(target_family = "wasm"), schema(min_length = 1, max_length = 1024))]
    pub device: Option<String>,
    /// `iat` of the newest token, in seconds since 1970.
    #[cfg_attr(not(target_family = "wasm"), schema(maximum = 253_402_300_799_isize))]
    pub issued_at: Option<u64>,
    /// `auth_time`, in seconds since 1970.
    #[cfg_attr(not(target_family = "wasm"), schema(maximum = 253_402_300_799_isize))]
    pub auth_time: Option<u64>,
    /// `exp` of the newest token, in seconds since 1970.
    #[cfg_attr(not(target_family = "wasm"), schema(maximum = 253_402_300_799_isize))]
    pub expires_at: Option<u64>,
    /// Milliseconds since the first request of this report, at most a day.
    #[cfg_attr(not(target_family = "wasm"), schema(maximum = 86_400_000))]
    pub first_seen_ago: u64,
    /// Milliseconds since the last request of this report, at most a day.
    #[cfg_attr(not(target_family = "wasm"), schema(maximum = 86_400_000))]
    pub last_seen_ago: u64,
    /// How many requests there were.
    pub requests: u32,
    /// From where, the most recent first.
    #[cfg_attr(not(target_family = "wasm"), serde(default), schema(max_items = 4))]
    pub sightings: Vec<Sighting>,
}

/// Requests from one network with one kind of client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    not(target_family = "wasm"),
    derive(serde::Deserialize, utoipa::ToSchema),
    serde(deny_unknown_fields)
)]
pub struct Sighting {
    /// The client's address, or the network that it is in, such as `203.0.113.0/24`.
    #[cfg_attr(not(target_family = "wasm"), schema(min_length = 1, max_length = 64))]
    pub network: Option<String>,
    /// The kind of client, such as `okhttp`.
    #[cfg_attr(not(target_family = "wasm"), schema(min_length = 1, max_length = 64))]
    pub user_agent: Option<String>,
    /// How many requests.
    pub requests: u32,
    /// Milliseconds since the last of them, at most a day.
    #[cfg_attr(not(target_family = "wasm"), schema(maximum = 86_400_000))]
    pub last_seen_ago: u64,
}

/// Reports of one edge, as the authority reads them.
#[cfg(not(target_family = "wasm"))]
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivityRequest {
    /// The version of the format: 1.
    #[schema(minimum = 1, maximum = 1)]
    pub version: u8,
    /// Milliseconds within which the edge sends the next one, with reports or without; a minute by
    /// default.
    #[serde(default = "usual_interval")]
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_isize)]
    pub interval: u64,
    /// Whether the edge has seen sessions in use of which it does not tell, or tells late: no session
    /// is idle for not being here.
    #[serde(default)]
    pub incomplete: bool,
    /// The reports, one for each session.
    #[schema(max_items = 1000)]
    pub reports: Vec<Report>,
}

/// Reports of one edge, as it writes them: the text of an `ActivityRequest`.
///
/// Written as text at once, since the tree of JSON values that other requests are made from would
/// cost a worker some milliseconds for a thousand reports.
#[derive(Debug)]
pub struct ActivityBody {
    text: Vec<u8>,
    count: usize,
}

impl ActivityBody {
    /// No reports yet, of an edge that sends the next body within this interval, and has seen more than
    /// it tells if the reports are incomplete.
    #[must_use]
    pub fn new(interval: Duration, is_incomplete: bool) -> Self {
        let interval = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        let mut text = JsonObject::begin(Vec::new());
        text.number("version", u64::from(ACTIVITY_VERSION));
        text.number("interval", interval);
        if is_incomplete {
            text.name("incomplete");
            text.raw(b"true");
        }
        text.name("reports");
        Self {
            text: text.unended(),
            count: 0,
        }
    }

    /// Adds a report, unless the request would become longer than it may be; then this one is for
    /// the next request.
    pub fn add(&mut self, report: &Report) -> bool {
        let length = self.text.len();
        self.text.push(if self.count == 0 { b'[' } else { b',' });
        report.write_to(&mut self.text);
        let fits = self.count < MAX_REPORTS && self.text.len() + END.len() <= MAX_ACTIVITY_BYTES;
        if fits {
            self.count += 1;
        } else {
            self.text.truncate(length);
        }
        fits
    }

    /// How many reports it has.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// How long it is so far.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.text.len()
    }

    /// The body of the request. One without reports says that there is nothing to report.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        if self.count == 0 {
            self.text.push(b'[');
        }
        self.text.extend_from_slice(END);
        self.text
    }
}

impl Report {
    fn write_to(&self, text: &mut Vec<u8>) {
        let mut object = JsonObject::begin(std::mem::take(text));
        object.text("issuer", Some(&self.issuer));
        let names = [
            ("subject", &self.subject),
            ("sid", &self.sid),
            ("jti", &self.jti),
            ("client", &self.client),
            ("device", &self.device),
        ];
        for (member, name) in names {
            object.text(member, name.as_deref());
        }
        let numbers = [
            ("issued_at", self.issued_at),
            ("auth_time", self.auth_time),
            ("expires_at", self.expires_at),
            ("first_seen_ago", Some(self.first_seen_ago)),
            ("last_seen_ago", Some(self.last_seen_ago)),
            ("requests", Some(u64::from(self.requests))),
        ];
        for (member, number) in numbers {
            if let Some(number) = number {
                object.number(member, number);
            }
        }
        object.name("sightings");
        let mut sightings = object.unended();
        sightings.push(b'[');
        for (position, sighting) in self.sightings.iter().enumerate() {
            if position > 0 {
                sightings.push(b',');
            }
            sightings = sighting.write_after(sightings);
        }
        sightings.extend_from_slice(b"]}");
        *text = sightings;
    }
}

impl Sighting {
    fn write_after(&self, text: Vec<u8>) -> Vec<u8> {
        let mut object = JsonObject::begin(text);
        object.text("network", self.network.as_deref());
        object.text("user_agent", self.user_agent.as_deref());
        object.number("requests", u64::from(self.requests));
        object.number("last_seen_ago", self.last_seen_ago);
        object.end()
    }
}

const END: &[u8] = b"]}";

#[cfg(not(target_family = "wasm"))]
const fn usual_interval() -> u64 {
    60_000
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::*;

    fn full() -> Report {
        let name = |text: &str| Some(text.to_owned());
        let sighting = |number: u32| Sighting {
            network: name("203.0.113.0/24"),
            user_agent: name("okhttp"),
            requests: number,
            last_seen_ago: u64::from(number) * 7,
        };
        Report {
            issuer: "https://issuer.example".to_owned(),
            subject: name("\"\\\u{0}\u{1f600}"),
            sid: name("s"),
            jti: name("j"),
            client: name("app"),
            device: name("phone"),
            issued_at: Some(1),
            auth_time: Some(2),
            expires_at: Some(3),
            first_seen_ago: i64::MAX.unsigned_abs(),
            last_seen_ago: 5,
            requests: u32::MAX,
            sightings: (1..=4).map(sighting).collect(),
        }
    }

    fn read(body: ActivityBody) -> ActivityRequest {
        serde_json::from_slice(&body.finish()).unwrap()
    }

    #[test]
    fn the_authority_reads_what_an_edge_writes() {
        let mut sparse = Report {
            issuer: "i".to_owned(),
            jti: Some("j".to_owned()),
            ..Report::default()
        };
        sparse.sightings.push(Sighting::default());
        let reports = [full(), sparse, Report::default()];
        for count in 0..=reports.len() {
            let mut body = ActivityBody::new(Duration::from_secs(7), count == 1);
            assert!(reports[..count].iter().all(|report| body.add(report)));
            assert_eq!(body.count(), count);
            let request = read(body);
            assert_eq!(request.version, ACTIVITY_VERSION);
            assert_eq!(request.interval, 7_000);
            assert_eq!(request.incomplete, count == 1);
            assert_eq!(request.reports, reports[..count]);
        }
    }

    #[test]
    fn a_body_takes_as_many_reports_as_the_authority_and_no_more_bytes() {
        let mut body = ActivityBody::new(Duration::MAX, true);
        let added = (0..=MAX_REPORTS)
            .filter(|_| body.add(&Report::default()))
            .count();
        assert_eq!(added, MAX_REPORTS);
        assert_eq!(read(body).reports.len(), MAX_REPORTS);

        let mut body = ActivityBody::new(Duration::MAX, true);
        let long = Report {
            subject: Some("\u{0}".repeat(1024)),
            ..full()
        };
        let mut added = 0;
        while body.add(&long) {
            added += 1;
        }
        let mut one = Vec::new();
        long.write_to(&mut one);
        let bytes = body.finish();
        assert!(bytes.len() <= MAX_ACTIVITY_BYTES);
        assert!(bytes.len() + one.len() + 1 > MAX_ACTIVITY_BYTES);
        let request: ActivityRequest = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(request.reports, vec![long; added]);
    }

    #[test]
    fn what_the_format_does_not_have_is_refused() {
        for (json, fault) in [
            (r#"{"version":1,"reports":[],"more":1}"#, "unknown field"),
            (
                r#"{"version":1,"reports":[{"issuer":"i"}]}"#,
                "missing field",
            ),
            (
                r#"{"version":1,"reports":[{"issuer":"i","first_seen_ago":1,"last_seen_ago":1,"requests":1,"ip":""}]}"#,
                "unknown field",
            ),
            (
                r#"{"version":1,"reports":[{"issuer":"i","first_seen_ago":1,"last_seen_ago":1,"requests":4294967296}]}"#,
                "u32",
            ),
        ] {
            let error = serde_json::from_str::<ActivityRequest>(json).unwrap_err();
            assert!(error.to_string().contains(fault), "{json}: {error}");
        }
    }
}
