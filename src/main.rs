//! The server binary: `vicinage serve`. Everything it does is in [`vicinage::server`].

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Retrieves the nearest items to a vector, over HTTP.
///
/// Indexes are built with index-tools.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve indexes over HTTP
    Serve(Box<vicinage::server::ServeArgs>),
}

fn main() -> ExitCode {
    let Command::Serve(args) = Cli::parse().command;
    match vicinage::server::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
