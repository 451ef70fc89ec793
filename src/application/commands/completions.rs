//! `mlp completions`.

use clap_complete::env::{Bash, EnvCompleter, Fish, Powershell, Zsh};

use super::{Answer, Context};
use crate::base::Exit;

/// Prints the script that makes a shell complete mlp's commands and the names in your project.
///
/// bash: `mlp completions bash > ~/.local/share/bash-completion/completions/mlp`;
/// zsh: `mlp completions zsh > DIR/_mlp` for a DIR of $fpath;
/// fish: `mlp completions fish > ~/.config/fish/completions/mlp.fish`;
/// PowerShell: add its output to $PROFILE.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// The shells.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
#[expect(clippy::enum_variant_names, reason = "PowerShell is a name")]
enum Shell {
    Bash,
    Zsh,
    Fish,
    #[value(name = "powershell")]
    PowerShell,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let completer: &dyn EnvCompleter = match args.shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
        Shell::PowerShell => &Powershell,
    };
    let mut script = Vec::new();
    // The script calls `mlp` by that name, so that it outlives this build and this place.
    completer
        .write_registration("COMPLETE", "mlp", "mlp", "mlp", &mut script)
        .map_err(crate::application::ui::UiError::Output)?;
    context.ui.raw(&String::from_utf8_lossy(&script));
    Ok(Exit::Ok)
}
