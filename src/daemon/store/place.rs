//! Where what is kept lies, as the arguments of each command say it.

use std::fmt;
use std::path::PathBuf;

use clap::Args;

use crate::config::{self, Config, StorageOptions, StoragePlace};
use crate::daemon::exit::Failure;
use crate::message::Timestamp;
use crate::storage::{Storage, StorageError, Survey};

#[derive(Debug, Args)]
pub(super) struct Place {
    #[command(flatten)]
    location: Location,
    /// What the names of the database's tables begin with; `tidegate_` where it is not given
    #[arg(long, value_name = "PREFIX", conflicts_with_all = ["data", "config"])]
    #[arg(value_parser = config::parse_table_prefix)]
    table_prefix: Option<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Location {
    /// A data folder
    #[arg(short, long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A database: mysql://user:password@host/database, or mysqls:// for an encrypted connection
    ///
    /// Other users of this machine can see it in the list of processes: with a password, --url-file is better.
    #[arg(long, value_name = "URL", value_parser = config::parse_database_url)]
    url: Option<String>,
    /// A file with the URL of a database
    #[arg(long, value_name = "FILE")]
    url_file: Option<PathBuf>,
    /// What the section [storage] of this configuration names
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Place {
    pub(super) fn options(&self) -> Result<StorageOptions, Failure> {
        let mut options = self.location.options()?;
        if let Some(prefix) = &self.table_prefix {
            options.table_prefix.clone_from(prefix);
        }
        Ok(options)
    }
}

impl Location {
    fn options(&self) -> Result<StorageOptions, Failure> {
        if let Some(file) = &self.config {
            let config = Config::load(file)
                .map_err(|report| Failure::usage(format!("the configuration cannot be used\n{report}")))?;
            let nowhere = || {
                let file = file.display();
                Failure::usage(format!(
                    "{file} has no section [storage]: a broker that runs with it keeps nothing"
                ))
            };
            return config.storage.ok_or_else(nowhere);
        }
        Ok(match (&self.data, &self.url, &self.url_file) {
            (Some(folder), ..) => StorageOptions::in_folder(folder),
            (_, Some(url), _) => StorageOptions::in_database(url),
            (.., Some(file)) => {
                let wrong = |why| Failure::usage(format!("--url-file: {} {why}", file.display()));
                StorageOptions::in_database(config::read_database_url(file).map_err(wrong)?)
            }
            // The command line is refused without any.
            (None, None, None) => {
                return Err(Failure::usage("name a place: --data, --url, --url-file or --config"));
            }
        })
    }
}

/// A place for a sentence, without a password.
pub(super) struct Named<'a>(pub(super) &'a StorageOptions);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.place {
            StoragePlace::Folder(folder) => folder.display().fmt(f),
            StoragePlace::Mysql(_) => f.write_str("the database"),
        }
    }
}

/// All that is there, counted.
pub(super) fn survey(storage: &dyn Storage, now: Timestamp) -> Result<Survey, StorageError> {
    let mut survey = Survey::new(now);
    storage.load(&mut |change| survey.note(&change))?;
    Ok(survey)
}
