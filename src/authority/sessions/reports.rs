//! What edges send, checked.

use std::time::Duration;

use super::Network;
use super::session::{Name, Observation, ObservedSighting};
use crate::revocation::MAX_NAME_BYTES;
use crate::revocation::wire::activity::{
    MAX_AGE, MAX_REPORTS, MAX_SIGHTING_BYTES, MAX_SIGHTINGS, Report, Sighting,
};
use crate::time::UnixTime;

/// Why a request with reports is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(in crate::authority) enum ReportError {
    /// There are too many.
    #[error("`reports`: expected at most {MAX_REPORTS}, found {0}")]
    TooMany(usize),
    /// One of them is not right.
    #[error("`reports[{number}]{field}`: {fault}")]
    Report {
        /// Which, from 0.
        number: usize,
        /// The member in it, with a dot before it; nothing for the report as a whole.
        field: &'static str,
        /// What is wrong.
        fault: FieldFault,
    },
}

/// What is wrong with a member of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(in crate::authority) enum FieldFault {
    /// A name that is present and empty.
    #[error("is empty; leave it out")]
    Empty,
    /// A text is too long.
    #[error("expected at most {limit} bytes, found {found}")]
    TooLong {
        /// The most.
        limit: usize,
        /// What was sent.
        found: usize,
    },
    /// A report names its session in exactly one way.
    #[error("expected either `sid` or `jti`")]
    Name,
    /// A time that cannot be written.
    #[error("expected a time before the year 10000")]
    Time,
    /// It was seen too long ago.
    #[error("expected at most a day, in milliseconds")]
    Age,
    /// Too many elements.
    #[error("expected at most {0}")]
    TooMany(usize),
    /// A network that is none.
    #[error(transparent)]
    Network(super::network::NetworkError),
}

impl ReportError {
    /// Whether the request is as it is described, and only something in it out of bounds.
    #[must_use]
    pub(in crate::authority) const fn is_of_bounds(&self) -> bool {
        matches!(
            self,
            Self::Report {
                fault: FieldFault::TooLong { .. } | FieldFault::Network(_),
                ..
            }
        )
    }
}

/// What reports say, if all of them are right.
///
/// # Errors
///
/// [`ReportError`] of the first that is not.
pub(super) fn observations(
    reports: Vec<Report>,
    now: u64,
) -> Result<Vec<Observation>, ReportError> {
    if reports.len() > MAX_REPORTS {
        return Err(ReportError::TooMany(reports.len()));
    }
    let reports = reports.into_iter().enumerate();
    let observations = reports.map(|(number, report)| {
        observation(report, now).map_err(|(field, fault)| ReportError::Report {
            number,
            field,
            fault,
        })
    });
    observations.collect()
}

