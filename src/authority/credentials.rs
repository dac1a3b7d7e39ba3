//! Who may do what.
//!
//! A credential is a secret of 256 random bits that the caller sends as a bearer token. The file
//! has one line for each:
//!
//! ```text
//! # role name sha256-of-the-secret
//! admin on-call 6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b
//! viewer support 4b227777d4dd1fc61c6f884f48641d02b4d121d3fd328cb08b5531fcacdabf8a
//! edge envoys d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35
//! edge+sign-out+sessions phones ef2d127de37b942baad06145e54b0c619a1f22327b2ebbcfbec78f5564afe39d
//! scrape prometheus 4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce
//! ```
//!
//! An edge reads the feed and checks. What it may do for users, or tell of them, are permissions of
//! its own after the role, so that an edge whose secret is stolen can do no more than it needs.
//!
//! # Why a plain SHA-256, and no slow password hash?
//!
//! A slow hash makes up for a password that can be guessed. 256 random bits cannot be, however fast
//! the attempts are, and a slow hash would cost every request what it should cost the thief. For
//! the same reason the look-up need not be constant-time: its timing could only reveal how a hash
//! of the caller's choice compares with others, which does not lead back to a secret.
//!
//! # How is a credential replaced without downtime?
//!
//! The file is read again whenever it changes. Add the new line, hand out the new secret, remove
//! the old line. A file that cannot be read or understood changes nothing and is reported.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::file_stamp::FileStamp;
use super::store::{from_hex, to_hex};

/// Makes a leaked secret recognisable, to people and to scanners.
const PREFIX: &str = "portcullis_";

const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Read what an admin may read: revocations, sessions, edges, signals, streams and figures.
    Viewer,
    /// Read the feed and check.
    Edge,
    /// Read the metrics.
    Scrape,
}

/// What an edge may do beside reading the feed and checking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Sign a user out whose token it shows.
    SignOut,
    /// Report the activity of sessions.
    Activity,
    /// List and end the sessions of a user whose token it shows.
    Sessions,
}

/// A caller that has shown a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// What it may do.
    pub role: Role,
    /// What it may do besides, if it is an edge.
    pub permissions: Vec<Permission>,
    /// Its name in the file, which entry histories record.
    pub name: Arc<str>,
}

/// A credential without its secret, which it does not lead back to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct CredentialId([u8; 32]);

impl fmt::Debug for CredentialId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CredentialId")
    }
}

/// Which callers are served.
#[derive(Clone, Debug)]
pub enum Access {
    /// Callers with a credential, as far as its role allows.
    Credentials(Arc<Credentials>),
    /// Everything, for every program on this machine; the listener is on loopback. Pages in a
    /// browser on this machine can reach it too, and are refused.
    Machine,
    /// Everything, for every client that can connect, because the operator insists.
    Everyone,
}

/// The credentials in force.
#[derive(Debug)]
pub struct Credentials {
    path: PathBuf,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    callers: HashMap<[u8; 32], Caller>,
    seen: Option<FileStamp>,
}

impl Credentials {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// [`CredentialsError`].
    pub fn open(path: &Path) -> Result<Self, CredentialsError> {
        Ok(Self {
            path: path.to_owned(),
            state: RwLock::new(State {
                seen: FileStamp::of(path),
                callers: read(path)?,
            }),
        })
    }

    /// The caller that this secret belongs to.
    #[must_use]
    pub fn caller(&self, secret: &str) -> Option<Caller> {
        self.recognise(secret).map(|(_, caller)| caller)
    }

    /// The same, with what it is known by from then on, so that the secret need not be kept.
    pub(super) fn recognise(&self, secret: &str) -> Option<(CredentialId, Caller)> {
        let id = CredentialId(Sha256::digest(secret).into());
        Some((id, self.known(id)?))
    }

