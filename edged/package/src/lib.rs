//! Application packages (ETSI GS MEC 037 v3.2.1): read, verified and made.
//!
//! A package is a CSAR: a ZIP with `TOSCA-Metadata/TOSCA.meta`, a manifest with the digest of every file, a descriptor
//! in TOSCA YAML and perhaps an image. Both ways to sign are taken: CMS behind the manifest's entries (or in a file
//! `.cms` or `.p7s` beside it), and a ZIP around CSAR, signature and certificate. [`Package::open`] verifies all of it;
//! [`PackageBuilder`] makes the first kind. A pure library: no network, no clock, no tasks; it reads a whole file and
//! is called where blocking is allowed.
//!
//! # What is refused
//! Whatever two readers could understand differently or that is not vouched for: names that leave the package or meet
//! when case is folded, links, encryption, ZIP64, bytes between entries, files without a digest, MD5 and SHA-1,
//! signers that nobody trusts, YAML anchors, unknown node types and unknown fields. The error names file and field.
//!
//! # Invariants
//! - No byte of a file is interpreted before the manifest's signature, or the envelope's, has been verified; the
//!   exceptions are TOSCA.meta, the manifest and the certificates, which lead there.
//! - What [`Package::file`] gives is compared again with what was verified, while it is read.
//! - Memory is bounded by [`Limits::text`] and two buffers, whatever the package says about itself.
//!
//! # What TOSCA has no word for
//! `metadata:` of the application's node has texts under these names; others that begin with `umec.` are refused.
//!
//! | Name | Value |
//! |---|---|
//! | `umec.confirm_ready` | `"true"`: ready only when it says so by `confirm_ready` (MEC 011) |
//! | `umec.mqtt_subscribe` | topic filters with commas between |
//! | `umec.publish` | `HOST:CONTAINER[/udp]`, with commas between |
//! | `umec.egress` | `"true"`: it may leave the box |
//! | `umec.reach` | applications it may open connections to, with commas between |
//! | `umec.writable` | `"true"`: its root file system takes writes |
//! | `umec.restart` | `always`, `on-failure` or `never` |
//! | `umec.env.NAME` | the variable's value |
//! | `umec.args`, `umec.entrypoint` | words as a JSON list, `["--port", "80"]` |
//! | `umec.readiness`, `umec.liveness` | `http:PORT/PATH`, `tcp:PORT` or `exec:["PROGRAM"]`; before it perhaps `interval_ms=10000,timeout_ms=2000,failures=3` and a space |
//! | `umec.service.NAME` | `PORT[/udp]` of a produced service: the platform registers it |

mod appd;
mod build;
mod definitions;
mod envelope;
mod error;
mod hash;
mod identity;
mod limits;
mod manifest;
mod meta;
mod package;
mod pem;
mod signature;
mod trust;
mod yaml;
mod zip;

pub use appd::*;
pub use build::{Built, Image, PackageBuilder};
pub use error::PackageError;
pub use hash::{Algorithm, Hash, ParseHashError};
pub use identity::{IdentityError, SigningIdentity};
pub use limits::Limits;
pub use package::Package;
pub use signature::Signer;
pub use trust::{Trust, TrustError};
pub use zip::VerifiedReader;
