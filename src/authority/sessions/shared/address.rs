//! Where the registry of several authorities is: the text of `--sessions`.

use std::fmt;
use std::str::FromStr;

use ::redis::cluster::ClusterClient;
use ::redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo,
    RedisError, TlsCertificates, TlsMode,
};

use super::connection::{ANSWER_LIMIT, CONNECT_LIMIT, Servers};
use crate::percent::decoded_text;

/// A Redis server, or nodes of a cluster, with what they ask for.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryAddress {
    is_cluster: bool,
    is_encrypted: bool,
    hosts: Vec<(String, u16)>,
    user: Option<String>,
    password: Option<String>,
    database: i64,
    /// PEM.
    certificates: Option<Vec<u8>>,
}

/// What is wrong with the text of an address, which is not repeated, since it may have a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It begins with something else.
    #[error(
        "expected `redis://`, `rediss://`, `redis+cluster://` or `rediss+cluster://` at the beginning"
    )]
    Scheme,
    /// User or password have characters that mean something else.
    #[error(
        "expected `user:password@`, or `user:@` where the password is in a file, with other characters than letters and digits as `%` and two hexadecimal digits"
    )]
    Credentials,
    /// A host is missing, or its port is none.
    #[error(
        "expected a host, or `host:port`, and several only of a cluster, with commas between them"
    )]
    Host,
    /// There is something after the host that is no number of a database.
    #[error(
        "expected nothing after the host but `/` and the number of a database, which a cluster has not"
    )]
    Database,
}

impl RegistryAddress {
    /// The same, with another password.
    #[must_use]
    pub fn with_password(mut self, password: String) -> Self {
        self.password = Some(password);
        self
    }

    /// The same, which trusts these certificates, in PEM, instead of those of the system.
    #[must_use]
    pub fn with_certificates(mut self, certificates: Vec<u8>) -> Self {
        self.certificates = Some(certificates);
        self
    }

    /// Whether it asks for TLS.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// What makes connections to it. Does not make one.
    pub(super) fn servers(&self) -> Result<Servers, RedisError> {
        let infos: Result<Vec<ConnectionInfo>, _> =
            self.hosts.iter().map(|host| self.info(host)).collect();
        let infos = infos?;
        let certificates = TlsCertificates {
            client_tls: None,
            root_cert: self.certificates.clone(),
        };
        if self.is_cluster {
            let mut builder = ClusterClient::builder(infos)
                .retries(2)
                .min_retry_wait(20)
                .max_retry_wait(200)
                .connection_timeout(CONNECT_LIMIT)
                .response_timeout(ANSWER_LIMIT);
            if self.is_encrypted {
                builder = builder.tls(TlsMode::Secure).certs(certificates);
            }
            return builder.build().map(Box::new).map(Servers::Cluster);
        }
        let info = infos.into_iter().next();
        let info = info.ok_or_else(|| RedisError::from((::redis::ErrorKind::Client, "no host")))?;
        let client = if self.is_encrypted {
            Client::build_with_tls(info, certificates)
        } else {
            Client::open(info)
        };
        client.map(Box::new).map(Servers::One)
    }

    fn info(&self, (host, port): &(String, u16)) -> Result<ConnectionInfo, RedisError> {
        let address = if self.is_encrypted {
            ConnectionAddr::TcpTls {
                host: host.clone(),
                port: *port,
                insecure: false,
                tls_params: None,
            }
        } else {
            ConnectionAddr::Tcp(host.clone(), *port)
        };
        // A name of the library is of use to no one, and a command more that the user needs.
        let mut settings = RedisConnectionInfo::default()
            .set_db(self.database)
            .set_skip_set_lib_name();
        if let Some(user) = &self.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        Ok(address.into_connection_info()?.set_redis_settings(settings))
    }
}

impl FromStr for RegistryAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text.split_once("://").ok_or(AddressError::Scheme)?;
        let (is_encrypted, is_cluster) = match scheme {
            "redis" => (false, false),
            "rediss" => (true, false),
            "redis+cluster" => (false, true),
            "rediss+cluster" => (true, true),
            _ => return Err(AddressError::Scheme),
        };
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((credentials, rest)) => (Some(credentials), rest),
            None => (None, rest),
        };
        let (user, password) = match credentials {
            Some(credentials) => {
                let (user, password) = credentials
                    .split_once(':')
                    .ok_or(AddressError::Credentials)?;
                (Some(decoded(user)?), Some(decoded(password)?))
            }
            None => (None, None),
        };
        let (hosts, database) = match rest.split_once('/') {
            Some((hosts, database)) => (hosts, database),
            None => (rest, ""),
        };
        let hosts: Vec<(String, u16)> = hosts.split(',').map(host).collect::<Result<_, _>>()?;
        if hosts.len() > 1 && !is_cluster {
            return Err(AddressError::Host);
        }
        let is_number = database.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || is_cluster && !database.is_empty() {
            return Err(AddressError::Database);
        }
        let database = match database {
            "" => 0,
            number => number
                .parse::<u16>()
                .map_err(|_| AddressError::Database)?
                .into(),
        };
        Ok(Self {
            is_cluster,
            is_encrypted,
            hosts,
            user: user.filter(|user| !user.is_empty()),
            password: password.filter(|password| !password.is_empty()),
            database,
            certificates: None,
        })
    }
}

