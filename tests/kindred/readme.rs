//! The README tells the truth about settings.

use clap::{CommandFactory, Parser};
use kindred::runtime::Settings;

#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    _settings: Settings,
}

#[test]
fn every_setting_stands_in_the_readme() {
    let readme = include_str!("../../README.md");
    for argument in Defaults::command().get_arguments() {
        let (Some(flag), Some(variable)) = (argument.get_long(), argument.get_env()) else { continue };
        let variable = variable.to_string_lossy();
        assert!(readme.contains(&format!("| `--{flag}` | `{variable}` |")), "--{flag} ({variable})");
    }
}
