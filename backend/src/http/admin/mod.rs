//! `admin`: what only administrators may see and do; a file per noun.

pub mod audit;
pub mod circuits;
pub mod instances;
pub mod jobs;
pub mod keys;
pub mod rate_limits;
pub mod rollups;
pub mod sessions;
