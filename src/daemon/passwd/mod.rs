//! `tidegate passwd`: makes the hashes that the plugin `password-file` lets clients in by.
//!
//! A password comes from the terminal, unseen, or from standard input, and never from the command line, which everybody
//! on the machine can read. It is wiped once it is hashed.

mod file;

use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use clap::Args;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::arguments::long;
use super::exit::{Failure, print};
use crate::password::hash;
use file::{Change, UserFile};

/// What MQTT can carry [MQTT-1.5.6].
const LONGEST_PASSWORD: usize = 65_535;
const LONGEST_NAME: usize = 65_535;

/// Make a password hash for the plugin password-file
///
/// With --file it is put into that file, which is made where it is not there, and which only its owner may read. Without,
/// the line is printed. The password is asked for on the terminal; where standard input is no terminal, its first line
/// is the password. A broker that runs takes the changed file over.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = long(EXAMPLES))]
pub(super) struct PasswdArguments {
    /// The User Name
    #[arg(value_name = "NAME", value_parser = parse_name)]
    name: String,
    /// Put it into this file, in place of what the name had there
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Take the name out of the file
    #[arg(long, requires = "file")]
    delete: bool,
}

const EXAMPLES: &str = "\
Examples:
  tidegate passwd --file passwd ada
  tidegate passwd --file passwd --delete ada
  printf '%s' \"$PASSWORD\" | tidegate passwd ada";

pub(super) fn run(arguments: &PasswdArguments) -> Result<(), Failure> {
    let PasswdArguments { name, file, delete } = arguments;
    let Some(path) = file else { return print(&format!("{name}:{}\n", new_hash(name)?)) };
    let before = UserFile::read(path)?;
    if *delete {
        return before.write(name, Change::Delete);
    }
    // A file that cannot be written is found before anybody has typed a password.
    before.check()?;
    let hash = new_hash(name)?;
    before.write(name, Change::Set(&hash))
}

fn new_hash(name: &str) -> Result<String, Failure> {
    let password = if io::stdin().is_terminal() { ask(name)? } else { read_line(io::stdin().lock())? };
    if password.is_empty() {
        return Err(Failure::usage("the password is empty"));
    }
    if password.len() > LONGEST_PASSWORD {
        return Err(Failure::usage(format!("the password has more than {LONGEST_PASSWORD} bytes")));
    }
    let mut salt = [0; 16];
    SystemRandom::new()
        .fill(&mut salt)
        .map_err(|_| Failure::internal("get random bytes", &"the system has none"))?;
    hash(&password, salt).ok_or_else(|| Failure::internal("hash the password", &"no memory"))
}

fn ask(name: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let prompt = |text: String| {
        let typed = rpassword::prompt_password(text);
        typed.map(Zeroizing::new).map_err(|error| Failure::internal("ask for the password", &error))
    };
    let password = prompt(format!("Password of {name}: "))?;
    if *password != *prompt("Once more: ".to_owned())? {
        return Err(Failure::usage("the two passwords differ; nothing was changed"));
    }
    Ok(Zeroizing::new(password.as_bytes().to_vec()))
}

/// The first line. Room for all of it is there at once: a buffer that grows would leave copies behind.
fn read_line(input: impl Read) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let most = LONGEST_PASSWORD + 2;
    let mut line = Zeroizing::new(Vec::with_capacity(most + 1));
    input
        .take(most as u64)
        .read_to_end(&mut line)
        .map_err(|error| Failure::internal("read the password", &error))?;
    let end = line.iter().position(|&byte| byte == b'\n').unwrap_or(line.len());
    line.truncate(end);
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

/// What stands before the first `:` of a line.
fn parse_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > LONGEST_NAME {
        return Err(format!("a name has 1 to {LONGEST_NAME} bytes"));
    }
    if text.contains(':') || text.chars().any(char::is_control) {
        return Err("a name in such a file has neither `:` nor control characters".to_owned());
    }
    if text.starts_with('#') {
        return Err("a line that begins with `#` is a comment, not a name".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_password() {
        let read = |input: &[u8]| read_line(input).unwrap().to_vec();
        assert_eq!(read(b"secret"), b"secret");
        assert_eq!(read(b"secret\r\nmore\n"), b"secret");
        assert_eq!(read(b" with blanks \n"), b" with blanks ");
        assert_eq!(read(b""), b"");
        assert_eq!(read(&[b'x'; 100_000]).len(), LONGEST_PASSWORD + 2);
    }

    #[test]
    fn a_name_that_would_be_another_line_is_refused() {
        for name in ["", "a:b", "a\nb", "#a"] {
            assert!(parse_name(name).is_err(), "{name:?}");
        }
        assert_eq!(parse_name("ada lovelace").as_deref(), Ok("ada lovelace"));
    }
}
