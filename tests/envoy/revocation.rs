//! Revoked means refused: the authority, its feed, and Envoys that follow it, whatever comes
//! between them.

mod bulk;
mod company;
mod edges;
pub(crate) mod ended;
mod faults;
mod feed;
mod postures;
mod reload;
mod replicas;
pub(crate) mod scene;
mod statuses;
mod story;
mod troubles;
mod updates;
mod waiting;
