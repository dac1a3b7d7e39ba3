//! A server and a standby that follows it, of which one takes the other's place.

use std::thread;
use std::time::{Duration, Instant};

use super::{PATIENCE, ROLE, Server, as_someone_else, owned_directory};

/// Of servers with a standby: what is written between the copy and its first connection is there for it.
const SETTINGS: [&str; 1] = ["wal_keep_size=64MB"];

/// Two servers: one is written to, the other follows it.
pub(crate) struct Pair {
    pub(crate) primary: Server,
    pub(crate) standby: Server,
    is_synchronous: bool,
}

impl Pair {
    /// A pair in which a commit waits for the standby.
    pub(crate) fn synchronous() -> Self {
        Self::start(true)
    }

    /// A pair in which no commit does.
    pub(crate) fn asynchronous() -> Self {
        Self::start(false)
    }

    fn start(is_synchronous: bool) -> Self {
        let primary = Server::start_with(&SETTINGS);
        let standby = primary.make_standby();
        let pair = Self {
            primary,
            standby,
            is_synchronous,
        };
        pair.wait_for_standby();
        pair
    }

    /// A new database; the address names both servers.
    pub(crate) fn database(&self, name: &str) -> String {
        self.primary
            .ask("postgres", &format!("CREATE DATABASE {name}"));
        let (one, other) = (self.primary.port(), self.standby.port());
        format!(
            "postgres://{ROLE}@127.0.0.1:{one},127.0.0.1:{other}/{name}\
             ?target_session_attrs=read-write"
        )
    }

    /// Ends the server that is written to, as a power cut would, and has the other one take its place.
    pub(crate) fn fail_over(&mut self) {
        self.primary.kill();
        self.standby.promote();
        std::mem::swap(&mut self.primary, &mut self.standby);
    }

    /// Ends the standby as a power cut would. The process that receives for it may outlive it for a moment,
    /// in which a commit would not wait.
    pub(crate) fn lose_standby(&mut self) {
        self.standby.kill();
        let is_lost = "SELECT count(*) = 0 FROM pg_stat_replication";
        self.primary.wait_until(is_lost);
    }

    /// Makes a standby in place of the server that was ended, at its port.
    pub(crate) fn replace_standby(&mut self) {
        let port = self.standby.port;
        self.standby = self.primary.make_standby_at(port);
        self.wait_for_standby();
    }

    /// Cuts the standby off, so that what is written from now on does not get there.
    pub(crate) fn cut_off_standby(&self) {
        let position = self.primary.ask("postgres", "SELECT pg_current_wal_lsn()");
        let follows = format!("SELECT pg_last_wal_replay_lsn() >= '{position}'");
        self.standby.wait_until(&follows);
        self.standby.set("primary_conninfo", "");
        let is_cut = "SELECT count(*) = 0 FROM pg_stat_wal_receiver";
        self.standby.wait_until(is_cut);
    }

    /// Has the standby follow again, and commits wait for it where they are to.
    fn wait_for_standby(&self) {
        let follows = "SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'";
        self.primary.wait_until(follows);
        if self.is_synchronous {
            self.primary.set("synchronous_standby_names", "*");
            let waits = "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'";
            self.primary.wait_until(waits);
        }
    }
}

impl Server {
    fn make_standby(&self) -> Self {
        self.make_standby_at(super::free_port())
    }

    /// A server that follows this one.
    fn make_standby_at(&self, port: u16) -> Self {
        let directory = owned_directory();
        let copied = as_someone_else("pg_basebackup")
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &self.port.to_string(),
                "-U",
                ROLE,
                "--write-recovery-conf",
                "--wal-method=stream",
                "--checkpoint=fast",
                "--no-sync",
                "-D",
            ])
            .arg(directory.path().join("data"))
            .current_dir("/")
            .output()
            .unwrap();
        assert!(copied.status.success(), "{copied:?}");
        let standby = Self::start_on(port, directory, &SETTINGS);
        // Once it is written to, it has no standby of its own that a commit could wait for.
        standby.set("synchronous_standby_names", "");
        standby
    }

    /// Makes a standby one that is written to.
    fn promote(&self) {
        let promoted = as_someone_else("pg_ctl")
            .args(["promote", "--wait", "-D"])
            .arg(self.directory.path().join("data"))
            .current_dir("/")
            .output()
            .unwrap();
        assert!(promoted.status.success(), "{promoted:?}");
    }

    /// Changes a setting while it runs.
    fn set(&self, name: &str, value: &str) {
        self.ask("postgres", &format!("ALTER SYSTEM SET {name} = '{value}'"));
        self.ask("postgres", "SELECT pg_reload_conf()");
    }

    /// Waits until a question is answered with `t`.
    #[track_caller]
    fn wait_until(&self, question: &str) {
        let end = Instant::now() + PATIENCE;
        while self.ask("postgres", question) != "t" {
            assert!(Instant::now() < end, "does not come to hold: {question}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}