    /// The caller of a credential that was recognised before, if it is still in the file.
    pub(super) fn known(&self, CredentialId(hash): CredentialId) -> Option<Caller> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.callers.get(&hash).cloned()
    }

    /// Reads the file again whenever it has changed, for ever.
    pub async fn follow(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(LOOK_INTERVAL);
        loop {
            ticks.tick().await;
            self.look();
        }
    }

    fn look(&self) {
        let now_seen = FileStamp::of(&self.path);
        {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            if state.seen == now_seen {
                return;
            }
        }
        let read = read(&self.path);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.seen = now_seen;
        match read {
            Ok(callers) => {
                tracing::info!(count = callers.len(), "read the credentials again");
                state.callers = callers;
            }
            Err(error) => tracing::error!(
                error = %super::text::chain_of(&error),
                "the changed credentials are not usable; those from before stay in force"
            ),
        }
    }
}

#[cfg(test)]
impl CredentialId {
    /// That of no secret that is known.
    pub(super) const fn for_test(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Viewer, Self::Edge, Self::Scrape];

    /// The word for it in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Viewer => "viewer",
            Self::Edge => "edge",
            Self::Scrape => "scrape",
        }
    }

    /// Whether this role may do what `needed` may.
    #[must_use]
    pub fn includes(self, needed: Self) -> bool {
        self == Self::Admin || self == needed
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

impl Permission {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::SignOut, Self::Activity, Self::Sessions];

    /// The word for it in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SignOut => "sign-out",
            Self::Activity => "activity",
            Self::Sessions => "sessions",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|permission| permission.name() == name)
    }
}

impl Caller {
    /// Whether it has this permission; an admin has every one.
    #[must_use]
    pub fn may(&self, needed: Permission) -> bool {
        self.role == Role::Admin || self.permissions.contains(&needed)
    }
}

/// Why credentials are not usable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The file could not be read.
    #[error("could not read credentials file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no line.
    #[error(
        "credentials file `{}`: expected at least one credential; `portcullis credential` makes one",
        path.display()
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A line is none of `role name hash`.
    #[error(
        "credentials file `{}`, line {line}: expected `admin`, `viewer`, `edge` or `scrape`, a name and \
         64 hexadecimal digits; after `edge`, any of `+sign-out`, `+activity` and `+sessions`, each once",
        path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
    },
}

/// A new secret, and the line for the file. Only edges have `permissions`.
///
/// # Errors
///
/// When the system has no randomness.
pub fn generate(
    role: Role,
    permissions: &[Permission],
    name: &str,
) -> Result<(String, String), getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    let hash = to_hex(&Sha256::digest(&secret));
    let mut line = role.name().to_owned();
    for permission in permissions {
        line.extend(["+", permission.name()]);
    }
    Ok((secret, format!("{line} {name} {hash}")))
}

fn read(path: &Path) -> Result<HashMap<[u8; 32], Caller>, CredentialsError> {
    let text = fs::read_to_string(path).map_err(|source| CredentialsError::Read {
        path: path.to_owned(),
        source,
    })?;
    let callers = parse(&text).map_err(|line| CredentialsError::Line {
        path: path.to_owned(),
        line,
    })?;
    // Nobody wants to serve nobody: it was being written, or is another file.
    if callers.is_empty() {
        return Err(CredentialsError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(callers)
}

/// The callers by the hashes of their secrets, or the number of the first line that is wrong.
fn parse(text: &str) -> Result<HashMap<[u8; 32], Caller>, usize> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(index, line)| parse_line(line).ok_or(index + 1))
        .collect()
}

fn parse_line(line: &str) -> Option<([u8; 32], Caller)> {
    let mut words = line.split_whitespace();
    let (role, permissions) = parse_role(words.next()?)?;
    let name = words.next()?.into();
    let hash = from_hex(words.next()?)?;
    let caller = Caller {
        role,
        permissions,
        name,
    };
    words.next().is_none().then_some((hash, caller))
}

