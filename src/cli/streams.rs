//! `portcullis streams`: the streams of events that the signals file names, and what can be done about
//! them at their transmitters.

use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::authority_client::{self, Client};
use super::bounds::{BoundError, duration};
use super::printable::printable;
use super::{CommandError, print_element, print_json};
use crate::authority::http::{
    MAX_VERIFICATION_WAIT, StreamAnswer, StreamRequest, StreamStatusName, StreamStatusRequest,
    StreamsAnswer, VerificationAnswer, VerificationRequest,
};

/// The arguments of `portcullis streams`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done about streams.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List the streams, with what their transmitters say of them
    List {
        /// Where the authority is.
        #[command(flatten)]
        authority: authority_client::Arguments,
    },
    /// Create a stream at its transmitter, or bring the one that there is in order, now
    Create(OneStream),
    /// Ask for a verification event and wait for it; exits with 1 if it does not come
    Verify {
        /// Which one, and where the authority is.
        #[command(flatten)]
        stream: OneStream,
        /// For how long it is waited for, 0s to 60s
        #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = wait)]
        wait: Duration,
    },
    /// Have the transmitter keep events for later
    Pause(StatusChange),
    /// Have it deliver them again
    Resume(StatusChange),
    /// Delete a stream at its transmitter, until `create`
    Delete(OneStream),
}

/// One stream.
#[derive(Debug, Args)]
pub struct OneStream {
    /// Its name in the signals file
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the command's own")]
    pub authority: authority_client::Arguments,
}

/// A stream that is paused or resumed.
#[derive(Debug, Args)]
pub struct StatusChange {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the command's own")]
    pub stream: OneStream,
    /// Why, for those who keep the transmitter
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

fn wait(text: &str) -> Result<Duration, BoundError> {
    duration(
        text,
        Duration::ZERO..=Duration::from_secs(MAX_VERIFICATION_WAIT),
    )
}

/// Does it, and prints the stream as it is then: one line each, or as JSON one object each.
///
/// # Errors
///
/// [`CommandError::Client`], and [`CommandError::Negative`] when a verification event does not come.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    match &arguments.action {
        Action::List { authority } => {
            let answer: StreamsAnswer = Client::new(authority)?.get("/v1/streams")?;
            let mut streams = answer.streams.iter();
            streams.try_for_each(|stream| print_element(output, authority.json, stream, line))
        }
        Action::Create(stream) => change(stream, "/v1/streams", &request(stream), output),
        Action::Delete(stream) => change(stream, "/v1/streams/deletion", &request(stream), output),
        Action::Pause(change) => set_status(change, StreamStatusName::Paused, output),
        Action::Resume(change) => set_status(change, StreamStatusName::Enabled, output),
        Action::Verify { stream, wait } => verify(stream, *wait, output),
    }
}

fn request(stream: &OneStream) -> StreamRequest {
    StreamRequest {
        name: stream.name.clone(),
    }
}

fn change(
    stream: &OneStream,
    path: &str,
    request: &impl Serialize,
    output: &mut dyn Write,
) -> Result<(), CommandError> {
    let answer: StreamAnswer = Client::new(&stream.authority)?.post(path, request)?;
    print_element(output, stream.authority.json, &answer, line)
}

fn set_status(
    arguments: &StatusChange,
    status: StreamStatusName,
    output: &mut dyn Write,
) -> Result<(), CommandError> {
    let request = StreamStatusRequest {
        name: arguments.stream.name.clone(),
        status,
        reason: arguments.reason.clone(),
    };
    change(&arguments.stream, "/v1/streams/status", &request, output)
}

fn verify(stream: &OneStream, wait: Duration, output: &mut dyn Write) -> Result<(), CommandError> {
    let request = VerificationRequest {
        name: stream.name.clone(),
        wait_seconds: wait.as_secs(),
    };
    let client = Client::new(&stream.authority)?;
    let answer: VerificationAnswer = client.post("/v1/streams/verification", &request)?;
    let took = Duration::from_millis(answer.took_milliseconds);
    let took = humantime::format_duration(took);
    if stream.authority.json {
        print_json(output, &answer)?;
    } else if answer.arrived {
        writeln!(output, "the verification event came after {took}")
            .map_err(CommandError::Output)?;
    } else {
        writeln!(
            output,
            "asked for, but no verification event came within {took}; see `portcullis signals`"
        )
        .map_err(CommandError::Output)?;
    }
    if answer.arrived {
        Ok(())
    } else {
        Err(CommandError::Negative)
    }
}

/// Name, delivery, status, id at the transmitter and issuer; `-` where nothing is known. When the last
/// verification event came, what is wrong, and why the transmitter cannot be reached, are lines below.
fn line(stream: &StreamAnswer) -> String {
    let status = match (stream.managed, stream.deleted, &stream.status) {
        (false, ..) => "unmanaged",
        (_, true, _) => "deleted",
        (.., Some(status)) => status,
        (.., None) => "-",
    };
    let id = stream.stream_id.as_deref();
    let id = id.map_or_else(|| "-".to_owned(), printable);
    let mut line = format!(
        "{}  {}  {}  {id}  {}\n",
        printable(&stream.name),
        printable(&stream.delivery),
        printable(status),
        printable(&stream.issuer)
    );
    if let Some(reason) = &stream.status_reason {
        let _ = writeln!(line, "  {}", printable(reason));
    }
    if let Some(time) = &stream.verified {
        let _ = writeln!(line, "  verified  {}", printable(time));
    }
    for warning in &stream.warnings {
        let _ = writeln!(line, "  warning  {}", printable(warning));
    }
    if let Some(fault) = stream.fault.as_ref().filter(|_| stream.failures > 0) {
        let (time, reason) = (printable(&fault.time), printable(&fault.reason));
        let _ = writeln!(
            line,
            "  failed  {time}  {reason}  {}",
            printable(&fault.detail)
        );
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::http::StreamFault;

    #[test]
    fn a_line_says_how_a_stream_is_and_what_is_wrong() {
        let mut stream = StreamAnswer {
            name: "okta".to_owned(),
            issuer: "https://okta.example".to_owned(),
            delivery: "poll".to_owned(),
            managed: true,
            stream_id: None,
            deleted: false,
            status: None,
            status_reason: None,
            events_delivered: Vec::new(),
            verified: None,
            last_event: None,
            answered: None,
            warnings: Vec::new(),
            failures: 0,
            fault: Some(StreamFault {
                time: "now".to_owned(),
                reason: "unreachable".to_owned(),
                detail: "no\nroute".to_owned(),
            }),
        };
        assert_eq!(line(&stream), "okta  poll  -  -  https://okta.example\n");
        stream.failures = 1;
        stream.status = Some("paused".to_owned());
        stream.status_reason = Some("licence".to_owned());
        stream.stream_id = Some("id".to_owned());
        stream.verified = Some("then".to_owned());
        stream.warnings = vec!["a subject".to_owned()];
        let text = line(&stream);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "okta  poll  paused  id  https://okta.example");
        assert_eq!(lines[1..3], ["  licence", "  verified  then"]);
        assert_eq!(lines[3], "  warning  a subject");
        assert!(lines[4].starts_with("  failed  now  unreachable  no"));
        assert_eq!(lines.len(), 5, "{text}");
        stream.deleted = true;
        assert!(line(&stream).contains("  deleted  "));
        stream.managed = false;
        assert!(line(&stream).contains("  unmanaged  "));
    }
}
