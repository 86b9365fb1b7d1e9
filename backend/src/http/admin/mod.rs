//! `admin`: what only administrators may see and do; a file per noun.

pub mod instances;
