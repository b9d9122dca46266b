//! What goes wrong between two steps, and what an application does to itself: edged is ended at every point of a
//! deployment and of a removal; processes, probes, limits and wishes cross each other.

mod chaos;
mod ends;
mod facets;
mod healing;
mod mec;
mod points;
mod wishes;
