//! `tenure completions` and `tenure man`: what shells and `man` know of the command line.
//!
//! Both are made from the definition of the command line itself, so they cannot fall behind it.

use std::fs;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

use crate::args::Cli;
use crate::exit::{Code, Failure, Outcome};
use crate::output::print;

#[derive(Debug, Args)]
#[command(after_help = "\
For this user's bash: tenure completions bash > ~/.local/share/bash-completion/completions/tenure
zsh: into a folder of $fpath, named _tenure; fish: ~/.config/fish/completions/tenure.fish")]
pub(crate) struct CompletionsArgs {
    /// For which shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
To read them: tenure man ~/.local/share/man/man1, then man tenure-lock")]
pub(crate) struct ManArgs {
    /// The folder for the pages, made if there is none; files of the same names in it are replaced
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Prints the completions of one shell.
pub(crate) fn completions(args: &CompletionsArgs) -> Outcome {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "tenure", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Code::OK)
}

/// Writes a page for the program and one for each command.
pub(crate) fn man(args: &ManArgs) -> Outcome {
    let shown = args.folder.display();
    let trouble = |error: std::io::Error| {
        let message = format!("cannot write manual pages to `{shown}`: {error}");
        Failure::new(Code::CANNOT_CREATE, message)
            .help("name a folder that may be written, such as ~/.local/share/man/man1")
    };
    fs::create_dir_all(&args.folder).map_err(trouble)?;
    clap_mangen::generate_to(Cli::command(), &args.folder).map_err(trouble)?;
    print(&format!(
        "the pages are in {shown}; begin with `man tenure`\n"
    ))?;
    Ok(Code::OK)
}
