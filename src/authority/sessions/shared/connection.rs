//! The connection to Redis, or to the nodes of a cluster.
//!
//! One connection to each server carries the commands of all threads, one behind the other, and no
//! command waits for the answer to another. Every wait has a limit. A connection that fails is given
//! up, and made anew when it is needed, after a pause that doubles from failure to failure; until then,
//! the registry is away at once and not after a wait.
//!
//! What has failed is tried once more over a new connection. A command may then be carried out twice,
//! which each of them allows for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::cluster::ClusterClient;
use ::redis::cluster_async::ClusterConnection;
use ::redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::scripts::Script;
use crate::authority::http::Refusals;
use crate::authority::sessions::metrics::SessionMetrics;
use crate::authority::sessions::registry::RegistryError;
use crate::backoff;

/// How long a connection may take to be made, with TLS and the password.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// How long an answer may take. The longest script is done within some milliseconds.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// How long all of it may take, the second attempt included.
const LIMIT: Duration = Duration::from_secs(6);

const ATTEMPTS: u32 = 2;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where connections are made to.
pub(super) enum Servers {
    /// One server.
    One(Box<Client>),
    /// A cluster, of which some nodes are known.
    Cluster(Box<ClusterClient>),
}

/// A command that concerns one shard.
#[derive(Clone, Debug)]
pub(super) struct Command {
    script: Option<&'static Script>,
    arguments: Vec<Vec<u8>>,
}

impl Command {
    /// One of a script.
    #[must_use]
    pub(super) fn script(
        script: &'static Script,
        keys: Vec<Vec<u8>>,
        arguments: Vec<Vec<u8>>,
    ) -> Self {
        let mut all = vec![keys.len().to_string().into_bytes()];
        all.extend(keys);
        all.extend(arguments);
        Self {
            script: Some(script),
            arguments: all,
        }
    }

    /// One of Redis's own, with its name first.
    #[must_use]
    pub(super) const fn plain(arguments: Vec<Vec<u8>>) -> Self {
        Self {
            script: None,
            arguments,
        }
    }

    fn with(&self, head: &[&str]) -> Cmd {
        let mut command = Cmd::new();
        for argument in head {
            command.arg(argument);
        }
        for argument in &self.arguments {
            command.arg(argument);
        }
        command
    }

    async fn carry_out(&self, link: &mut impl ConnectionLike) -> Result<Value, RedisError> {
        let Some(script) = self.script else {
            return self.with(&[]).query_async(link).await;
        };
        let by_hash = self.with(&["EVALSHA", &script.hash()]);
        match by_hash.query_async(link).await {
            // A server that is new, or has forgotten it, learns it on the way.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                let by_text = self.with(&["EVAL", script.text()]);
                by_text.query_async(link).await
            }
            other => other,
        }
    }
}

#[derive(Clone)]
enum Link {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Link {
    async fn carry_out(&mut self, command: &Command) -> Result<Value, RedisError> {
        match self {
            Self::One(link) => command.carry_out(link).await,
            Self::Cluster(link) => command.carry_out(link).await,
        }
    }
}

/// The connection, which may be there or not.
pub(super) struct Connection {
    servers: Servers,
    runtime: Handle,
    state: Mutex<State>,
    is_connected: AtomicBool,
    notices: Notices,
    metrics: SessionMetrics,
}

/// What the log has of a registry that comes and goes: one that is full refuses reports and answers all
/// else, many times a second.
#[derive(Debug, Default)]
struct Notices {
    failures: Refusals,
    /// Whether the last line says that it is available.
    is_told_available: AtomicBool,
}

#[derive(Default)]
struct State {
    /// With its number, by which a failure of an earlier one is known.
    link: Option<(u64, Link)>,
    made: u64,
    failures: u32,
    next_attempt: Option<Instant>,
}

/// Why commands were not carried out.
#[derive(Debug)]
pub(super) enum Failure {
    /// The last attempt to connect was a moment ago.
    Pausing,
    /// It took too long.
    Late,
    /// What the server, or the connection to it, said.
    Redis(RedisError),
}

impl Connection {
    #[must_use]
    pub(super) fn new(servers: Servers, runtime: Handle, metrics: SessionMetrics) -> Self {
        metrics.connected(false);
        Self {
            servers,
            runtime,
            state: Mutex::default(),
            is_connected: AtomicBool::new(false),
            notices: Notices::default(),
            metrics,
        }
    }

