//! What tests against a real Envoy need: Envoy itself, an upstream, a client and tokens.
//!
//! A test reads as: make a [`configuration`], start [`Envoy`] with it, send a [`Request`] that
//! carries a [`Token`], look at the [`Response`].

#![allow(
    dead_code,
    unused_imports,
    reason = "the tests and the bench that include this need a part of it each"
)]

mod authority;
mod bootstrap;
mod certificate;
mod configuration;
pub(crate) mod documents;
mod envoy;
mod http;
pub(crate) mod inputs;
mod intruder;
mod jwks_server;
mod keys;
mod listener;
mod meddler;
mod patience;
mod plugin;
mod port;
pub(crate) mod process;
mod prometheus;
mod random;
mod refusal;
pub(crate) mod status_list;
mod theft;
mod token;
mod upstream;
mod yaml;

pub(crate) use authority::{Authority, program};
pub(crate) use bootstrap::{Bootstrap, RETRY_ON, as_yaml};
pub(crate) use certificate::{Issuer, make_certificate};
pub(crate) use configuration::configuration;
pub(crate) use envoy::{Envoy, module};
pub(crate) use http::{Client, Forwarded, Request, Response};
pub(crate) use intruder::intruder;
pub(crate) use jwks_server::JwksServer;
pub(crate) use keys::jwks;
pub(crate) use listener::Listener;
pub(crate) use meddler::Meddler;
pub(crate) use patience::{PATIENCE, until};
pub(crate) use plugin::Plugin;
pub(crate) use prometheus::{Prometheus, Targets, has_prometheus, hastened};
pub(crate) use random::Random;
pub(crate) use refusal::assert_refused;
pub(crate) use theft::reports_of_theft;
pub(crate) use token::{AUDIENCE, ISSUER, Token, encode_part};
pub(crate) use yaml::read_yaml;