/// A role, with the permissions of an edge after it.
fn parse_role(word: &str) -> Option<(Role, Vec<Permission>)> {
    let mut words = word.split('+');
    let role = Role::from_name(words.next()?)?;
    let mut permissions = Vec::new();
    for word in words {
        let permission = Permission::from_name(word)?;
        if role != Role::Edge || permissions.contains(&permission) {
            return None;
        }
        permissions.push(permission);
    }
    Some((role, permissions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_secret_identifies_its_caller() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials");
        let (admin, admin_line) = generate(Role::Admin, &[], "console").unwrap();
        let (edge, edge_line) = generate(Role::Edge, &[], "envoys").unwrap();
        fs::write(&path, format!("# ours\n\n{admin_line}\n{edge_line}\n")).unwrap();
        assert!(!admin_line.contains(&admin));
        let credentials = Credentials::open(&path).unwrap();
        assert_eq!(credentials.caller(&admin).unwrap().role, Role::Admin);
        assert_eq!(&*credentials.caller(&edge).unwrap().name, "envoys");
        assert_eq!(credentials.caller(""), None);
        assert_eq!(credentials.caller(&admin_line), None);
    }

    #[test]
    fn a_file_without_a_credential_is_a_fault_and_leaves_those_from_before_in_force() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials");
        let (secret, line) = generate(Role::Admin, &[], "console").unwrap();
        fs::write(&path, &line).unwrap();
        let credentials = Credentials::open(&path).unwrap();
        for text in ["", "# to be written\n", "\n"] {
            fs::write(&path, text).unwrap();
            let error = Credentials::open(&path).unwrap_err();
            assert!(matches!(error, CredentialsError::Empty { .. }), "{error}");
            credentials.look();
            assert!(credentials.caller(&secret).is_some(), "{text:?}");
        }
    }

    #[test]
    fn an_edge_may_do_what_its_line_says_and_an_admin_everything() {
        let of = |role, permissions: &[Permission]| {
            let (_, line) = generate(role, permissions, "name").unwrap();
            parse(&line).unwrap().into_values().next().unwrap()
        };
        let may = |caller: &Caller| Permission::ALL.map(|permission| caller.may(permission));
        assert_eq!(may(&of(Role::Edge, &[])), [false; 3]);
        assert_eq!(may(&of(Role::Scrape, &[])), [false; 3]);
        assert_eq!(may(&of(Role::Viewer, &[])), [false; 3]);
        assert_eq!(may(&of(Role::Admin, &[])), [true; 3]);
        assert_eq!(may(&of(Role::Edge, &Permission::ALL)), [true; 3]);
        for permission in Permission::ALL {
            let caller = of(Role::Edge, &[permission]);
            assert_eq!(caller.role, Role::Edge);
            assert_eq!(caller.permissions, [permission]);
        }
    }

    #[test]
    fn only_an_admin_has_what_another_role_is_for() {
        for role in Role::ALL {
            assert!(Role::Admin.includes(role) && role.includes(role));
            for other in Role::ALL.into_iter().filter(|other| *other != role) {
                assert_eq!(
                    role.includes(other),
                    role == Role::Admin,
                    "{role:?} {other:?}"
                );
            }
        }
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_broken_one_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials");
        let (first, line) = generate(Role::Edge, &[], "a").unwrap();
        fs::write(&path, &line).unwrap();
        let credentials = Credentials::open(&path).unwrap();
        fs::write(&path, "edge a").unwrap();
        credentials.look();
        assert!(credentials.caller(&first).is_some());
        let (second, line) = generate(Role::Edge, &[], "bb").unwrap();
        fs::write(&path, &line).unwrap();
        credentials.look();
        assert!(credentials.caller(&first).is_none());
        assert!(credentials.caller(&second).is_some());
    }

    #[test]
    fn a_wrong_line_is_told_by_its_number() {
        let hash = "0".repeat(64);
        for line in [
            "admin",
            "admin name",
            "admin name 00",
            &format!("root name {hash}"),
            &format!("edge name {hash} more"),
            &format!("edge name +{}", &hash[1..]),
            &format!("edge+ name {hash}"),
            &format!("edge+sign_out name {hash}"),
            &format!("edge+sign-out+sign-out name {hash}"),
            &format!("admin+sessions name {hash}"),
            &format!("scrape+activity name {hash}"),
            &format!("viewer+sessions name {hash}"),
            &format!("Viewer name {hash}"),
        ] {
            assert_eq!(
                parse(&format!("edge a {hash}\n#\n{line}")),
                Err(3),
                "{line}"
            );
        }
    }
}