/// A member, and what is wrong with it.
type Fault = (&'static str, FieldFault);

fn observation(report: Report, now: u64) -> Result<Observation, Fault> {
    let name = match (report.sid, report.jti) {
        (Some(sid), None) => Name::Session(text(".sid", sid, MAX_NAME_BYTES)?.into()),
        (None, Some(jti)) => Name::Token(text(".jti", jti, MAX_NAME_BYTES)?.into()),
        _ => return Err(("", FieldFault::Name)),
    };
    if report.sightings.len() > MAX_SIGHTINGS {
        return Err((".sightings", FieldFault::TooMany(MAX_SIGHTINGS)));
    }
    let last_seen = instant(".last_seen_ago", report.last_seen_ago, now)?;
    let sightings = report.sightings.into_iter();
    Ok(Observation {
        issuer: text(".issuer", report.issuer, MAX_NAME_BYTES)?,
        subject: optional(".subject", report.subject, MAX_NAME_BYTES)?,
        name,
        client: optional(".client", report.client, MAX_NAME_BYTES)?,
        device: optional(".device", report.device, MAX_NAME_BYTES)?,
        issued_at: time(".issued_at", report.issued_at)?,
        auth_time: time(".auth_time", report.auth_time)?,
        expires_at: time(".expires_at", report.expires_at)?,
        first_seen: instant(".first_seen_ago", report.first_seen_ago, now)?.min(last_seen),
        last_seen,
        requests: report.requests,
        sightings: sightings
            .map(|seen| sighting(seen, now))
            .collect::<Result<_, _>>()?,
    })
}

fn sighting(sighting: Sighting, now: u64) -> Result<ObservedSighting, Fault> {
    let field = ".sightings[].network";
    let network = optional(field, sighting.network, MAX_SIGHTING_BYTES)?;
    let network: Option<Result<Network, _>> = network.map(|network| network.parse());
    let user_agent = sighting.user_agent;
    Ok(ObservedSighting {
        network: network
            .transpose()
            .map_err(|error| (field, FieldFault::Network(error)))?,
        user_agent: optional(".sightings[].user_agent", user_agent, MAX_SIGHTING_BYTES)?,
        requests: sighting.requests,
        last_seen: instant(".sightings[].last_seen_ago", sighting.last_seen_ago, now)?,
    })
}

fn text(field: &'static str, text: String, limit: usize) -> Result<String, Fault> {
    if text.is_empty() {
        return Err((field, FieldFault::Empty));
    }
    let found = text.len();
    if found > limit {
        return Err((field, FieldFault::TooLong { limit, found }));
    }
    Ok(text)
}

fn optional(
    field: &'static str,
    value: Option<String>,
    limit: usize,
) -> Result<Option<String>, Fault> {
    value.map(|value| text(field, value, limit)).transpose()
}

fn time(field: &'static str, seconds: Option<u64>) -> Result<Option<UnixTime>, Fault> {
    let time = |seconds| UnixTime::from_seconds(seconds).ok_or((field, FieldFault::Time));
    seconds.map(time).transpose()
}

/// The instant so many milliseconds before `now`.
fn instant(field: &'static str, ago: u64, now: u64) -> Result<u64, Fault> {
    if Duration::from_millis(ago) > MAX_AGE {
        return Err((field, FieldFault::Age));
    }
    Ok(now.saturating_sub(ago))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const NOW: u64 = 1_767_225_600_000;

    fn report() -> Report {
        Report {
            issuer: "https://issuer.example".to_owned(),
            sid: Some("s".to_owned()),
            first_seen_ago: 5_000,
            last_seen_ago: 1_000,
            requests: 3,
            ..Report::default()
        }
    }

    #[test]
    fn ages_become_instants() {
        let report = Report {
            subject: Some("alice".to_owned()),
            sightings: vec![Sighting {
                network: Some("203.0.113.7/24".to_owned()),
                user_agent: None,
                requests: 2,
                last_seen_ago: 1_500,
            }],
            ..report()
        };
        let observed = observations(vec![report], NOW).unwrap();
        let [observed] = &*observed else {
            panic!("one observation");
        };
        assert_eq!(observed.first_seen, NOW - 5_000);
        assert_eq!(observed.last_seen, NOW - 1_000);
        assert_eq!(observed.name, Name::Session(Arc::from("s")));
        assert_eq!(observed.sightings[0].last_seen, NOW - 1_500);
        assert_eq!(observed.sightings[0].network, "203.0.113.0/24".parse().ok());
    }

    #[test]
    fn a_report_that_is_not_right_is_named_with_its_fault() {
        let long = |limit: usize| Some("x".repeat(limit + 1));
        let some = |text: &str| Some(text.to_owned());
        let seen = |sighting: Sighting| Report {
            sightings: vec![sighting],
            ..report()
        };
        let cases = [
            (
                Report {
                    issuer: String::new(),
                    ..report()
                },
                ".issuer`: is empty; leave it out",
            ),
            (
                Report {
                    subject: some(""),
                    ..report()
                },
                ".subject`: is empty; leave it out",
            ),
            (
                Report {
                    device: long(1024),
                    ..report()
                },
                ".device`: expected at most 1024 bytes, found 1025",
            ),
            (
                Report {
                    sid: None,
                    ..report()
                },
                "`: expected either `sid` or `jti`",
            ),
            (
                Report {
                    jti: some("j"),
                    ..report()
                },
                "`: expected either `sid` or `jti`",
            ),
            (
                Report {
                    auth_time: Some(253_402_300_800),
                    ..report()
                },
                ".auth_time`: expected a time before the year 10000",
            ),
            (
                Report {
                    first_seen_ago: 86_400_001,
                    ..report()
                },
                ".first_seen_ago`: expected at most a day, in milliseconds",
            ),
            (
                Report {
                    last_seen_ago: u64::MAX,
                    ..report()
                },
                ".last_seen_ago`: expected at most a day, in milliseconds",
            ),
            (
                Report {
                    sightings: vec![Sighting::default(); 5],
                    ..report()
                },
                ".sightings`: expected at most 4",
            ),
            (
                seen(Sighting {
                    network: some("home"),
                    ..Sighting::default()
                }),
                ".sightings[].network`: expected an IP address or a prefix such as \
                 `203.0.113.0/24` or `2001:db8::/48`",
            ),
            (
                seen(Sighting {
                    user_agent: long(64),
                    ..Sighting::default()
                }),
                ".sightings[].user_agent`: expected at most 64 bytes, found 65",
            ),
        ];
        for (wrong, expected) in cases {
            let error = observations(vec![report(), wrong], NOW).unwrap_err();
            assert_eq!(error.to_string(), format!("`reports[1]{expected}"));
        }
        let many = observations(vec![report(); 1_001], NOW).unwrap_err();
        assert_eq!(
            many.to_string(),
            "`reports`: expected at most 1000, found 1001"
        );
    }
}
