//! health: what devices measured, ordered per device and never lost.
pub mod model;
