//! `tidegate plugin new` and `tidegate plugin build`: a project in any of the languages, and from its sources to a
//! plugin with the language's own tools.
//!
//! Everything that a project needs beside those tools is in this program (`templates`). The tools are looked for in
//! PATH and in a cache folder (`tools`), into which `--install` gets them from the package registries.

mod bare;
mod build;
mod language;
mod new;
mod rust;
mod templates;
mod tools;

use std::path::PathBuf;

use clap::Args;

use super::arguments::long;
use super::exit::Failure;
use language::Language;

/// Write a project for a plugin that builds at once
///
/// It stamps messages, keeps clients from a topic and has cases for `tidegate plugin test`: a place to start from.
/// Nothing is downloaded.
#[derive(Debug, Args)]
#[command(after_help = NEW_EXAMPLES, after_long_help = long(NEW_EXAMPLES))]
pub(super) struct NewArguments {
    /// Lower-case letters, digits and `-`; also the folder, which must not be there yet
    #[arg(value_name = "NAME", value_parser = new::parse_name)]
    name: String,
    /// The language
    #[arg(short, long, value_enum)]
    lang: Language,
    /// Only these hooks, without code in them, instead of the example
    #[arg(long, value_name = "HOOK,…", value_delimiter = ',', value_parser = bare::parse_hook)]
    hooks: Vec<&'static str>,
}

const NEW_EXAMPLES: &str = "\
Examples:
  tidegate plugin new greenhouse --lang python
  tidegate plugin new doorman --lang go --hooks validating-connection,events
  tidegate plugin build greenhouse --install";

/// Make a plugin file of a project that `tidegate plugin new` wrote
///
/// Calls the language's own tools and checks that this broker can load the result, `build/NAME.wasm`. Where a tool
/// is missing, it says how to get it.
#[derive(Debug, Args)]
#[command(after_help = BUILD_EXAMPLES, after_long_help = long(BUILD_EXAMPLES))]
pub(super) struct BuildArguments {
    /// The project
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Get missing tools from the package registries first, into the user's cache folder
    #[arg(long)]
    install: bool,
}

const BUILD_EXAMPLES: &str = "\
Examples:
  tidegate plugin build
  tidegate plugin build greenhouse --install";

pub(super) fn new(arguments: &NewArguments) -> Result<(), Failure> {
    new::run(&arguments.name, arguments.lang, &arguments.hooks)
}

pub(super) fn build(arguments: &BuildArguments) -> Result<(), Failure> {
    build::run(&arguments.folder, arguments.install)
}
