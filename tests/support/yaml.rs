//! YAML as JSON, for the files of operators that tests load with a change.

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};
use serde_json::{Map, Value};

/// The one document of a text.
pub(crate) fn read_yaml(text: &str) -> Value {
    let mut reader = Reader(Parser::new_from_str(text));
    loop {
        match reader.next() {
            Event::StreamStart | Event::DocumentStart(_) => {}
            event => return reader.value(event),
        }
    }
}

struct Reader<'t>(Parser<'t, StrInput<'t>>);

impl<'t> Reader<'t> {
    fn next(&mut self) -> Event<'t> {
        let event = self.0.next().expect("an event before the end");
        event.expect("YAML").0
    }

    fn value(&mut self, event: Event<'t>) -> Value {
        match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) => {
                serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.into_owned()))
            }
            Event::Scalar(text, ..) => Value::String(text.into_owned()),
            Event::SequenceStart(..) => {
                let mut elements = Vec::new();
                loop {
                    match self.next() {
                        Event::SequenceEnd => return Value::Array(elements),
                        event => elements.push(self.value(event)),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut members = Map::new();
                loop {
                    match self.next() {
                        Event::MappingEnd => return Value::Object(members),
                        Event::Scalar(name, ..) => {
                            let event = self.next();
                            let value = self.value(event);
                            let before = members.insert(name.clone().into_owned(), value);
                            assert!(before.is_none(), "{name} is there twice");
                        }
                        other => panic!("expected a name, found {other:?}"),
                    }
                }
            }
            other => panic!("expected a value, found {other:?}"),
        }
    }
}
