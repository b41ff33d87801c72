//! The languages, and which one a project is written in.

use std::path::Path;

use clap::ValueEnum;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Language {
    Rust,
    Javascript,
    Typescript,
    Python,
    Go,
    C,
    Zig,
    Assemblyscript,
}

impl Language {
    pub(super) const ALL: [Language; 8] = [
        Language::Rust,
        Language::Javascript,
        Language::Typescript,
        Language::Python,
        Language::Go,
        Language::C,
        Language::Zig,
        Language::Assemblyscript,
    ];

    /// The file that the build begins with; its presence tells the language of a project.
    pub(super) const fn source(self) -> &'static str {
        match self {
            Language::Rust => "src/lib.rs",
            Language::Javascript => "src/plugin.js",
            Language::Typescript => "src/plugin.ts",
            Language::Python => "plugin.py",
            Language::Go => "main.go",
            Language::C => "plugin.c",
            Language::Zig => "plugin.zig",
            Language::Assemblyscript => "assembly/index.ts",
        }
    }

    pub(super) fn of(project: &Path) -> Option<Language> {
        Language::ALL.into_iter().find(|language| project.join(language.source()).is_file())
    }
}
