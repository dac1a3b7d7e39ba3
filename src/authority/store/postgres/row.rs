//! Statements and their parameters; numbers and seals of rows in the database.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::connection::Fault;
use crate::authority::store::Head;
use crate::authority::store::StoreError;
use crate::authority::store::seal::{Seal, Section};
use crate::revocation::{Chain, FilterKey};

pub(super) const PUT_CHANGES: &str = "INSERT INTO portcullis.log (sequence, content)
    SELECT * FROM unnest($1::bigint[], $2::bytea[])";

/// What belongs into a statement.
pub(super) type Parameter = (Box<dyn ToSql + Sync + Send>, Type);

/// Asks for the rows of a statement.
pub(super) async fn query(
    client: &Client,
    statement: &str,
    parameters: &[Parameter],
) -> Result<Vec<Row>, Fault> {
    let parameters: Vec<_> = parameters
        .iter()
        .map(|(value, kind)| (&**value as &(dyn ToSql + Sync), kind.clone()))
        .collect();
    Ok(client.query_typed(statement, &parameters).await?)
}

/// The bytes in the first column of the first row, if there is one.
pub(super) fn first_bytes(rows: &[Row]) -> Result<Option<Vec<u8>>, Fault> {
    Ok(rows.first().map(|row| row.try_get(0)).transpose()?)
}

/// The seal of other rows.
pub(super) const fn seal(section: Section, key: FilterKey) -> Seal {
    Seal::of(section, key)
}

/// A number as the database has it.
pub(super) fn signed(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Row)
}

/// The same, where anything larger than the database has is as good as the largest.
pub(super) fn at_most(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> Result<u64, Fault> {
    u64::try_from(number).map_err(|_| Fault::Row)
}

/// The head, of two columns.
pub(super) fn head(sequence: i64, chain: &[u8]) -> Result<Head, Fault> {
    Ok(Head {
        sequence: unsigned(sequence)?,
        chain: Chain(chain.try_into().map_err(|_| Fault::Row)?),
    })
}
