//! The published view: replaced as a whole, read by every answer.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::counters::{Counters, Counts};
use crate::domain::Zone;
use crate::records::Records;
use crate::table::{PublishError, Table};

/// The door to a running server: publish a view, see the view, read the counters. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Directory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    zone: Zone,
    servers: Vec<IpAddr>,
    table: RwLock<Arc<Table>>,
    published: Mutex<Published>,
    counters: Counters,
}

#[derive(Debug)]
struct Published {
    records: Arc<Records>,
    serial: u32,
}

impl Directory {
    pub(crate) fn new(zone: Zone, servers: Vec<IpAddr>) -> Result<Self, PublishError> {
        // A later run starts above an earlier one as long as it changed less than once a second (RFC 1912, 2.2).
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let serial = u32::try_from(seconds & u64::from(u32::MAX)).unwrap_or_default();
        let records = Arc::new(Records::new());
        let table = Table::build(&zone, &servers, &records, serial)?;
        Ok(Self(Arc::new(Shared {
            zone,
            servers,
            table: RwLock::new(Arc::new(table)),
            published: Mutex::new(Published { records, serial }),
            counters: Counters::default(),
        })))
    }

    /// Replaces the whole view. A query that arrives after this returned is answered from `records`.
    ///
    /// The serial of the zone grows if a name changed; a view equal to the one in place costs a comparison.
    ///
    /// # Errors
    /// More records of one name than a message holds. The view in place stays.
    pub fn publish(&self, records: Records) -> Result<(), PublishError> {
        let shared = &*self.0;
        let mut published = shared
            .published
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *published.records == records {
            return Ok(());
        }
        let serial = if published.records.names == records.names {
            published.serial
        } else {
            published.serial.wrapping_add(1)
        };
        let table = Table::build(&shared.zone, &shared.servers, &records, serial)?;
        *shared.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
        *published = Published {
            records: Arc::new(records),
            serial,
        };
        Ok(())
    }

    /// The view in place, for the reconciler to compare.
    pub fn observe(&self) -> Arc<Records> {
        Arc::clone(
            &self
                .0
                .published
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .records,
        )
    }

    /// What the server has done so far.
    pub fn counts(&self) -> Counts {
        self.0.counters.snapshot()
    }

    /// The zone, against which rules are parsed.
    pub fn zone(&self) -> &Zone {
        &self.0.zone
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    pub(crate) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.0.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs `read` on the table in place without taking a share of it.
    pub(crate) fn with_table<T>(&self, read: impl FnOnce(&Table) -> T) -> T {
        read(&self.0.table.read().unwrap_or_else(PoisonError::into_inner))
    }
}
