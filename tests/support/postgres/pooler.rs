//! A pooler in front of a server: pgbouncer, in transaction mode.

use std::fs;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{
    PATIENCE, ROLE, Server, as_someone_else, free_port, has_postgres, owned_directory, program,
    psql,
};

/// Whether there is a pooler to test with, and a server to put it in front of.
pub(crate) fn has_pooler() -> bool {
    if !has_postgres() {
        return false;
    }
    if program("pgbouncer").is_some() {
        return true;
    }
    assert!(
        std::env::var_os("PORTCULLIS_EVERY_SERVER").is_none(),
        "pgbouncer is missing: apt-get install pgbouncer"
    );
    eprintln!("SKIPPED: without a pooler (apt-get install pgbouncer), nothing is known about it");
    false
}

/// A running pooler, killed when dropped.
pub(crate) struct Pooler {
    process: Child,
    port: u16,
    directory: TempDir,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Pooler {
    /// One with at most so many connections to the server for each database. Each transaction gets the one
    /// that was used longest ago.
    pub(crate) fn before(server: &Server, connections: usize) -> Self {
        let directory = owned_directory();
        let port = free_port();
        let users = directory.path().join("users");
        fs::write(&users, format!("\"{ROLE}\" \"\"\n")).unwrap();
        let configuration = format!(
            "[databases]\n\
             * = host=127.0.0.1 port={}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = trust\n\
             auth_file = {}\n\
             pool_mode = transaction\n\
             default_pool_size = {connections}\n\
             server_round_robin = 1\n\
             server_login_retry = 1\n",
            server.port(),
            users.display()
        );
        fs::write(directory.path().join("pgbouncer.ini"), configuration).unwrap();
        let mut pooler = Self {
            process: spawn(&directory),
            port,
            directory,
        };
        pooler.wait();
        pooler
    }

    pub(crate) fn url(&self, database: &str) -> String {
        super::url(self.port, database)
    }

    /// What `psql` prints, through the pooler.
    #[track_caller]
    pub(crate) fn ask(&self, database: &str, statement: &str) -> String {
        super::ask(self.port, database, statement)
    }

    /// Ends it at once, and with it all connections on both sides.
    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    pub(crate) fn restart(&mut self) {
        self.process = spawn(&self.directory);
        self.wait();
    }

    fn wait(&mut self) {
        let end = Instant::now() + PATIENCE;
        while !psql(self.port, "postgres", "SELECT 1").status.success() {
            assert!(Instant::now() < end, "pgbouncer does not answer");
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none(), "pgbouncer has ended: {ended:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn spawn(directory: &TempDir) -> Child {
    as_someone_else("pgbouncer")
        .arg(directory.path().join("pgbouncer.ini"))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
