//! x
mod keys;
mod token_bucket;
