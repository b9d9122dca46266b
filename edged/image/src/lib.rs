//! Images: registries, archives and the content store.