    /// Carries out all of these, at the same time and in no particular order, and returns their answers
    /// in the order in which they stand. Must not be called by a task of the runtime.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Away`]; some of them may have been carried out.
    pub(super) fn call(&self, commands: Vec<Command>) -> Result<Vec<Value>, RegistryError> {
        self.try_call(commands).map_err(|_| RegistryError::Away)
    }

    /// The same, with what has gone wrong.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    pub(super) fn try_call(&self, commands: Vec<Command>) -> Result<Vec<Value>, Failure> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let begun = Instant::now();
        let carried_out = self.runtime.block_on(async {
            let all = tokio::time::timeout(LIMIT, self.carry_out(commands));
            all.await.unwrap_or(Err(Failure::Late))
        });
        self.metrics.asked(begun.elapsed(), carried_out.is_ok());
        self.note(&carried_out);
        carried_out
    }

    async fn carry_out(&self, commands: Vec<Command>) -> Result<Vec<Value>, Failure> {
        let mut answers = vec![Value::Nil; commands.len()];
        let mut left: Vec<(usize, Arc<Command>)> =
            commands.into_iter().map(Arc::new).enumerate().collect();
        let mut failure = Failure::Late;
        for attempt in 0..ATTEMPTS {
            let (number, link) = self.link().await?;
            let asked = left.len();
            let (answered, failed) = all_of(&left, &link).await;
            for (index, answer) in answered {
                if let Some(place) = answers.get_mut(index) {
                    *place = answer;
                }
            }
            let Some((_, error)) = failed.first() else {
                if attempt > 0 || !self.is_connected.load(Ordering::Relaxed) {
                    let mut state = self.state.lock().await;
                    (state.failures, state.next_attempt) = (0, None);
                }
                return Ok(answers);
            };
            self.give_up(number, failed.len() == asked, error).await;
            failure = Failure::Redis(error.clone());
            left.retain(|(index, _)| failed.iter().any(|(failed, _)| failed == index));
        }
        Err(failure)
    }

    /// The connection, which is made if there is none.
    async fn link(&self) -> Result<(u64, Link), Failure> {
        let mut state = self.state.lock().await;
        if let Some((number, link)) = &state.link {
            return Ok((*number, link.clone()));
        }
        if state.next_attempt.is_some_and(|next| next > Instant::now()) {
            return Err(Failure::Pausing);
        }
        let made = tokio::time::timeout(CONNECT_LIMIT, self.connect()).await;
        let link = match made.map_err(|_| Failure::Late) {
            Ok(Ok(link)) => link,
            Ok(Err(error)) => {
                state.pause();
                return Err(Failure::Redis(error));
            }
            Err(failure) => {
                state.pause();
                return Err(failure);
            }
        };
        state.made += 1;
        let number = state.made;
        state.link = Some((number, link.clone()));
        Ok((number, link))
    }

    async fn connect(&self) -> Result<Link, RedisError> {
        match &self.servers {
            Servers::One(client) => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(CONNECT_LIMIT))
                    .set_response_timeout(Some(ANSWER_LIMIT));
                let link = client.get_multiplexed_async_connection_with_config(&config);
                link.await.map(Link::One)
            }
            Servers::Cluster(client) => client.get_async_connection().await.map(Link::Cluster),
        }
    }

    /// Gives up the connection after a failure. One to a cluster looks after its own connections, and
    /// is kept while any node answers.
    async fn give_up(&self, number: u64, has_all_failed: bool, error: &RedisError) {
        let is_cluster = matches!(self.servers, Servers::Cluster(_));
        if is_cluster && !has_all_failed || !is_cluster && is_about_command(error) {
            return;
        }
        let mut state = self.state.lock().await;
        if state
            .link
            .as_ref()
            .is_some_and(|(current, _)| *current == number)
        {
            state.link = None;
            // The first attempt is made at once: servers are restarted, and replicas take over.
            if state.failures > 0 {
                state.pause();
            }
            state.failures += 1;
        }
    }

    /// Logs that the registry has gone, once in a while for each reason, or has come back after that.
    fn note(&self, carried_out: &Result<Vec<Value>, Failure>) {
        let was_connected = self
            .is_connected
            .swap(carried_out.is_ok(), Ordering::Relaxed);
        match carried_out {
            Ok(_) if !was_connected => {
                self.metrics.connected(true);
                if self.notices.is_due_of_return() {
                    tracing::info!("the registry of sessions is available");
                }
            }
            // Also where the line was not due when it went, so that the last one is never wrong for long.
            Err(failure) if was_connected || self.notices.says_available() => {
                self.metrics.connected(false);
                if let Some(times) = self.notices.is_due(failure, Instant::now()) {
                    let error = failure.text();
                    tracing::error!(error, times, "the registry of sessions is not available");
                }
            }
            _ => {}
        }
    }
}

