//! What is wrong with a configuration file: every problem with its line and key, told together.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::PluginSpec;

/// One thing to correct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub file: PathBuf,
    /// From 1; none where the problem is not in a line, such as a file that cannot be read.
    pub line: Option<usize>,
    /// Such as `broker.maximum-qos`; none for the syntax of the file.
    pub key: Option<String>,
    /// A sentence that says what is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if let Some(key) = &self.key {
            write!(f, " {key}:")?;
        }
        write!(f, " {}", self.message)
    }
}

/// Every problem of a configuration, in the order of its lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub problems: Vec<Problem>,
    /// Plugins whose own sections are right: they can be looked at although there is no configuration.
    pub sound_plugins: Vec<PluginSpec>,
}

impl Report {
    /// A file that could not be read at all.
    pub(super) fn of_file(file: &Path, message: String) -> Report {
        let problem = Problem { file: file.to_owned(), line: None, key: None, message };
        Report { problems: vec![problem], sound_plugins: Vec::new() }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        match self.problems.len() {
            1 => write!(f, "1 problem in the configuration"),
            count => write!(f, "{count} problems in the configuration"),
        }
    }
}

impl std::error::Error for Report {}

/// Collects problems while a text is read.
pub(super) struct Problems<'t> {
    file: &'t Path,
    text: &'t str,
    found: RefCell<Vec<(usize, Problem)>>,
}

impl<'t> Problems<'t> {
    pub(super) fn new(file: &'t Path, text: &'t str) -> Problems<'t> {
        Problems { file, text, found: RefCell::new(Vec::new()) }
    }

    /// Adds a problem at a place in the text.
    pub(super) fn add(&self, span: &Range<usize>, key: &str, message: impl Into<String>) {
        self.push(span.start, Some(key.to_owned()), message.into());
    }

    pub(super) fn add_syntax(&self, span: Option<Range<usize>>, message: &str) {
        self.push(span.map_or(0, |span| span.start), None, message.to_owned());
    }

    /// How many were found so far.
    pub(super) fn count(&self) -> usize {
        self.found.borrow().len()
    }

    /// The line of a place in the text, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        let end = offset.min(self.text.len());
        1 + self.text.as_bytes()[..end].iter().filter(|byte| **byte == b'\n').count()
    }

    /// Forgets problems on the lines given: there they would only be echoes of a syntax error.
    pub(super) fn forget_lines(&self, lines: &[usize]) {
        self.found.borrow_mut().retain(|(_, problem)| {
            problem.key.is_none() || !problem.line.is_some_and(|line| lines.contains(&line))
        });
    }

    /// All that was found, in the order of the text.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(offset, _)| *offset);
        let mut problems: Vec<Problem> = found.into_iter().map(|(_, problem)| problem).collect();
        problems.dedup();
        problems
    }

    fn push(&self, offset: usize, key: Option<String>, message: String) {
        let line = Some(self.line(offset));
        self.found.borrow_mut().push((offset, Problem { file: self.file.to_owned(), line, key, message }));
    }
}
