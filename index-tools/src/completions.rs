//! `index-tools completions`: what a shell needs to complete these commands.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::Cli;
use crate::exit::{Exit, Failure};
use crate::text::print;

/// Print the completions of a shell
#[derive(Args)]
#[command(after_help = "\
Examples:
  index-tools completions bash > ~/.local/share/bash-completion/completions/index-tools
  index-tools completions zsh > ~/.zfunc/_index-tools
  index-tools completions fish > ~/.config/fish/completions/index-tools.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "index-tools", &mut script);
    let script = String::from_utf8(script)
        .map_err(|_| Failure::new(Exit::Internal, "the completions are not text"))?;
    print(&script)
}
