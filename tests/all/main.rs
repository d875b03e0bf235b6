//! One test binary, a module a subject. Behaviour is tested through the
//! public door: the Rust API here, the C library in children that run on it.

#[path = "../measure/mod.rs"]
mod measure;

mod bad_input;
mod c_api;
mod cpp;
mod debug;
mod examples;
mod faults;
mod hardened;
mod heaps;
mod instructions;
mod layers;
mod locked;
mod memory;
mod pages;
mod policy;
mod process;
mod programs;
mod rig;
mod security;
mod shadow;
mod stats;

mod support;
mod symbols;
mod waste;
