//! Why the authority gave no answer: one sentence for each reason, and one exit code for each thing
//! to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use rustls::{CertificateError, InvalidMessage};

use super::super::printable::printable;
use crate::authority::http::{LineFault, ProblemBody};

/// Why there is no answer to print.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A file could not be read.
    #[error("could not read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is to be sent could not be read.
    #[error("could not read the input")]
    Input(#[source] io::Error),
    /// A file holds no certificate.
    #[error("`{}` holds no certificate", .0.display())]
    Certificate(PathBuf),
    /// The given credential is malformed.
    #[error("expected a credential on one line, found something else")]
    Credential,
    /// There is no answer.
    #[error("could not reach the authority at {url}")]
    Unreachable {
        /// Its address.
        url: String,
        /// What went wrong.
        source: Box<ureq::Error>,
    },
    /// The connection broke off in the middle of an import.
    #[error("the connection to the authority at {url} broke off while the import was under way")]
    ImportBrokenOff {
        /// Its address.
        url: String,
        /// What went wrong.
        source: Box<ureq::Error>,
    },
    /// The address is malformed.
    #[error("expected the URL of an authority, found `{url}`")]
    Url {
        /// The address.
        url: String,
        /// What is wrong with it.
        source: Box<ureq::Error>,
    },
    /// Plain HTTP was sent to a peer that speaks TLS.
    #[error("the server at {url} speaks TLS")]
    SpeaksTls {
        /// The address.
        url: String,
    },
    /// A TLS connection was begun with a peer that speaks plain HTTP, or anything else.
    #[error("the server at {url} speaks no TLS")]
    SpeaksNoTls {
        /// The address.
        url: String,
    },
    /// Both speak TLS, but have no version or cipher in common.
    #[error("could not agree on TLS with {url}")]
    Tls {
        /// The address.
        url: String,
        /// What went wrong.
        source: Box<ureq::Error>,
    },
    /// The certificate of the peer is not trusted.
    #[error("the certificate of {url} {distrust}")]
    Untrusted {
        /// The address.
        url: String,
        /// Why not.
        distrust: Distrust,
    },
    /// The answer is not HTTP.
    #[error("the server at {url} speaks no HTTP")]
    SpeaksNoHttp {
        /// The address.
        url: String,
        /// What went wrong.
        source: Box<ureq::Error>,
    },
    /// The server that answers is not an authority.
    #[error("expected an answer of the authority, found status {0}")]
    Status(u16),
    /// The answer is not in the expected form.
    #[error("expected an answer of the authority")]
    Answer(#[source] serde_json::Error),
    /// The authority requires a credential, and got none.
    #[error("the authority expects a credential, and none was given")]
    NoCredential,
    /// The authority does not know the credential.
    #[error("the authority does not know the credential that was given")]
    UnknownCredential,
    /// The credential does not permit the request.
    #[error("the credential is not for this: {}", printable(.0))]
    Role(String),
    /// The authority refuses.
    #[error("the authority refuses: {}{}", printable(&.0.detail), lines(.0))]
    Refused(Box<ProblemBody>),
    /// The authority failed to do it.
    #[error("the authority cannot do it at present: {}", printable(&.0.detail))]
    Unable(Box<ProblemBody>),
    /// The server says that it is not ready, and why.
    #[error("it is not ready: {}", printable(.0))]
    NotReady(String),
}

/// Why a certificate is not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Distrust {
    /// It leads to no trusted certificate authority.
    Stranger,
    /// It is the certificate of a certificate authority, which no server may show as its own.
    OwnAuthority,
    /// It is for other names; in words.
    Name(String),
    /// It has expired or is not valid yet; in words.
    Time(String),
    /// Anything else; in words.
    Other(String),
}

impl fmt::Display for Distrust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stranger => {
                formatter.write_str("is not trusted: no trusted certificate authority has made it")
            }
            Self::OwnAuthority => formatter.write_str(
                "is not usable: it is made as a certificate authority (`CA:TRUE`), not as a \
                 server's certificate",
            ),
            Self::Name(detail) => write!(formatter, "is for another name: {detail}"),
            Self::Time(detail) => write!(formatter, "is not valid now: {detail}"),
            Self::Other(detail) => write!(formatter, "is not usable: {detail}"),
        }
    }
}

