//! Services that applications registered themselves (MEC 011, service management).

use edged_model::InstanceId;
use rusqlite::params;

use crate::{OptionalExtension, Store, StoreError};

/// A registered service, its document kept as the interface wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredService {
    /// `serInstanceId`.
    pub id: String,
    /// Who registered it.
    pub instance: InstanceId,
    /// JSON of the `ServiceInfo`.
    pub document: String,
}

impl Store {
    /// Every registered service, oldest first.
    pub fn services(&self) -> Result<Vec<StoredService>, StoreError> {
        let at = |source| self.failed("reading services", source);
        let mut statement = self
            .connection
            .prepare("SELECT id, instance, document FROM service ORDER BY rowid")
            .map_err(at)?;
        let rows = statement
            .query_map([], |row| {
                let texts: [String; 3] = [row.get(0)?, row.get(1)?, row.get(2)?];
                Ok(texts)
            })
            .map_err(at)?;
        let mut services = Vec::new();
        for row in rows {
            let [id, instance, document] = row.map_err(at)?;
            // Only an instance's own id is ever written here; another text is a damaged row and is passed over.
            if let Ok(instance) = instance.parse() {
                services.push(StoredService {
                    id,
                    instance,
                    document,
                });
            }
        }
        Ok(services)
    }

    /// Adds a service or replaces its document.
    pub fn put_service(&self, service: &StoredService) -> Result<(), StoreError> {
        self.connection
            .execute(
                "INSERT INTO service (id, instance, document) VALUES (?1, ?2, ?3)
                 ON CONFLICT (id) DO UPDATE SET document = excluded.document",
                params![service.id, service.instance.as_str(), service.document],
            )
            .map(drop)
            .map_err(|source| self.failed("keeping a service", source))
    }

    /// Removes a service; whether there was one.
    pub fn remove_service(&self, id: &str) -> Result<bool, StoreError> {
        self.connection
            .query_row(
                "DELETE FROM service WHERE id = ?1 RETURNING 1",
                [id],
                |_| Ok(()),
            )
            .optional()
            .map(|row| row.is_some())
            .map_err(|source| self.failed("removing a service", source))
    }
}
