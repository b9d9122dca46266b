//! Documents that nothing is asked about but their key: one table, one kind of document a type.

use rusqlite::params;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Store, StoreError};

/// A document that is kept whole.
pub trait Record: Serialize + DeserializeOwned {
    /// The kind, a word of its own; never changed, it is on every device's disk.
    const KIND: &'static str;
    /// What is unique among documents of the kind.
    fn key(&self) -> &str;
}

impl Store {
    /// Every document of a kind, oldest first.
    pub fn records<R: Record>(&self) -> Result<Vec<R>, StoreError> {
        let at = |source| self.failed("reading records", source);
        let mut statement = self
            .connection
            .prepare("SELECT key, document FROM record WHERE kind = ?1 ORDER BY rowid")
            .map_err(at)?;
        let rows = statement
            .query_map([R::KIND], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })
            .map_err(at)?;
        let mut records = Vec::new();
        for row in rows {
            let (id, document) = row.map_err(at)?;
            let record = serde_json::from_str(&document).map_err(|source| StoreError::Row {
                path: self.path.clone(),
                id,
                source,
            })?;
            records.push(record);
        }
        Ok(records)
    }

    /// Keeps a document, in place of the one with its key.
    pub fn put_record<R: Record>(&self, record: &R) -> Result<(), StoreError> {
        let document = self.encode(record.key(), record)?;
        self.connection
            .execute(
                "INSERT INTO record (kind, key, document) VALUES (?1, ?2, ?3)
                 ON CONFLICT (kind, key) DO UPDATE SET document = excluded.document",
                params![R::KIND, record.key(), document],
            )
            .map(drop)
            .map_err(|source| self.failed("keeping a record", source))
    }

    /// Removes a document; whether there was one.
    pub fn remove_record<R: Record>(&self, key: &str) -> Result<bool, StoreError> {
        self.connection
            .execute(
                "DELETE FROM record WHERE kind = ?1 AND key = ?2",
                params![R::KIND, key],
            )
            .map(|rows| rows > 0)
            .map_err(|source| self.failed("removing a record", source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    struct Note {
        name: String,
        text: String,
    }

    impl Record for Note {
        const KIND: &'static str = "note";
        fn key(&self) -> &str {
            &self.name
        }
    }

    #[test]
    fn a_record_is_replaced_by_its_key_and_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let note = |name: &str, text: &str| Note {
            name: name.to_owned(),
            text: text.to_owned(),
        };
        let store = Store::open(&path).unwrap();
        for (name, text) in [("a", "1"), ("b", "2"), ("a", "3")] {
            store.put_record(&note(name, text)).unwrap();
        }
        drop(store);
        let store = Store::open(&path).unwrap();
        assert_eq!(
            store.records::<Note>().unwrap(),
            [note("a", "3"), note("b", "2")]
        );
        assert!(store.remove_record::<Note>("a").unwrap());
        assert!(!store.remove_record::<Note>("a").unwrap());
        assert_eq!(store.records::<Note>().unwrap(), [note("b", "2")]);
    }
}
