//! How upstreams read paths, each written down as it does it: what the gate decides must hold for
//! them, though it does not know them.

/// A way to read paths.
type Reader = fn(&[u8]) -> Vec<u8>;

pub(super) const ALL: [(&str, Reader); 13] = [
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
    ("one that trims segments (Windows)", |path| {
        resolved(&trimmed(&decoded(path)), true)
    }),
    ("one that trims segments behind one that resolves", |path| {
        resolved(&trimmed(&decoded(&resolved(path, false))), false)
    }),
    ("one that ends at a zero byte", |path| {
        let path = decoded(path);
        let end = path.iter().position(|byte| *byte == 0);
        resolved(&path[..end.unwrap_or(path.len())], false)
    }),
    ("one that takes overlong UTF-8 and %u (IIS 5)", |path| {
        resolved(&with_overlong(&decoded(&with_utf16(path))), true)
    }),
    ("one that normalises (NFKC)", |path| {
        let path = String::from_utf8_lossy(&decoded(path)).into_owned();
        let path = path.replace('\u{ff0e}', ".").replace('\u{2025}', "..");
        let path = path
            .replace(['\u{ff0f}', '\u{2044}'], "/")
            .replace('\u{ff41}', "a");
        resolved(path.as_bytes(), false)
    }),
];

/// Without blanks round segments, and without dots behind those that have more than dots.
fn trimmed(path: &[u8]) -> Vec<u8> {
    let segments = path.split(|byte| *byte == b'/').map(|segment| {
        let mut segment = segment.trim_ascii();
        while !segment.iter().all(|byte| *byte == b'.') && segment.ends_with(b".") {
            segment = segment[..segment.len() - 1].trim_ascii_end();
        }
        segment
    });
    segments.collect::<Vec<_>>().join(&b'/')
}

/// With `%u002e` and the like decoded, as far as they are ASCII.
fn with_utf16(path: &[u8]) -> Vec<u8> {
    let mut text = String::from_utf8_lossy(path).into_owned();
    for (code, letter) in [("002e", "."), ("002f", "/"), ("2215", "/")] {
        text = text.replace(&format!("%u{code}"), letter);
    }
    text.into_bytes()
}

/// With two bytes for one of ASCII taken for it.
fn with_overlong(path: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = path.iter();
    while let Some(byte) = rest.next() {
        match (byte, rest.as_slice().first()) {
            (0xc0 | 0xc1, Some(next)) => {
                plain.push((byte & 1) << 6 | next & 0x3f);
                rest.next();
            }
            _ => plain.push(*byte),
        }
    }
    plain
}

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
    let mut index = 0;
    while index < path.len() {
        let digits = path.get(index + 1..index + 3);
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if path[index] == b'%' => {
                decoded.push(byte);
                index += 3;
            }
            _ => {
                decoded.push(path[index]);
                index += 1;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::path::readings;

    /// What an attacker makes paths of.
    const PIECES: [&str; 34] = [
        "/",
        "/",
        "/",
        "/",
        "/",
        "..",
        "..",
        ".",
        "public",
        "public",
        "public",
        "admin",
        ";",
        "\\",
        "%2e",
        "%2f",
        "%5c",
        "%3b",
        "%25",
        "%252e",
        "%252f",
        "%00",
        "%3f",
        "x",
        "..;",
        "%20",
        "%09",
        "...",
        "%c0%ae",
        "%u002e",
        "%ef%bc%8f",
        "%e2%80%a5",
        "%ef%bd%81",
        "%e2%81%84",
    ];

    fn is_open(path: &[u8]) -> bool {
        let rest = path.strip_prefix(b"/public");
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    }

    #[test]
    fn what_is_open_in_every_reading_is_open_for_every_upstream() {
        let paths = std::env::var("PORTCULLIS_PATHS").ok();
        let paths = paths.and_then(|paths| paths.parse().ok());
        // A linear congruential generator (Knuth, MMIX).
        let mut state = 1_u64;
        let mut random = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from((state >> 33) % below).unwrap()
        };
        let mut open = 0;
        for _ in 0..paths.unwrap_or(20_000) {
            let pieces = 1 + random(12);
            let rest: Vec<_> = (0..pieces).map(|_| PIECES[random(34)]).collect();
            let path = format!("/public/{}", rest.concat()).into_bytes();
            if !is_open(&path) || !readings::all(&path, is_open) {
                continue;
            }
            open += 1;
            for (reader, read) in ALL {
                let read = read(&path);
                assert!(
                    is_open(&read),
                    "{reader} reads {} as {}",
                    path.escape_ascii(),
                    read.escape_ascii()
                );
            }
        }
        assert!(open > 1000, "{open}");
    }
}
