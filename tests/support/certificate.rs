//! Certificates for 127.0.0.1.

use std::path::Path;
use std::process::Command;

/// A certificate for 127.0.0.1 that signs itself, and its key, in two files of this directory.
pub(crate) fn make_certificate(directory: &Path) -> (String, String) {
    make_certificate_with(directory, "CA:FALSE")
}

/// The same with these basic constraints (RFC 5280 section 4.2.1.9).
pub(crate) fn make_certificate_with(directory: &Path, constraints: &str) -> (String, String) {
    let constraints = format!("basicConstraints=critical,{constraints}");
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path("certificate.pem"), path("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", &constraints])
        .args(["-keyout", &key, "-out", &certificate])
        .output()
        .expect("`openssl`");
    let told = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{told}");
    (certificate, key)
}
