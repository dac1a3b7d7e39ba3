//! Certificates of servers on this machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A certificate for 127.0.0.1 that signs itself, and its key, in two files of this directory.
pub(crate) fn make_certificate(directory: &Path) -> (String, String) {
    make_certificate_named(directory, "localhost", "CA:FALSE")
}

/// The same with these basic constraints (RFC 5280 section 4.2.1.9).
pub(crate) fn make_certificate_with(directory: &Path, constraints: &str) -> (String, String) {
    make_certificate_named(directory, "localhost", constraints)
}

fn make_certificate_named(directory: &Path, name: &str, constraints: &str) -> (String, String) {
    let constraints = format!("basicConstraints=critical,{constraints}");
    let subject = format!("/CN={name}");
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path("certificate.pem"), path("key.pem"));
    openssl(&[
        &NEW_KEY,
        &["-x509", "-days", "2", "-subj", &subject],
        &["-addext", "subjectAltName=IP:127.0.0.1"],
        &["-addext", &constraints],
        &["-keyout", &key, "-out", &certificate],
    ]);
    (certificate, key)
}

/// One that signs certificates of servers.
#[allow(dead_code, reason = "not all tests that include this need one")]
pub(crate) struct Issuer(TempDir);

#[allow(dead_code, reason = "not all tests that include this need one")]
impl Issuer {
    /// One of this name, by which it is looked for.
    pub(crate) fn make(name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        make_certificate_named(directory.path(), name, "CA:TRUE");
        Self(directory)
    }

    /// The file with its own certificate.
    pub(crate) fn certificate(&self) -> String {
        self.path("certificate.pem")
    }

    /// A certificate for a server of this name, such as `DNS:db.example` or `IP:127.0.0.1`, and its key.
    pub(crate) fn issue(&self, name: &str) -> (String, String) {
        self.issue_to("a server", name)
    }

    /// The same, to a subject of this common name.
    pub(crate) fn issue_to(&self, subject: &str, name: &str) -> (String, String) {
        let subject = format!("/CN={subject}");
        let file = name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
        let path = |extension: &str| self.path(&format!("{file}.{extension}"));
        let (request, certificate, key) = (path("request"), path("pem"), path("key"));
        let extensions = path("extensions");
        fs::write(&extensions, format!("subjectAltName={name}\n")).unwrap();
        openssl(&[
            &NEW_KEY,
            &["-subj", &subject],
            &["-keyout", &key, "-out", &request],
        ]);
        openssl(&[
            &[
                "x509",
                "-req",
                "-days",
                "2",
                "-in",
                &request,
                "-extfile",
                &extensions,
            ],
            &["-CA", &self.certificate(), "-CAkey", &self.path("key.pem")],
            &["-CAcreateserial", "-out", &certificate],
        ]);
        (certificate, key)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}

/// The beginning of a command that makes a key and signs something with it.
const NEW_KEY: [&str; 6] = [
    "req",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
];

fn openssl(arguments: &[&[&str]]) {
    let made = Command::new("openssl")
        .args(arguments.concat())
        .output()
        .expect("`openssl`");
    let told = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{told}");
}
