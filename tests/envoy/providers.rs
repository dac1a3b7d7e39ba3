//! Real identity providers: their tokens get through the gate, and a user who signs out there is refused.

mod application;
mod browser;
mod glewlwyd;
mod logout;
mod oidc_provider;
mod process;
mod scene;
mod tokens;
