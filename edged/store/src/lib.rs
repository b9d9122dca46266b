//! Durable state: applications, their secrets and the services they announced, in `SQLite`.
//!
//! One writer (edged), write-ahead log, one transaction a change, `synchronous = FULL`: a change that was answered
//! survives a power cut. What can be seen in the kernel, the broker or the worker is never written here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use edged_model::{AppInstance, Goal, InstanceId};
use edged_protocol::Secret;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

mod record;
mod service;
mod subscription;

pub use record::Record;
pub use service::StoredService;
pub use subscription::StoredSubscription;

/// The layout that this program writes, kept in `SQLite`'s `user_version`.
pub const SCHEMA: u32 = newest().to;
/// The oldest layout whose programs can read and write what this one writes, kept in `SQLite`'s `application_id`: what an
/// update is judged by, as the release before has to open the database again after a rollback.
pub const SCHEMA_READS: u32 = newest().reads;
/// How long a locked database is waited for: only `sqlite3` in a person's hands can hold it.
const BUSY: Duration = Duration::from_secs(5);

/// What leads from one layout to the next.
#[derive(Debug, Clone, Copy)]
struct Migration {
    /// The layout that it leads to.
    to: u32,
    /// The oldest layout whose programs can go on with it. One that only adds (a table, a column with a default, an index,
    /// a field that the documents' readers pass over) leaves it as it was; any other raises it to `to`, and an update with
    /// it is a step that nothing leads back from.
    reads: u32,
    /// How.
    sql: &'static str,
}

/// All of them, the first from an empty file. Only ever added to.
const MIGRATIONS: [Migration; 3] = [
    Migration {
        to: 1,
        reads: 1,
        sql: FIRST,
    },
    Migration {
        to: 2,
        reads: 1,
        sql: subscription::TABLE,
    },
    // It changed a reference that programs before relied on.
    Migration {
        to: 3,
        reads: 3,
        sql: THIRD,
    },
];

const fn newest() -> Migration {
    let [.., newest] = MIGRATIONS;
    newest
}

/// Schema 1.
const FIRST: &str = "
    CREATE TABLE instance (
        id            TEXT PRIMARY KEY,
        name          TEXT NOT NULL UNIQUE,
        lease         INTEGER NOT NULL UNIQUE,
        goal          TEXT NOT NULL,
        document      TEXT NOT NULL,
        mqtt_password TEXT NOT NULL,
        client_secret TEXT NOT NULL
    ) STRICT;
    CREATE TABLE service (
        id       TEXT PRIMARY KEY,
        instance TEXT NOT NULL REFERENCES instance (id) ON DELETE CASCADE,
        document TEXT NOT NULL
    ) STRICT;
";

/// Schema 3: services of applications that run elsewhere have no row in `instance`; and records.
const THIRD: &str = "
    ALTER TABLE service RENAME TO service_of_instance;
    CREATE TABLE service (
        id       TEXT PRIMARY KEY,
        instance TEXT NOT NULL,
        document TEXT NOT NULL
    ) STRICT;
    INSERT INTO service SELECT id, instance, document FROM service_of_instance ORDER BY rowid;
    DROP TABLE service_of_instance;
    CREATE INDEX service_instance ON service (instance);
    CREATE TABLE record (
        kind     TEXT NOT NULL,
        key      TEXT NOT NULL,
        document TEXT NOT NULL,
        PRIMARY KEY (kind, key)
    ) STRICT;
";

/// Why state was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full: nothing was changed.
    #[error("{path} cannot grow: the disk is full; remove images with `rmi` and try again")]
    Full {
        /// The database.
        path: PathBuf,
    },
    /// Another instance has the name.
    #[error("an application named {0:?} exists; choose another name or `rm` it first")]
    NameTaken(String),
    /// A newer program wrote the file, and not so that this one could go on with it.
    #[error(
        "{path} was written by a newer version (schema {found}, for readers of {reads} and later); install that version again"
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        found: u32,
        /// The oldest schema whose programs read it.
        reads: u32,
    },
    /// A row that this program cannot read.
    #[error("{path}: the row of {id} cannot be read: {source}")]
    Row {
        /// The database.
        path: PathBuf,
        /// Which row.
        id: String,
        /// Why.
        source: serde_json::Error,
    },
    /// Anything else `SQLite` says.
    #[error("{operation} in {path} failed: {source}")]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What was done.
        operation: &'static str,
        /// What `SQLite` said.
        source: rusqlite::Error,
    },
}

/// The secrets of an instance: made with it, gone with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Password of its account on the broker.
    pub mqtt_password: Secret,
    /// Its OAuth 2.0 client secret (RFC 6749, 2.3.1).
    pub client_secret: Secret,
}

/// The open database.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Connection,
}

