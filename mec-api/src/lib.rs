//! The ETSI MEC interfaces, generated from `openapi/`: types, one trait an interface, routers. No I/O.
