//! edged-worker runs containers: it unpacks layers, makes containers with libcontainer, starts, stops and deletes
//! them, keeps their output, runs commands inside, and tells how they ended.
//!
//! # What it refuses
//! It parses nothing that comes from a network, decides nothing (what should run is edged's affair), and takes
//! requests from one user over one socket (`SO_PEERCRED`). It never shares a namespace of the host with a container,
//! mounts no folder of the host into one, and invents no exit code.
//!
//! # Tasks and channels
//! One process, one thread, one poll loop ([`worker::Worker::run`]): the listening socket, the one client, signals,
//! the pipes of containers and execs. libcontainer clones processes without executing anything and must never run
//! beside threads; nor may it change the worker's own folder or privileges. So everything that touches a container runs
//! in a forked child ([`helper`]) that ends with one line of JSON; at most one a container. Containers are the
//! worker's own children, so that it learns how they end.
//!
//! # Invariants
//! - A container's folder RUN/worker/INSTANCE with its record exists before anything else of it and goes last, so
//!   whatever a kill leaves behind is found and taken apart by the next start ([`container::destroy`]).
//! - A layer under LAYERS is whole and durable, or its name ends in `.partial`.
//! - A container outlives the worker: it holds its own pipes open, and is found again by process id and start time.
//! - What is sent and received is bounded; who does not read is cut off.

pub mod child;
mod connection;
pub mod container;
mod error;
mod exec;
pub mod fault;
mod layer;
mod log;
mod place;
mod purge;
mod record;
pub mod worker;

pub use error::Error;
pub use purge::purge;
