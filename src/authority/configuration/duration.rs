//! Lengths of time, which are longer here than in the filter's configuration.

use std::time::Duration;

use serde_json::Value;

use crate::configuration::{Node, Read};

/// A length of time above zero: `30m`, `12h`, `90d`, or as in the filter's configuration, `1800s`.
pub(in crate::authority) fn duration(node: Node<'_>) -> Read<Duration> {
    let Value::String(text) = node.value()? else {
        return node.duration();
    };
    let mut units = UNITS.iter();
    let seconds = units.find_map(|(unit, seconds)| {
        let number = text.strip_suffix(*unit)?;
        let is_plain = number.bytes().all(|byte| byte.is_ascii_digit());
        let number: u32 = number.parse().ok().filter(|_| is_plain)?;
        Some(u64::from(number) * seconds)
    });
    match seconds.filter(|seconds| *seconds > 0) {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => node.duration(),
    }
}

const UNITS: [(char, u64); 3] = [('m', 60), ('h', 3_600), ('d', 86_400)];
