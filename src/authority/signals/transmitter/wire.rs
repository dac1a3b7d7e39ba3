//! What is sent to a transmitter and what it answers.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::fault::{Fault, FaultReason};
use super::read;

/// Delivery by push (RFC 8935).
pub(in crate::authority::signals) const PUSH_METHOD: &str = "urn:ietf:rfc:8935";

/// Delivery by poll (RFC 8936).
pub(in crate::authority::signals) const POLL_METHOD: &str = "urn:ietf:rfc:8936";

/// What the same is called that is none of these, in RISC of before.
const OLDER_METHODS: [(&str, &str); 2] = [
    (
        PUSH_METHOD,
        "https://schemas.openid.net/secevent/risc/delivery-method/push",
    ),
    (
        POLL_METHOD,
        "https://schemas.openid.net/secevent/risc/delivery-method/poll",
    ),
];

/// How a transmitter calls the ways of delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authority::signals) enum Spelling {
    /// As the framework has it, in `method` and `endpoint_url`.
    Framework,
    /// As RISC had it before, in `delivery_method` and `url`.
    Older,
}

impl Spelling {
    /// Every spelling; the one that is preferred comes first.
    pub(super) const ALL: [Self; 2] = [Self::Framework, Self::Older];

    /// What it calls a method.
    pub(super) fn of(self, method: &'static str) -> &'static str {
        let mut older = OLDER_METHODS.iter();
        let older = older.find(|(known, _)| *known == method);
        match (self, older) {
            (Self::Older, Some((_, older))) => older,
            _ => method,
        }
    }
}

/// Events that are looked at of one answer, whatever was asked for. The others come again.
pub(in crate::authority::signals) const MOST_SETS: usize = 1_000;

/// What a stream should be (section 8.1.1): the receiver's part of its configuration.
#[derive(Clone, Debug, Serialize)]
pub(in crate::authority::signals) struct Wanted {
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_id: Option<String>,
    pub(in crate::authority::signals) delivery: WantedDelivery,
    pub(in crate::authority::signals) events_requested: Vec<String>,
    pub(in crate::authority::signals) description: String,
}

/// How events should come.
#[derive(Clone)]
pub(in crate::authority::signals) struct WantedDelivery {
    pub(in crate::authority::signals) method: &'static str,
    pub(in crate::authority::signals) spelling: Spelling,
    pub(in crate::authority::signals) endpoint_url: Option<String>,
    /// What each push has as its header `Authorization`.
    pub(in crate::authority::signals) authorization_header: Option<String>,
}

impl Serialize for WantedDelivery {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (method, url) = match self.spelling {
            Spelling::Framework => ("method", "endpoint_url"),
            Spelling::Older => ("delivery_method", "url"),
        };
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry(method, self.spelling.of(self.method))?;
        if let Some(endpoint_url) = &self.endpoint_url {
            members.serialize_entry(url, endpoint_url)?;
        }
        if let Some(authorization) = &self.authorization_header {
            members.serialize_entry("authorization_header", authorization)?;
        }
        members.end()
    }
}

impl fmt::Debug for WantedDelivery {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("WantedDelivery");
        shown.field("method", &self.method).finish_non_exhaustive()
    }
}

impl Wanted {
    /// A stream that is delivered like this.
    pub(in crate::authority::signals) const fn new(
        delivery: WantedDelivery,
        events_requested: Vec<String>,
        description: String,
    ) -> Self {
        Self {
            stream_id: None,
            delivery,
            events_requested,
            description,
        }
    }

    /// The same for a stream that there is.
    pub(super) fn of_stream(&self, stream_id: &str) -> Self {
        Self {
            stream_id: Some(stream_id.to_owned()),
            ..self.clone()
        }
    }

    /// Whether a stream is the one that was made for this receiver: a pushed one goes to its URL, and
    /// a polled one has its description.
    pub(in crate::authority::signals) fn is_ours(&self, stream: &StreamDescription) -> bool {
        let Some(delivery) = &stream.delivery else {
            return false;
        };
        if !self.is_method(delivery) {
            return false;
        }
        match &self.delivery.endpoint_url {
            Some(url) => delivery.endpoint_url.as_ref() == Some(url),
            None => stream.description.as_ref() == Some(&self.description),
        }
    }

    /// Whether a stream is as it should be. One that does not say it is not.
    pub(in crate::authority::signals) fn fits(&self, stream: &StreamDescription) -> bool {
        let fits_delivery = stream.delivery.as_ref().is_some_and(|delivery| {
            let url = self.delivery.endpoint_url.as_ref();
            self.is_method(delivery)
                && url.is_none_or(|url| delivery.endpoint_url.as_ref() == Some(url))
        });
        let fits_events = stream.events_requested.as_ref().is_some_and(|events| {
            let all = self.events_requested.iter();
            events.len() == self.events_requested.len()
                && all.clone().all(|event| events.contains(event))
        });
        fits_delivery && fits_events
    }

