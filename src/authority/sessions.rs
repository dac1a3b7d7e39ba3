//! Who is signed in: the registry of sessions.
//!
//! | | |
//! |---|---|
//! | `session` | a session, and what an edge has seen of one |
//! | `registry` | the contract with what keeps them |
//! | `memory` | the engine for one authority |
//!
//! Edges report what they have seen of sessions ([`crate::revocation::wire::activity`]). The registry
//! is for people who want to know who is signed in, and for rules about idle and old sessions. It is
//! never asked about a token, and nothing is refused because a session is not in it.

#[cfg(test)]
mod conformance;
mod memory;
mod network;
mod registry;
mod session;

use network::Network;
