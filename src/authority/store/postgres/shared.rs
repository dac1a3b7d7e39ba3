//! What authorities keep for each other in the database: generations of the filter, and the edges that
//! each of them sees. None of it is part of the history, so none of it locks the row of the state.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use tokio_postgres::types::Type;

use super::connection::{Connector, Fault, STATEMENT_LIMIT};
use super::row::{first_bytes, signed};
use super::unreachable;
use crate::authority::store::StoreError;
use crate::authority::store::engine::{KeptGeneration, OtherEdges};

/// What an authority has said of its edges for so long, and not again, is forgotten, in seconds.
const FORGOTTEN_AFTER: f64 = 900.0;

const FORGET_EDGES: &str = "DELETE FROM portcullis.edges
    WHERE replica <> $1 AND said_at < clock_timestamp() - $2 * interval '1 second'";

const SAY_EDGES: &str =
    "INSERT INTO portcullis.edges (replica, content, said_at) VALUES ($1, $2, clock_timestamp())
    ON CONFLICT (replica) DO UPDATE SET content = excluded.content, said_at = excluded.said_at";

const HEAR_EDGES: &str = "SELECT content,
        extract(epoch FROM clock_timestamp() - said_at)::double precision
    FROM portcullis.edges
    WHERE replica <> $1 AND said_at >= clock_timestamp() - $2 * interval '1 second'";

/// Writes a generation, of which no one is told yet, and removes those before it, but for the last one that
/// was told.
pub(super) fn put_generation(
    connector: &Arc<Connector>,
    generation: &KeptGeneration,
) -> Result<(), StoreError> {
    let number = signed(generation.number)?;
    let published = signed(generation.published)?;
    // The secret under which names are hashed is in it.
    let name = name_of(generation.number);
    let sealed = connector
        .vault()
        .sealed(&name, generation.description.clone())?;
    let client = connector.for_reading()?;
    let writing = Arc::clone(&client);
    let done = connector.wait(STATEMENT_LIMIT, async move {
        for statement in [
            "DELETE FROM portcullis.segments WHERE generation < $1 AND generation <> $2",
            "DELETE FROM portcullis.generations WHERE number < $1 AND number <> $2",
        ] {
            let kept = [(&number as _, Type::INT8), (&published as _, Type::INT8)];
            writing.query_typed(statement, &kept).await?;
        }
        Ok(())
    });
    done.map_err(unreachable)?;
    for (index, segment) in (0_i32..).zip(&generation.segments) {
        let (writing, content) = (Arc::clone(&client), segment.to_vec());
        let done = connector.wait(STATEMENT_LIMIT, async move {
            let statement = "INSERT INTO portcullis.segments (generation, position, content)
                VALUES ($1, $2, $3)";
            let row = [
                (&number as _, Type::INT8),
                (&index as _, Type::INT4),
                (&content as _, Type::BYTEA),
            ];
            writing.query_typed(statement, &row).await?;
            Ok(())
        });
        done.map_err(unreachable)?;
    }
    let writing = Arc::clone(&client);
    let done = connector.wait(STATEMENT_LIMIT, async move {
        let statement = "INSERT INTO portcullis.generations (number, content) VALUES ($1, $2)";
        let row = [(&number as _, Type::INT8), (&sealed as _, Type::BYTEA)];
        writing.query_typed(statement, &row).await?;
        Ok(())
    });
    done.map_err(unreachable)?;
    connector.keep(client);
    Ok(())
}

/// What a generation's description is encrypted as.
fn name_of(number: u64) -> String {
    format!("generation {number}")
}

/// A generation, if it is there.
pub(super) fn generation(
    connector: &Arc<Connector>,
    number: u64,
) -> Result<Option<KeptGeneration>, StoreError> {
    let row = signed(number)?;
    let client = connector.for_reading()?;
    let reading = Arc::clone(&client);
    let found = connector.wait(STATEMENT_LIMIT, async move {
        let statement = "SELECT content FROM portcullis.generations WHERE number = $1";
        let rows = reading
            .query_typed(statement, &[(&row, Type::INT8)])
            .await?;
        first_bytes(&rows)
    });
    let Some(sealed) = found.map_err(unreachable)? else {
        connector.keep(client);
        return Ok(None);
    };
    let description = connector.vault().opened(&name_of(number), &sealed)?;
    let mut segments = Vec::new();
    for index in 0_i32.. {
        let reading = Arc::clone(&client);
        let segment = connector.wait(STATEMENT_LIMIT, async move {
            let statement = "SELECT content FROM portcullis.segments
                WHERE generation = $1 AND position = $2";
            let asked = [(&row as _, Type::INT8), (&index as _, Type::INT4)];
            let rows = reading.query_typed(statement, &asked).await?;
            first_bytes(&rows)
        });
        match segment.map_err(unreachable)? {
            Some(segment) => segments.push(Bytes::from(segment)),
            None => break,
        }
    }
    connector.keep(client);
    Ok(Some(KeptGeneration {
        number,
        published: number,
        description,
        segments,
    }))
}

/// Says which edges this authority sees, if there is anything to say, and hears which ones the others see.
/// Ages are by the database's clock alone.
pub(super) fn exchange_edges(
    connector: &Arc<Connector>,
    replica: [u8; 16],
    own: Option<Vec<u8>>,
) -> Result<Vec<OtherEdges>, StoreError> {
    let client = connector.for_reading()?;
    let asking = Arc::clone(&client);
    let others = connector.wait(STATEMENT_LIMIT, async move {
        let replica = replica.to_vec();
        if let Some(own) = own {
            let said = [(&replica as _, Type::BYTEA), (&own as _, Type::BYTEA)];
            asking.query_typed(SAY_EDGES, &said).await?;
            let forgotten = [
                (&replica as _, Type::BYTEA),
                (&FORGOTTEN_AFTER as _, Type::FLOAT8),
            ];
            asking.query_typed(FORGET_EDGES, &forgotten).await?;
        }
        let asked = [
            (&replica as _, Type::BYTEA),
            (&FORGOTTEN_AFTER as _, Type::FLOAT8),
        ];
        let rows = asking.query_typed(HEAR_EDGES, &asked).await?;
        let mut others = Vec::with_capacity(rows.len());
        for row in &rows {
            let age: f64 = row.try_get(1)?;
            others.push(OtherEdges {
                age: Duration::try_from_secs_f64(age.max(0.0)).map_err(|_| Fault::Row)?,
                content: row.try_get(0)?,
            });
        }
        Ok(others)
    });
    let others = others.map_err(unreachable)?;
    connector.keep(client);
    Ok(others)
}
