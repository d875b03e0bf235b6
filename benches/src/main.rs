//! Measures bifold: `cargo run --release -p bifold-bench -- --help`.
//!
//! `bars` prints what the project has set itself, each figure beside its bar.
//! How the figures are taken is `measure`'s business, which the tests share.

mod allocators;
mod bars;
mod build;
#[path = "../../tests/measure/mod.rs"]
mod measure;
mod programs;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Measures bifold, and what else serves malloc")]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Print the bars, and exit with 1 when one is missed
    Bars(bars::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Action::Bars(arguments) => bars::print(&arguments),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}
