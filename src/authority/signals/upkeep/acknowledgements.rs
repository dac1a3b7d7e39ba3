//! What is owed to the transmitter of a polled stream: which events are on the disk here, and which
//! are refused.

use serde_json::{Map, Value, json};

use super::super::transmitter::{PollRequest, SetError};

/// What is owed. It is dropped once the transmitter has it, or when the process ends: an event that
/// was not acknowledged comes again.
#[derive(Debug, Default)]
pub(super) struct Acknowledgements {
    done: Vec<String>,
    refused: Map<String, Value>,
}

impl Acknowledgements {
    /// The event of this `jti` is on the disk.
    pub(super) fn acknowledge(&mut self, id: String) {
        if !self.done.contains(&id) {
            self.done.push(id);
        }
    }

    /// The event of this `jti` is refused, for good.
    pub(super) fn refuse(&mut self, id: String, error: &SetError) {
        let error = json!({"err": error.err, "description": error.description});
        self.refused.insert(id, error);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.done.is_empty() && self.refused.is_empty()
    }

    /// A poll for so many events that also says what is owed.
    pub(super) fn poll(&self, max_events: u32) -> PollRequest {
        PollRequest {
            max_events,
            return_immediately: false,
            ack: self.done.clone(),
            set_errors: self.refused.clone(),
        }
    }

    /// A request that says what is owed, and nothing else (RFC 8936 section 2.4, "acknowledge only").
    pub(super) fn alone(&self) -> PollRequest {
        PollRequest {
            return_immediately: true,
            ..self.poll(0)
        }
    }

    /// The transmitter has it, or does not want it.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(request: &PollRequest) -> Value {
        serde_json::to_value(request).unwrap()
    }

    #[test]
    fn polls_are_as_the_specification_writes_them() {
        let mut owed = Acknowledgements::default();
        let nothing = json!({"maxEvents": 10, "returnImmediately": false});
        assert_eq!(written(&owed.poll(10)), nothing);
        assert!(owed.is_empty());
        owed.acknowledge("a".to_owned());
        owed.acknowledge("a".to_owned());
        let error = SetError {
            err: "invalid_key",
            description: "why".to_owned(),
        };
        owed.refuse("b".to_owned(), &error);
        let expected = json!({
            "maxEvents": 0, "returnImmediately": true, "ack": ["a"],
            "setErrs": {"b": {"err": "invalid_key", "description": "why"}},
        });
        assert_eq!(written(&owed.alone()), expected);
        owed.clear();
        assert!(owed.is_empty());
    }
}
