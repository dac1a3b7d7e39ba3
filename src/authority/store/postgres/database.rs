//! A database in which a store may be.

use std::fmt;
use std::sync::Arc;

use super::address::DatabaseAddress;
use super::connection::Connector;
use super::schema::{self, Migrated};
use super::vault::{self, Encrypted, SecretKey};
use crate::authority::store::StoreError;

/// A database with its tables.
#[derive(Clone)]
pub struct Database {
    address: DatabaseAddress,
    pub(super) connector: Arc<Connector>,
}

impl Database {
    /// A database that can be connected to, with the tables of this version. They are made where there
    /// are none, and the role may make them.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub fn open(address: DatabaseAddress) -> Result<Self, StoreError> {
        let database = Self::of(address)?;
        schema::expect(&database.connector)?;
        Ok(database)
    }

    /// Without a look at it.
    pub(super) fn of(address: DatabaseAddress) -> Result<Self, StoreError> {
        Ok(Self {
            connector: Arc::new(Connector::new(&address)?),
            address,
        })
    }

    /// Makes the tables where there are none, and brings those of an earlier version up to date.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub fn migrate(address: DatabaseAddress) -> Result<Migrated, StoreError> {
        schema::migrate(&Self::of(address)?.connector)
    }

    /// Encrypts every setting with the key of this address: those that are not encrypted, and those that
    /// are with the old key.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], also when one is encrypted with neither key.
    pub fn encrypt(
        address: DatabaseAddress,
        old: Option<SecretKey>,
    ) -> Result<Encrypted, StoreError> {
        vault::encrypt(&Self::of(address)?.connector, old)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.address, formatter)
    }
}
