//! `keystile completion`: prints a script that completes commands and options in a shell.

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::aot::{self, Generator};

use crate::arguments::Arguments;
use crate::failure::{Exit, Failure};
use crate::io::Io;

/// Print a script that completes commands and options in your shell.
///
/// Example:
///   keystile completion bash > ~/.local/share/bash-completion/completions/keystile
///   keystile completion zsh > "${fpath[1]}/_keystile"
///   keystile completion fish > ~/.config/fish/completions/keystile.fish
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct CompletionArguments {
    /// The shell that the script is for.
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Carries out `keystile completion`.
pub(crate) fn run(arguments: &CompletionArguments, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let generator = match arguments.shell {
        Shell::Bash => aot::Shell::Bash,
        Shell::Zsh => aot::Shell::Zsh,
        Shell::Fish => aot::Shell::Fish,
    };
    let mut program = Arguments::command();
    program.set_bin_name("keystile");
    program.build();
    generator.try_generate(&program, io.output)?;
    Ok(Exit::Done)
}
