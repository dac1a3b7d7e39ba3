//! What the database takes by itself, for comparison: transactions of `pgbench` that do what an authority's
//! commit with one revocation does.
//!
//! The statements write what those of `src/authority/store/postgres` write, with rows of the same size: a row
//! of the state that is locked and updated, and rows in `entries`, `log` and `journal`. An authority sends
//! those of a commit together, and a commit takes all revocations that have come in meanwhile; these are sent
//! one after the other, and take one each. That is the difference that is to be seen. Here, nothing is
//! decided, and no client is answered.

use std::fs;

use crate::postgres::Server;

/// As many as a server on two cores takes well. They wait for the same row.
const CLIENTS: &str = "16";
const THREADS: &str = "2";

/// The entry of a session has some 130 bytes, a change of the log 57, a mark 16, a row of the journal 1.
const SCRIPT: &str = r"\set name random(1, 9000000000000000000)
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE \;
SET LOCAL idle_in_transaction_session_timeout = '3s' \;
SET LOCAL lock_timeout = '5s' \;
SET LOCAL statement_timeout = '10s' \;
SELECT set_config('synchronous_commit', 'on', true)
    WHERE current_setting('synchronous_commit') IN ('off', 'local');
SELECT commits + 1 AS commit, sequence + 1 AS sequence FROM portcullis.state
    WHERE is_only FOR UPDATE \gset
INSERT INTO portcullis.entries (name, sequence, content)
    VALUES (decode(lpad(to_hex(:name::bigint), 32, '0'), 'hex'), :sequence,
        decode(repeat('5a', 130), 'hex'))
    ON CONFLICT (name) DO UPDATE SET sequence = excluded.sequence, content = excluded.content;
INSERT INTO portcullis.issuers (issuer) VALUES ('https://issuer.example')
    ON CONFLICT (issuer) DO NOTHING;
INSERT INTO portcullis.log (sequence, content) VALUES (:sequence, decode(repeat('5a', 57), 'hex'));
DELETE FROM portcullis.log WHERE sequence <= :sequence - 500000;
INSERT INTO portcullis.journal (commit, mark, content)
    VALUES (:commit, decode(repeat('5a', 16), 'hex'), decode('00', 'hex'));
UPDATE portcullis.state
    SET commits = :commit, mark = decode(repeat('5a', 16), 'hex'), sequence = :sequence
    WHERE is_only;
SET LOCAL statement_timeout = 0 \;
COMMIT;
";

/// Transactions in a second, in a database that has the tables and no authority.
pub(super) fn rate(server: &Server, database: &str, seconds: u64) -> f64 {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let script = directory.path().join("commit.sql");
    fs::write(&script, SCRIPT).expect("a file to write");
    let printed = server.bench(
        database,
        &[
            "--no-vacuum",
            "--client",
            CLIENTS,
            "--jobs",
            THREADS,
            "--time",
            &seconds.to_string(),
            "--file",
            script.to_str().expect("a path in UTF-8"),
        ],
    );
    // `tps = 1234.567890 (without initial connection time)`.
    let figure = printed.lines().find_map(|line| line.strip_prefix("tps = "));
    let figure = figure.and_then(|line| line.split(' ').next()?.parse().ok());
    figure.unwrap_or_else(|| panic!("a rate in: {printed}"))
}
