//! The three flows, end to end.
