//! Real identity providers: their tokens get through the gate, a user who signs out there is refused, and one
//! who has to sign in in a stronger way does so there.

mod application;
mod browser;
mod glewlwyd;
mod logout;
mod oidc_provider;
mod process;
mod scene;
mod step_up;
mod tokens;