    fn is_method(&self, delivery: &DeliveryDescription) -> bool {
        // A transmitter may have changed its spelling since.
        let spellings = Spelling::ALL.map(|spelling| spelling.of(self.delivery.method));
        let found = delivery.method.as_deref();
        found.is_some_and(|found| spellings.contains(&found))
    }
}

/// A stream, as its transmitter describes it. Older transmitters call the members of `delivery`
/// `delivery_method` and `url`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(in crate::authority::signals) struct StreamDescription {
    pub(in crate::authority::signals) stream_id: String,
    #[serde(default)]
    pub(super) iss: Option<String>,
    #[serde(default)]
    aud: Option<Value>,
    #[serde(default)]
    pub(in crate::authority::signals) delivery: Option<DeliveryDescription>,
    #[serde(default)]
    pub(in crate::authority::signals) events_requested: Option<Vec<String>>,
    #[serde(default)]
    pub(in crate::authority::signals) events_delivered: Option<Vec<String>>,
    #[serde(default)]
    pub(in crate::authority::signals) description: Option<String>,
}

/// How its events come.
#[derive(Clone, Debug, Default, Deserialize)]
pub(in crate::authority::signals) struct DeliveryDescription {
    #[serde(default, alias = "delivery_method")]
    pub(in crate::authority::signals) method: Option<String>,
    #[serde(default, alias = "url")]
    pub(in crate::authority::signals) endpoint_url: Option<String>,
}

impl StreamDescription {
    /// `aud` of its events, if it says so: one text or several.
    pub(in crate::authority::signals) fn audiences(&self) -> Vec<&str> {
        match &self.aud {
            Some(Value::String(audience)) => vec![audience],
            Some(Value::Array(audiences)) => audiences.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

/// What a transmitter answers that is asked for all streams.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    Many(Vec<StreamDescription>),
    One(Box<StreamDescription>),
}

impl OneOrMany {
    pub(super) fn into_vec(self) -> Vec<StreamDescription> {
        match self {
            Self::Many(streams) => streams,
            Self::One(stream) => vec![*stream],
        }
    }
}

#[derive(Deserialize)]
pub(super) struct StatusAnswer {
    pub(super) status: String,
}

/// A poll (RFC 8936 section 2.4).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::authority::signals) struct PollRequest {
    pub(in crate::authority::signals) max_events: u32,
    pub(in crate::authority::signals) return_immediately: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::authority::signals) ack: Vec<String>,
    #[serde(rename = "setErrs", skip_serializing_if = "Map::is_empty")]
    pub(in crate::authority::signals) set_errors: Map<String, Value>,
}

impl PollRequest {
    /// Whether it asks for nothing.
    pub(super) const fn is_acknowledgement_only(&self) -> bool {
        self.max_events == 0
    }
}

/// Why an event is refused (RFC 8935 section 2.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::authority::signals) struct SetError {
    pub(in crate::authority::signals) err: &'static str,
    pub(in crate::authority::signals) description: String,
}

/// What a poll brought.
#[derive(Debug, Default)]
pub(in crate::authority::signals) struct PollAnswer {
    /// The events in their order, by `jti`; none for what is no text.
    pub(in crate::authority::signals) sets: Vec<(String, Option<String>)>,
    /// Whether there are more.
    pub(in crate::authority::signals) more_available: bool,
}

/// As it comes.
#[derive(Deserialize)]
struct PolledAnswer {
    #[serde(default)]
    sets: Option<Sets>,
    #[serde(default, rename = "moreAvailable")]
    more_available: Option<bool>,
}

/// The first events, and whether there were others.
struct Sets {
    first: Vec<(String, Option<String>)>,
    is_cut: bool,
}

impl PollAnswer {
    /// Reads an answer. Only the first [`MOST_SETS`] events are taken.
    pub(in crate::authority::signals) fn parse(answer: &[u8]) -> Result<Self, Fault> {
        let answer: PolledAnswer = read(answer)?;
        let Some(sets) = answer.sets else {
            let detail = "the answer to a poll has no `sets`";
            return Err(FaultReason::AnswerInvalid.because(detail));
        };
        Ok(Self {
            more_available: answer.more_available.unwrap_or(false) || sets.is_cut,
            sets: sets.first,
        })
    }
}

/// In the order in which they stand: events about one subject follow one another (SSF 1.0 section
/// 8.1.2), which a map would forget.
impl<'de> Deserialize<'de> for Sets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder(PhantomData<()>);

        impl<'de> Visitor<'de> for InOrder {
            type Value = Sets;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of events by `jti`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Sets, A::Error> {
                let mut first = Vec::new();
                while first.len() < MOST_SETS {
                    let Some((id, token)) = members.next_entry::<String, Value>()? else {
                        return Ok(Sets {
                            first,
                            is_cut: false,
                        });
                    };
                    let token = match token {
                        Value::String(token) => Some(token),
                        _ => None,
                    };
                    first.push((id, token));
                }
                let mut is_cut = false;
                while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    is_cut = true;
                }
                Ok(Sets { first, is_cut })
            }
        }

        deserializer.deserialize_map(InOrder(PhantomData))
    }
}
