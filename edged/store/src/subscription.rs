//! Subscriptions to notifications (MEC 009, subscribe and notify).

use edged_model::InstanceId;
use rusqlite::params;

use crate::{OptionalExtension, Store, StoreError};

/// Schema 2. The owner is no reference to an instance: a registration of a foreign application owns subscriptions too.
pub(crate) const TABLE: &str = "
    CREATE TABLE subscription (
        id       TEXT PRIMARY KEY,
        owner    TEXT,
        document TEXT NOT NULL
    ) STRICT;
    CREATE INDEX subscription_owner ON subscription (owner);
";

/// A subscription, its document kept as `edged-notify` wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSubscription {
    /// Its id, the last part of its URI.
    pub id: String,
    /// The application that made it; none for whoever holds the token of all.
    pub owner: Option<InstanceId>,
    /// JSON of the subscription.
    pub document: String,
}

impl Store {
    /// Every subscription, oldest first.
    pub fn subscriptions(&self) -> Result<Vec<StoredSubscription>, StoreError> {
        let at = |source| self.failed("reading subscriptions", source);
        let mut statement = self
            .connection
            .prepare("SELECT id, owner, document FROM subscription ORDER BY rowid")
            .map_err(at)?;
        let rows = statement
            .query_map([], |row| {
                let owner: Option<String> = row.get(1)?;
                Ok((row.get(0)?, owner, row.get(2)?))
            })
            .map_err(at)?;
        let mut subscriptions = Vec::new();
        for row in rows {
            let (id, owner, document) = row.map_err(at)?;
            // Only an instance's own id is ever written here; another text is a damaged row and is passed over.
            if let Ok(owner) = owner.map(|owner| owner.parse()).transpose() {
                subscriptions.push(StoredSubscription {
                    id,
                    owner,
                    document,
                });
            }
        }
        Ok(subscriptions)
    }

    /// Adds a subscription or replaces its document.
    pub fn put_subscription(&self, subscription: &StoredSubscription) -> Result<(), StoreError> {
        let owner = subscription.owner.as_ref().map(InstanceId::as_str);
        self.connection
            .execute(
                "INSERT INTO subscription (id, owner, document) VALUES (?1, ?2, ?3)
                 ON CONFLICT (id) DO UPDATE SET document = excluded.document",
                params![subscription.id, owner, subscription.document],
            )
            .map(drop)
            .map_err(|source| self.failed("keeping a subscription", source))
    }

    /// Removes a subscription; whether there was one.
    pub fn remove_subscription(&self, id: &str) -> Result<bool, StoreError> {
        self.connection
            .query_row(
                "DELETE FROM subscription WHERE id = ?1 RETURNING 1",
                [id],
                |_| Ok(()),
            )
            .optional()
            .map(|row| row.is_some())
            .map_err(|source| self.failed("removing a subscription", source))
    }

    /// Removes every subscription of an application that is gone.
    pub fn remove_subscriptions_of(&self, owner: &InstanceId) -> Result<(), StoreError> {
        self.connection
            .execute(
                "DELETE FROM subscription WHERE owner = ?1",
                [owner.as_str()],
            )
            .map(drop)
            .map_err(|source| self.failed("removing subscriptions", source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(id: &str, owner: Option<InstanceId>) -> StoredSubscription {
        StoredSubscription {
            id: id.to_owned(),
            owner,
            document: "{}".to_owned(),
        }
    }

    #[test]
    fn a_file_of_the_first_schema_gains_the_table_and_keeps_its_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let old = rusqlite::Connection::open(&path).unwrap();
        old.execute_batch(crate::MIGRATIONS[0].sql).unwrap();
        old.execute_batch(
            "INSERT INTO instance VALUES ('i', 'n', 2, 'running', '{}', 'm', 'c');
             INSERT INTO service VALUES ('s', 'i', '{}');
             PRAGMA user_version = 1;",
        )
        .unwrap();
        drop(old);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.services().unwrap().len(), 1);
        let kept = subscription("a", None);
        store.put_subscription(&kept).unwrap();
        drop(store);
        let again = Store::open(&path).unwrap();
        assert_eq!(again.subscriptions().unwrap(), [kept]);
    }

    #[test]
    fn an_owner_takes_only_its_own_subscriptions_along() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state.db")).unwrap();
        let (gone, stays) = (InstanceId::random(), InstanceId::random());
        let others = [subscription("b", Some(stays)), subscription("c", None)];
        store
            .put_subscription(&subscription("a", Some(gone.clone())))
            .unwrap();
        for other in &others {
            store.put_subscription(other).unwrap();
        }
        store.remove_subscriptions_of(&gone).unwrap();
        assert_eq!(store.subscriptions().unwrap(), others);
        assert!(store.remove_subscription("c").unwrap());
        assert!(!store.remove_subscription("c").unwrap());
    }
}