impl fmt::Display for RegistryAddress {
    /// Without user and password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encrypted = if self.is_encrypted { "s" } else { "" };
        let cluster = if self.is_cluster { "+cluster" } else { "" };
        let hosts = self
            .hosts
            .iter()
            .map(|(host, port)| format!("{host}:{port}"));
        let hosts = hosts.collect::<Vec<_>>().join(",");
        write!(formatter, "redis{encrypted}{cluster}://{hosts}")?;
        if self.database > 0 {
            write!(formatter, "/{}", self.database)?;
        }
        Ok(())
    }
}

impl fmt::Debug for RegistryAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A host with its port, in brackets if it is an IPv6 address.
fn host(text: &str) -> Result<(String, u16), AddressError> {
    let is_plain = |host: &str| {
        let mut bytes = host.bytes();
        bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    };
    let (host, rest) = if let Some(text) = text.strip_prefix('[') {
        let (host, rest) = text.split_once(']').ok_or(AddressError::Host)?;
        host.parse::<std::net::Ipv6Addr>()
            .map_err(|_| AddressError::Host)?;
        (host, rest)
    } else {
        let (host, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
        if !is_plain(host) {
            return Err(AddressError::Host);
        }
        (host, rest)
    };
    let port = match rest {
        "" => DEFAULT_PORT,
        rest => {
            let port = rest.strip_prefix(':').ok_or(AddressError::Host)?;
            port.parse().map_err(|_| AddressError::Host)?
        }
    };
    if host.is_empty() || port == 0 {
        return Err(AddressError::Host);
    }
    Ok((host.to_owned(), port))
}

const DEFAULT_PORT: u16 = 6379;

/// Text in which `%41` stands for `A`.
fn decoded(text: &str) -> Result<String, AddressError> {
    decoded_text(text).ok_or(AddressError::Credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> RegistryAddress {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_names_servers_and_what_they_ask_for() {
        let plain = parsed("redis://localhost");
        assert_eq!(plain.hosts, [("localhost".to_owned(), 6379)]);
        assert_eq!(
            (plain.user, plain.password, plain.database),
            (None, None, 0)
        );
        let full = parsed("rediss://por%74cullis:p%40ss%3aword@redis.example:6380/7");
        assert_eq!(full.user.as_deref(), Some("portcullis"));
        assert_eq!(full.password.as_deref(), Some("p@ss:word"));
        assert!(full.is_encrypted() && !full.is_cluster);
        assert_eq!(full.database, 7);
        let cluster = parsed("redis+cluster://:secret@a:7000,[::1]:7001,c");
        assert!(cluster.is_cluster && !cluster.is_encrypted());
        assert_eq!(
            (&cluster.user, cluster.password.as_deref()),
            (&None, Some("secret"))
        );
        let ports: Vec<u16> = cluster.hosts.iter().map(|(_, port)| *port).collect();
        assert_eq!(ports, [7000, 7001, 6379]);
        assert!(matches!(cluster.servers(), Ok(Servers::Cluster(_))));
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        let address = parsed("rediss+cluster://user:secret@a:7000,b").with_password("other".into());
        assert_eq!(format!("{address:?}"), "rediss+cluster://a:7000,b:6379");
        assert_eq!(address.password.as_deref(), Some("other"));
        assert_eq!(
            parsed("redis://:secret@a/3").to_string(),
            "redis://a:6379/3"
        );
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_part_that_is_not_right() {
        let cases = [
            ("localhost", AddressError::Scheme),
            ("http://localhost", AddressError::Scheme),
            ("redis:localhost", AddressError::Scheme),
            ("redis://secret@localhost", AddressError::Credentials),
            ("redis://a:%4@localhost", AddressError::Credentials),
            ("redis://a:%+4@localhost", AddressError::Credentials),
            ("redis://a:%ff@localhost", AddressError::Credentials),
            ("redis://", AddressError::Host),
            ("redis://a,b", AddressError::Host),
            ("redis://a:0", AddressError::Host),
            ("redis://a:65536", AddressError::Host),
            ("redis://[::1", AddressError::Host),
            ("redis://a#insecure", AddressError::Host),
            ("redis+cluster://a,", AddressError::Host),
            ("redis://a/b", AddressError::Database),
            ("redis://a/0?protocol=resp3", AddressError::Database),
            ("redis://a/-1", AddressError::Database),
            ("redis+cluster://a/1", AddressError::Database),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<RegistryAddress>(), Err(error), "{text}");
        }
    }
}
