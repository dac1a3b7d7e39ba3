//! How upstreams read paths, each written down as it does it: what the gate thinks of must hold for
//! them, though it does not know them.

/// Somebody who reads paths.
type Reader = fn(&[u8]) -> Vec<u8>;

pub(super) const ALL: [(&str, Reader); 8] = [
    ("one that takes it as it is", <[u8]>::to_vec),
    ("one that resolves (RFC 3986)", |path| resolved(path, false)),
    ("one that decodes, merges and resolves (nginx)", |path| {
        resolved(&decoded(path), true)
    }),
    ("one that drops parameters first (Tomcat)", |path| {
        resolved(&decoded(&without_parameters(path)), true)
    }),
    ("one that drops parameters last", |path| {
        resolved(&without_parameters(&decoded(path)), false)
    }),
    ("one on Windows (IIS)", |path| {
        resolved(
            &decoded(path).map_bytes(|byte| if byte == b'\\' { b'/' } else { byte }),
            true,
        )
    }),
    ("one that decodes twice", |path| {
        resolved(&decoded(&decoded(path)), true)
    }),
    ("one that decodes behind one that resolves", |path| {
        resolved(&decoded(&resolved(path, true)), false)
    }),
];

trait MapBytes {
    fn map_bytes(self, map: impl Fn(u8) -> u8) -> Self;
}

impl MapBytes for Vec<u8> {
    fn map_bytes(self, map: impl Fn(u8) -> u8) -> Self {
        self.into_iter().map(map).collect()
    }
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut place = 0;
    while place < path.len() {
        let digits = path.get(place + 1..place + 3);
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if path[place] == b'%' => {
                decoded.push(byte);
                place += 3;
            }
            _ => {
                decoded.push(path[place]);
                place += 1;
            }
        }
    }
    decoded
}

fn without_parameters(path: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut is_parameter = false;
    for byte in path {
        is_parameter = *byte != b'/' && (is_parameter || *byte == b';');
        if !is_parameter {
            kept.push(*byte);
        }
    }
    kept
}

fn resolved(path: &[u8], merges: bool) -> Vec<u8> {
    let mut stack: Vec<&[u8]> = Vec::new();
    let segments: Vec<_> = path.split(|byte| *byte == b'/').collect();
    let segments = segments.strip_prefix(&[&b""[..]]).unwrap_or(&segments);
    for segment in segments {
        match *segment {
            b"." => {}
            b"" if merges => {}
            b".." => drop(stack.pop()),
            name => stack.push(name),
        }
    }
    [b"/", &*stack.join(&b'/')].concat()
}
