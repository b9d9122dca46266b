//! Durable state: applications, leases and secrets in SQLite.