impl Notices {
    fn says_available(&self) -> bool {
        self.is_told_available.load(Ordering::Relaxed)
    }

    /// How often it has gone for this reason since the last line that said so, if another one is due.
    fn is_due(&self, failure: &Failure, now: Instant) -> Option<u64> {
        let times = self.failures.take(&failure.reason(), None, now)?;
        self.is_told_available.store(false, Ordering::Relaxed);
        Some(times)
    }

    /// Whether it is to be said that the registry is back. At the start it is.
    fn is_due_of_return(&self) -> bool {
        !self.is_told_available.swap(true, Ordering::Relaxed)
    }
}

impl State {
    fn pause(&mut self) {
        self.failures = self.failures.saturating_add(1);
        let random = getrandom::u64().unwrap_or(0);
        let pause = backoff::wait(FIRST_PAUSE, LONGEST_PAUSE, self.failures, random);
        self.next_attempt = Some(Instant::now() + pause);
    }
}

impl Failure {
    /// What has gone wrong, for people to read.
    #[must_use]
    pub(super) fn text(&self) -> String {
        match self {
            Self::Pausing => "it was not available a moment ago".to_owned(),
            Self::Late => "it takes too long".to_owned(),
            Self::Redis(error) => error.to_string(),
        }
    }
}

impl Failure {
    /// The kind of failure, of which there are few.
    fn reason(&self) -> String {
        match self {
            Self::Pausing => "pausing".to_owned(),
            Self::Late => "late".to_owned(),
            Self::Redis(error) if error.code() == Some("OOM") => "full".to_owned(),
            Self::Redis(error) => format!("{:?}", error.kind()),
        }
    }
}

impl std::fmt::Debug for Connection {
    /// Without the password.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Connection")
            .field("is_connected", &self.is_connected)
            .finish_non_exhaustive()
    }
}

/// Whether the connection is not to blame, so that another one would not help.
fn is_about_command(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::ResponseError
                | ServerErrorKind::ExecAbort
                | ServerErrorKind::NoPerm
                | ServerErrorKind::CrossSlot
        ) | ErrorKind::Extension
    )
}

type Indexed<T> = Vec<(usize, T)>;

async fn all_of(
    commands: &[(usize, Arc<Command>)],
    link: &Link,
) -> (Indexed<Value>, Indexed<RedisError>) {
    let mut under_way = JoinSet::new();
    for (index, command) in commands {
        let (index, command, mut link) = (*index, Arc::clone(command), link.clone());
        under_way.spawn(async move { (index, link.carry_out(&command).await) });
    }
    let (mut answered, mut failed) = (Vec::new(), Vec::new());
    while let Some(joined) = under_way.join_next().await {
        match joined {
            Ok((index, Ok(answer))) => answered.push((index, answer)),
            Ok((index, Err(error))) => failed.push((index, error)),
            Err(_) => {}
        }
    }
    (answered, failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Failure {
        let kind = ErrorKind::Server(ServerErrorKind::ResponseError);
        Failure::Redis(RedisError::from((kind, "the server is full")))
    }

    #[test]
    fn a_registry_that_comes_and_goes_is_told_of_once_in_a_while_for_each_reason() {
        let (notices, start) = (Notices::default(), Instant::now());
        assert!(notices.is_due_of_return(), "the first time");
        assert_eq!(notices.is_due(&full(), start), Some(1));
        assert!(notices.is_due_of_return());
        for _ in 0..99 {
            assert_eq!(notices.is_due(&full(), start), None);
            assert!(!notices.is_due_of_return(), "its going was not told");
        }
        assert_eq!(notices.is_due(&Failure::Late, start), Some(1));
        let later = start + Duration::from_secs(10);
        assert_eq!(notices.is_due(&full(), later), Some(100));
        assert!(notices.is_due_of_return());
    }
}
