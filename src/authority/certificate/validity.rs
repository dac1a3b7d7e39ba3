//! Until when a certificate is good (RFC 5280 section 4.1.2.5).

use std::time::SystemTime;

const SEQUENCE: u8 = 0x30;
/// `version` of a certificate.
const CONTEXT_0: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The instant after which this certificate, in DER, is good no more; `None` where it is none.
pub(super) fn end(certificate: &[u8]) -> Option<SystemTime> {
    let mut certificate = content(&mut { certificate }, SEQUENCE)?;
    let mut fields = content(&mut certificate, SEQUENCE)?;
    let (first, _) = element(&mut fields)?;
    // Serial number, unless that was it; signature, issuer.
    for _ in 0..2 + usize::from(first == CONTEXT_0) {
        element(&mut fields)?;
    }
    let mut validity = content(&mut fields, SEQUENCE)?;
    element(&mut validity)?;
    let (kind, text) = element(&mut validity)?;
    let text = std::str::from_utf8(text).ok()?;
    let text = match kind {
        UTC_TIME => {
            // Until 2049 (RFC 5280 section 4.1.2.5.1).
            let century = if text.get(..2)? < "50" { "20" } else { "19" };
            format!("{century}{text}")
        }
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let at = |from: usize| text.get(from..from + 2);
    let (year, month, day) = (text.get(..4)?, at(4)?, at(6)?);
    let (hour, minute, second) = (at(8)?, at(10)?, at(12)?);
    let zone = text.get(14..)?;
    humantime::parse_rfc3339(&format!(
        "{year}-{month}-{day}T{hour}:{minute}:{second}{zone}"
    ))
    .ok()
}

/// The content of the next element, which has to be of this kind.
fn content<'a>(rest: &mut &'a [u8], kind: u8) -> Option<&'a [u8]> {
    let (found, content) = element(rest)?;
    (found == kind).then_some(content)
}

/// The next element: its tag and its content.
fn element<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (tag, after) = rest.split_first()?;
    let (length, mut after) = after.split_first()?;
    let mut length = usize::from(*length);
    if length >= 0x80 {
        let (digits, behind) = after.split_at_checked(length - 0x80)?;
        // No file is as long as three bytes can say.
        if digits.len() > 3 {
            return None;
        }
        length = digits
            .iter()
            .fold(0, |sum, digit| (sum << 8) | usize::from(*digit));
        after = behind;
    }
    let (content, behind) = after.split_at_checked(length)?;
    *rest = behind;
    Some((*tag, content))
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    /// By `openssl req -x509 -newkey ed25519 -days 90`, and for a hundred years.
    const CERTIFICATES: [(&str, &str); 2] = [
        (
            "2027-03-01T13:03:48Z",
            "\
-----BEGIN CERTIFICATE-----
MIIBLDCB36ADAgECAhRg4pxNQiQGYqMVsJDB33+xuG95hzAFBgMrZXAwDDEKMAgG
A1UEAwwBYTAeFw0yNjEyMDExMzAzNDhaFw0yNzAzMDExMzAzNDhaMAwxCjAIBgNV
BAMMAWEwKjAFBgMrZXADIQC/53sBProD4GYMoSC9hmR2E29fNXF71prDPg4gQP17
QqNTMFEwHQYDVR0OBBYEFDT0MfTgVlIm/ndQKlP/N4ZrsrSxMB8GA1UdIwQYMBaA
FDT0MfTgVlIm/ndQKlP/N4ZrsrSxMA8GA1UdEwEB/wQFMAMBAf8wBQYDK2VwA0EA
lHdj4+wLboXGcFGMvOCHp9gbQFYirPLos4ZpWqWpgIKDLWpxrDJ8D79pS1Mdg0w6
McJrdjaJgZrMTEzZbB3TDw==
-----END CERTIFICATE-----
",
        ),
        (
            "2126-11-07T13:03:48Z",
            "\
-----BEGIN CERTIFICATE-----
MIIBLjCB4aADAgECAhQL8jiXyEvnGFDXlZuWpJIRsWpbpTAFBgMrZXAwDDEKMAgG
A1UEAwwBYTAgFw0yNjEyMDExMzAzNDhaGA8yMTI2MTEwNzEzMDM0OFowDDEKMAgG
A1UEAwwBYTAqMAUGAytlcAMhAA0klsWtoVytogVRQHHr5qG1UCCVGcWwB0GhEUiO
eShdo1MwUTAdBgNVHQ4EFgQUmd0cVv+y2voFr6CISokoWPEcCXQwHwYDVR0jBBgw
FoAUmd0cVv+y2voFr6CISokoWPEcCXQwDwYDVR0TAQH/BAUwAwEB/zAFBgMrZXAD
QQB13/c5UTTo7tYrj6JbL9O82ySrk6orXd5tvXQwPJ4wcEZeXlH0NJRjHDzht3ty
0FzRhzOqd8oqTurKY5DdfloH
-----END CERTIFICATE-----
",
        ),
    ];

    #[test]
    fn the_end_is_read_in_both_ways_of_writing_it() {
        for (expected, text) in CERTIFICATES {
            let certificate = CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
            let end = end(&certificate).unwrap();
            assert_eq!(humantime::format_rfc3339(end).to_string(), expected);
        }
    }

    #[test]
    fn what_is_cut_off_anywhere_has_no_end_that_is_read() {
        let certificate = CertificateDer::from_pem_slice(CERTIFICATES[0].1.as_bytes()).unwrap();
        for length in 0..certificate.len() {
            assert_eq!(end(&certificate[..length]), None, "{length}");
        }
    }
}
