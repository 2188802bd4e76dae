//! Faults of the database as callers see them: standbys that stop, lag or are promoted, a primary that dies, commits whose
//! wait is cut short.

mod caches;
mod cluster;
mod commits;
mod readers;
