//! What is asked of the transmitter of a stream, by the signals file.

use super::super::configuration::{Delivery, Stream as Described};
use super::super::events::EventName;
use super::super::http::stream_endpoint;
use super::super::transmitter::{
    Fault, FaultReason, POLL_METHOD, PUSH_METHOD, Spelling, Wanted, WantedDelivery,
};

/// What is asked of a transmitter.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) delivery: PlannedDelivery,
    pub(super) events: Vec<String>,
    /// Whether the file names them.
    pub(super) are_events_named: bool,
    pub(super) subjects: Vec<serde_json::Value>,
    description: String,
    pub(super) audiences: Vec<String>,
    /// The stream to take over.
    pub(super) stream_id: Option<String>,
}

#[derive(Debug)]
pub(super) enum PlannedDelivery {
    /// To this URL.
    Push(String),
    Poll,
}

impl Plan {
    /// What the signals file says; none where someone else makes the stream.
    ///
    /// # Errors
    ///
    /// Where events should be pushed and there is no `public_url` to push them to.
    pub(super) fn of(stream: &Described, public_url: Option<&str>) -> Result<Option<Self>, Fault> {
        let Some(settings) = stream.transmitter.as_ref().filter(|it| it.manage) else {
            return Ok(None);
        };
        let delivery = match &stream.delivery {
            Delivery::Poll(_) => PlannedDelivery::Poll,
            Delivery::Push(_) => {
                let url = public_url.ok_or_else(|| {
                    let detail = "`public_url` is missing, to which its transmitter should push";
                    FaultReason::Unsupported.because(detail)
                })?;
                PlannedDelivery::Push(format!("{url}{}", stream_endpoint(&stream.name)))
            }
        };
        let known = EventName::all_that_may_act().filter_map(|event| event.uris().first());
        let mut events = settings.events_requested.clone();
        if events.is_empty() {
            events = known.map(|uri| (*uri).to_owned()).collect();
        }
        Ok(Some(Self {
            delivery,
            events,
            are_events_named: !settings.events_requested.is_empty(),
            subjects: settings.subjects.clone(),
            description: format!("Portcullis, stream {}", stream.name),
            audiences: stream.audiences.clone(),
            stream_id: settings.stream_id.clone(),
        }))
    }

    /// By which method events are to come.
    pub(super) const fn method(&self) -> &'static str {
        match self.delivery {
            PlannedDelivery::Poll => POLL_METHOD,
            PlannedDelivery::Push(_) => PUSH_METHOD,
        }
    }

    /// What is asked for, in the words of its transmitter, with what each push is to have as
    /// `Authorization`.
    pub(super) fn wanted(&self, spelling: Spelling, authorization: Option<String>) -> Wanted {
        let (endpoint_url, authorization_header) = match &self.delivery {
            PlannedDelivery::Poll => (None, None),
            PlannedDelivery::Push(url) => (Some(url.clone()), authorization),
        };
        let delivery = WantedDelivery {
            method: self.method(),
            spelling,
            endpoint_url,
            authorization_header,
        };
        let (events, description) = (self.events.clone(), self.description.clone());
        Wanted::new(delivery, events, description)
    }
}