impl ClientError {
    /// What a failed exchange was.
    pub(super) fn of(url: &str, error: ureq::Error) -> Self {
        let url = url.to_owned();
        if let Some(fault) = tls_fault(&error) {
            return match fault {
                rustls::Error::InvalidCertificate(fault) => Self::Untrusted {
                    url,
                    distrust: Distrust::of(fault),
                },
                rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
                    Self::SpeaksNoTls { url }
                }
                _ => Self::Tls {
                    url,
                    source: Box::new(error),
                },
            };
        }
        let source = Box::new(error);
        match *source {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => Self::Url { url, source },
            ureq::Error::Protocol(_) => Self::SpeaksNoHttp { url, source },
            _ => Self::Unreachable { url, source },
        }
    }

    /// Whether it is what comes of plain HTTP to a peer that expects TLS, or the other way round: an
    /// answer that is not HTTP, or none, on a connection that came about.
    pub(super) fn is_hung_up(&self) -> bool {
        use io::ErrorKind as Kind;
        match self {
            Self::SpeaksNoHttp { .. } => true,
            Self::Unreachable { source, .. } => match &**source {
                ureq::Error::Io(error) => matches!(
                    error.kind(),
                    Kind::UnexpectedEof
                        | Kind::ConnectionReset
                        | Kind::ConnectionAborted
                        | Kind::BrokenPipe
                ),
                _ => false,
            },
            _ => false,
        }
    }

    /// The same of an import of which something was sent already.
    pub(in crate::cli) fn during_import(self) -> Self {
        match self {
            Self::Unreachable { url, source } => Self::ImportBrokenOff { url, source },
            other => other,
        }
    }

    /// Whether the authority itself did not answer.
    #[must_use]
    pub const fn is_of_the_way(&self) -> bool {
        !matches!(
            self,
            Self::NoCredential
                | Self::UnknownCredential
                | Self::Role(_)
                | Self::Refused(_)
                | Self::Unable(_)
                | Self::NotReady(_)
                | Self::Status(_)
                | Self::Answer(_)
        )
    }

    /// What the reader can do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } | Self::Url { .. } => Some(
                "`portcullis serve` starts one; `--authority` or `PORTCULLIS_AUTHORITY` says \
                 where it is",
            ),
            Self::ImportBrokenOff { .. } => Some(
                "an import counts as a whole or not at all, and this one was not acknowledged: \
                 run it again",
            ),
            Self::SpeaksTls { .. } => Some(
                "write `https://` in `--authority`; a credential that was sent could be read on the \
                 way: replace it",
            ),
            Self::SpeaksNoTls { .. } => Some("write `http://` in `--authority`"),
            Self::SpeaksNoHttp { .. } => {
                Some("if it speaks TLS, write `https://` in `--authority`; else it is no authority")
            }
            Self::NoCredential => Some(
                "name the file with the secret in `--credential-file`, or set \
                 `PORTCULLIS_CREDENTIAL`",
            ),
            Self::UnknownCredential | Self::Credential => Some(
                "`portcullis credential` makes one: it prints the secret, and the authority's \
                 `--credentials` file gets its hash",
            ),
            Self::Role(_) => Some("`portcullis credential --role ROLE` makes one with that role"),
            Self::Untrusted { distrust, .. } => distrust.hint(),
            _ => None,
        }
    }

    /// The exit code of the process.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Url { .. } => 2,
            Self::Unreachable { .. } | Self::ImportBrokenOff { .. } => 3,
            Self::SpeaksTls { .. }
            | Self::SpeaksNoTls { .. }
            | Self::SpeaksNoHttp { .. }
            | Self::Tls { .. }
            | Self::Status(_)
            | Self::Answer(_) => 4,
            Self::Untrusted { .. } => 5,
            Self::NoCredential | Self::UnknownCredential => 6,
            Self::Role(_) => 7,
            Self::Refused(_) => 8,
            Self::Unable(_) | Self::NotReady(_) => 9,
            Self::Read { .. } | Self::Input(_) | Self::Certificate(_) | Self::Credential => 10,
        }
    }
}

impl Distrust {
    fn of(fault: &CertificateError) -> Self {
        use CertificateError as Fault;
        match fault {
            // One of the same name as a trusted one comes to a bad signature.
            Fault::UnknownIssuer | Fault::BadSignature => Self::Stranger,
            Fault::NotValidForName | Fault::NotValidForNameContext { .. } => {
                Self::Name(fault.to_string())
            }
            Fault::Expired
            | Fault::ExpiredContext { .. }
            | Fault::NotValidYet
            | Fault::NotValidYetContext { .. } => Self::Time(fault.to_string()),
            // What checks certificates says so in its own words, which have no type here.
            other if other.to_string().contains("CaUsedAsEndEntity") => Self::OwnAuthority,
            other => Self::Other(other.to_string()),
        }
    }

    const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Stranger => Some(
                "name the certificate authority that has made it, or the certificate itself where \
                 it has signed itself, in `--certificate-authority`",
            ),
            Self::OwnAuthority => Some(
                "`openssl req -x509` makes such a one unless it is told `-addext \
                 basicConstraints=critical,CA:FALSE`: make it anew and give it to \
                 `portcullis serve`",
            ),
            Self::Name(_) => Some(
                "ask by a name that it is for, in `--authority`, or make it anew with \
                 `subjectAltName`",
            ),
            Self::Time(_) => Some(
                "give `portcullis serve` a new one, which it takes without a restart; if it is not over, \
                 look at the clocks of both machines",
            ),
            Self::Other(_) => None,
        }
    }
}

/// What went wrong with TLS, wherever the error has it.
fn tls_fault(error: &ureq::Error) -> Option<&rustls::Error> {
    match error {
        ureq::Error::Rustls(fault) => Some(fault),
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref(),
        _ => None,
    }
}

fn lines(problem: &ProblemBody) -> String {
    let line = |fault: &LineFault| format!("\nline {}: {}", fault.line, printable(&fault.message));
    let more = match problem.more_lines {
        0 => String::new(),
        more => format!("\nand {more} more"),
    };
    problem.lines.iter().map(line).chain([more]).collect()
}
