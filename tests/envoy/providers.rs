//! Real identity providers: their tokens get through the gate, a user who signs out there is refused, one who
//! has to sign in in a stronger way does so there, and tokens that they have bound to a key are good with it.

mod application;
mod browser;
mod dpop;
mod glewlwyd;
mod logout;
mod oidc_provider;
mod process;
mod scene;
mod step_up;
mod tokens;
