//! The local resolver: authoritative for the site zone, a forwarder for the rest.
