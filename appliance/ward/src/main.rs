//! `ward`: the command line. Exit status 0: fine; 1: the checked thing failed; 2: wrong usage. `verify-image` has
//! two more.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ward::console::Console;
use ward::{
    call, check_config, demo, events, launch, metrics, run, signature, vendors, verify_image,
};

#[global_allocator]
static ALLOCATOR: ward_sys::alloc::ZeroOnFree = ward_sys::alloc::ZeroOnFree;

const ABOUT: &str = "The protected zone for Twilio voice calls: try it, run it, check it";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "ward", version, about = ABOUT, disable_help_subcommand = true)]
struct Arguments {
    /// Print one JSON object instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Place one spoken call through both servers on this machine, with nothing configured.
    Demo(demo::Arguments),
    /// Place a call as Twilio would, against any deployment.
    Call(call::Arguments),
    /// Run one of the servers: open what it needs and hand it down.
    Run(run::Arguments),
    /// Show what Twilio would sign, and which spelling a signature does match.
    Signature(signature::Arguments),
    /// Name every problem in both servers' settings.
    CheckConfig(check_config::Arguments),
    /// Name every problem in the vendor registry, or say what each vendor may be given.
    Vendors(vendors::Arguments),
    /// Show every line that the log can have, or print its JSON Schema.
    Events(events::Arguments),
    /// Print what the roles have counted, from their log, for Prometheus.
    Metrics(metrics::Arguments),
    /// Say what is in a machine image, with every digest, and what should not be. Exit status 1: something is in
    /// it that may not be; 3: it cannot be read; 4: its bytes are not those that ward-image writes.
    VerifyImage(verify_image::Arguments),
}

fn main() -> ExitCode {
    // The launcher starts this same executable in a server's role: one build, one program to trust.
    if let Some(outcome) = launch::run_as_server(std::env::args()) {
        return outcome;
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let console = Console::new(arguments.json);
    let outcome = match &arguments.command {
        Command::Demo(demo) => demo::run(demo, &console),
        Command::Call(call) => call::run(call, &console),
        Command::Run(server) => run::run(server, &console),
        Command::Signature(signature) => signature::run(signature, &console),
        Command::CheckConfig(check) => check_config::run(check, &console),
        Command::Vendors(vendors) => vendors::run(vendors, &console),
        Command::Events(events) => events::run(events, &console),
        Command::Metrics(metrics) => metrics::run(metrics, &console),
        Command::VerifyImage(image) => match verify_image::run(image, &console) {
            Ok(Some(class)) => return ExitCode::from(class.exit_status()),
            Ok(None) => Ok(true),
            Err(failure) => Err(failure),
        },
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(failure) => {
            console.failure(&failure.to_string());
            ExitCode::from(failure.exit_status())
        }
    }
}

/// Prints help, the version or what is wrong with the command line; as JSON where that was asked for.
fn usage(error: &clap::Error) -> ExitCode {
    let is_json = std::env::args().any(|argument| argument == "--json");
    if is_json && error.use_stderr() {
        Console::new(true).failure(&error.to_string());
    } else {
        // A reader that has gone away is no reason to say so.
        error.print().unwrap_or_default();
    }
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}
