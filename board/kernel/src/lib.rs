//! The one kernel of every board.
