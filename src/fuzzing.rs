//! The entry points for the fuzz targets of `tests/fuzz`: one function for each, which takes any
//! bytes and panics when something does not hold that should. It exists only with `cfg(fuzzing)`,
//! and in tests, which replay what was worth keeping of a fuzzer's finds.
//!
//! What has to hold is written down beside the code that it is about, in its module's `fuzzing`.

pub use crate::authority::fuzzing::{
    import, logout_form, logout_token, oauth_form, poll_answer, security_event, status_list,
};
pub use crate::edge::fuzzing::shared_feed;
pub use crate::gate::fuzzing::{configuration, proof, request};
pub use crate::keys::fuzzing::shared_record;
pub use crate::revocation::fuzzing::manifest;
pub use crate::sync::fuzzing::{batch, segment};
pub use crate::token::fuzzing::{jwk_set, token};

#[cfg(test)]
mod tests;
