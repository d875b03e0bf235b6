//! Fuzz targets for bifold's Rust API and its options. That for the C functions
//! is a crate of its own, `c_api`: whoever links it runs on them.

pub mod operations;
pub mod options;