impl Store {
    /// Opens or makes the database.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, &MIGRATIONS)
    }

    fn open_with(path: &Path, migrations: &[Migration]) -> Result<Self, StoreError> {
        let at = |operation| move |source| failed(path, operation, source);
        let mut connection = Connection::open(path).map_err(at("opening"))?;
        connection.busy_timeout(BUSY).map_err(at("opening"))?;
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
            )
            .map_err(at("setting up"))?;
        let transaction = connection.transaction().map_err(at("setting up"))?;
        let (found, reads) = versions(&transaction).map_err(at("setting up"))?;
        let ours = migrations.last().map_or(0, |newest| newest.to);
        if found > ours && reads > ours {
            return Err(StoreError::Newer {
                path: path.to_owned(),
                found,
                reads,
            });
        }
        for migration in migrations.iter().filter(|migration| migration.to > found) {
            transaction
                .execute_batch(migration.sql)
                .and_then(|()| transaction.pragma_update(None, "user_version", migration.to))
                .and_then(|()| transaction.pragma_update(None, "application_id", migration.reads))
                .map_err(at("making the tables"))?;
        }
        transaction.commit().map_err(at("making the tables"))?;
        Ok(Self {
            path: path.to_owned(),
            connection,
        })
    }

    /// The oldest layout whose programs can open the database as it is.
    pub fn reads(&self) -> Result<u32, StoreError> {
        let (_, reads) =
            versions(&self.connection).map_err(|source| self.failed("looking at it", source))?;
        Ok(reads)
    }

    /// Every instance with its secrets, by name.
    pub fn instances(&self) -> Result<Vec<(AppInstance, Credentials)>, StoreError> {
        let at = |source| self.failed("reading instances", source);
        let mut statement = self
            .connection
            .prepare("SELECT id, goal, document, mqtt_password, client_secret FROM instance ORDER BY name")
            .map_err(at)?;
        let rows = statement
            .query_map([], |row| {
                let texts: [String; 5] = [
                    row.get(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                ];
                Ok(texts)
            })
            .map_err(at)?;
        let mut instances = Vec::new();
        for row in rows {
            let [id, goal, document, mqtt_password, client_secret] = row.map_err(at)?;
            let unreadable = |source| StoreError::Row {
                path: self.path.clone(),
                id: id.clone(),
                source,
            };
            let mut instance: AppInstance = serde_json::from_str(&document).map_err(unreadable)?;
            // The goal has a column of its own, so that changing it rewrites one word.
            instance.goal =
                serde_json::from_value(serde_json::Value::String(goal)).map_err(unreadable)?;
            let credentials = Credentials {
                mqtt_password: Secret::new(mqtt_password),
                client_secret: Secret::new(client_secret),
            };
            instances.push((instance, credentials));
        }
        Ok(instances)
    }

    /// Adds an instance with its secrets.
    pub fn insert(
        &self,
        instance: &AppInstance,
        credentials: &Credentials,
    ) -> Result<(), StoreError> {
        let document = self.encode(instance.id.as_str(), instance)?;
        let result = self.connection.execute(
            "INSERT INTO instance (id, name, lease, goal, document, mqtt_password, client_secret)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                instance.id.as_str(),
                instance.spec.name.as_str(),
                instance.lease.get(),
                goal_text(instance.goal),
                document,
                credentials.mqtt_password.expose(),
                credentials.client_secret.expose(),
            ],
        );
        match result {
            Ok(_) => Ok(()),
            Err(source) if source.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                Err(StoreError::NameTaken(instance.spec.name.to_string()))
            }
            Err(source) => Err(self.failed("adding an instance", source)),
        }
    }

    /// Changes what is wanted of an instance; an unknown id changes nothing.
    pub fn set_goal(&self, id: &InstanceId, goal: Goal) -> Result<(), StoreError> {
        self.connection
            .execute(
                "UPDATE instance SET goal = ?2 WHERE id = ?1",
                params![id.as_str(), goal_text(goal)],
            )
            .map(drop)
            .map_err(|source| self.failed("changing a goal", source))
    }

    /// Writes an instance's document anew, its goal aside; an unknown id changes nothing.
    pub fn update(&self, instance: &AppInstance) -> Result<(), StoreError> {
        let document = self.encode(instance.id.as_str(), instance)?;
        self.connection
            .execute(
                "UPDATE instance SET document = ?2 WHERE id = ?1",
                params![instance.id.as_str(), document],
            )
            .map(drop)
            .map_err(|source| self.failed("changing an instance", source))
    }

    /// Forgets an instance, its secrets and its services.
    pub fn forget(&self, id: &InstanceId) -> Result<(), StoreError> {
        let forget = || {
            let transaction = self.connection.unchecked_transaction()?;
            transaction.execute("DELETE FROM service WHERE instance = ?1", [id.as_str()])?;
            transaction.execute("DELETE FROM instance WHERE id = ?1", [id.as_str()])?;
            transaction.commit()
        };
        forget().map_err(|source| self.failed("forgetting an instance", source))
    }

    fn encode<T: serde::Serialize>(&self, id: &str, value: &T) -> Result<String, StoreError> {
        serde_json::to_string(value).map_err(|source| StoreError::Row {
            path: self.path.clone(),
            id: id.to_owned(),
            source,
        })
    }

    fn failed(&self, operation: &'static str, source: rusqlite::Error) -> StoreError {
        failed(&self.path, operation, source)
    }
}

/// The layout of a database, and the oldest one whose programs read it. Before layouts said so, each was for itself.
fn versions(connection: &Connection) -> rusqlite::Result<(u32, u32)> {
    let pragma = |name: &str| {
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, u32>(0))
    };
    let (version, reads) = (pragma("user_version")?, pragma("application_id")?);
    Ok((version, if reads == 0 { version } else { reads }))
}

fn failed(path: &Path, operation: &'static str, source: rusqlite::Error) -> StoreError {
    if source.sqlite_error_code() == Some(ErrorCode::DiskFull) {
        StoreError::Full {
            path: path.to_owned(),
        }
    } else {
        StoreError::Sqlite {
            path: path.to_owned(),
            operation,
            source,
        }
    }
}

fn goal_text(goal: Goal) -> &'static str {
    match goal {
        Goal::Running => "running",
        Goal::Stopped => "stopped",
        Goal::Removed => "removed",
    }
}

#[cfg(test)]
mod tests;
