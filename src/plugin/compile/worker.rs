//! The process that compiles one component, from inside: reads it, limits itself, answers, ends.
//!
//! ```text
//! -> Asked, component until the end
//! <- SHA-256 of the code, code; ends with 0
//! <- why the component is not valid; ends with INVALID
//! ```
//!
//! Without an answer, what is said on stderr tells why.

use std::env;
use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

use super::quickest;
use crate::plugin::engine::{Fuel, engine_with};
use crate::plugin::options::Budgets;

/// The variable that tells a process what it was started for, and by whom: the number of that process.
pub(super) const ASKED: &str = "TIDEGATE_COMPILES_A_PLUGIN";

/// `EX_DATAERR`.
pub(super) const INVALID: i32 = 65;
/// `EX_OSERR`.
const FAILED: i32 = 71;

const DIGEST: usize = 32;

/// What the process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Bytes of address space.
    memory: u64,
    /// Seconds, of which one thread takes all. Whoever asked ends the process before, unless it is not there any more.
    processor: u64,
    fuel: Fuel,
}

impl Asked {
    pub(super) fn of(budgets: &Budgets, fuel: Fuel) -> Asked {
        Asked { memory: budgets.compile_memory as u64, processor: budgets.compile_time.as_secs() + 2, fuel }
    }

    pub(super) fn to_bytes(self) -> [u8; 17] {
        let mut bytes = [0; 17];
        bytes[..8].copy_from_slice(&self.memory.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.processor.to_le_bytes());
        bytes[16] = u8::from(self.fuel == Fuel::Metered);
        bytes
    }

    fn read(mut input: impl Read) -> io::Result<Asked> {
        let mut number = || {
            let mut bytes = [0; 8];
            input.read_exact(&mut bytes).map(|()| u64::from_le_bytes(bytes))
        };
        let (memory, processor) = (number()?, number()?);
        let mut counted = [0];
        input.read_exact(&mut counted)?;
        Ok(Asked { memory, processor, fuel: Fuel::where_counted(counted != [0]) })
    }
}

/// Whether this process was started to compile a plugin.
pub(in crate::plugin) fn is_worker() -> bool {
    env::var_os(ASKED).is_some()
}

/// Compiles a plugin and ends the process, where a [`PluginHost`](crate::plugin::PluginHost) of this program has
/// started it for that; else returns at once.
///
/// A program whose host has plugins compiled by a process of their own calls it first of all; see
/// [`CompileIn`](crate::plugin::CompileIn).
///
/// ```no_run
/// use tidegate::plugin::{CompileIn, HostOptions};
///
/// tidegate::plugin::compile_if_asked();
/// let options = HostOptions { compile_in: CompileIn::OwnProcess, ..HostOptions::default() };
/// ```
pub fn compile_if_asked() {
    if is_worker() {
        std::process::exit(work());
    }
}

fn work() -> i32 {
    let answered = read().and_then(|(component, fuel)| answer(&component, fuel));
    answered.unwrap_or_else(|error| {
        eprintln!("{error}");
        FAILED
    })
}

fn read() -> io::Result<(Vec<u8>, Fuel)> {
    let mut input = io::stdin().lock();
    let asked = Asked::read(&mut input)?;
    limit(asked)?;
    let mut component = Vec::new();
    input.read_to_end(&mut component)?;
    Ok((component, asked.fuel))
}

fn answer(component: &[u8], fuel: Fuel) -> io::Result<i32> {
    let engine = engine_with(fuel).map_err(io::Error::other)?;
    let mut output = io::stdout().lock();
    let code = match quickest(component, |bytes| engine.precompile_component(bytes)) {
        Ok(code) => code,
        Err(why) => return output.write_all(why.as_bytes()).map(|()| INVALID),
    };
    output.write_all(&Sha256::digest(&code))?;
    output.write_all(&code)?;
    output.flush().map(|()| 0)
}

/// The code in an answer; none where it is none.
pub(super) fn opened(mut answer: Vec<u8>) -> Option<Vec<u8>> {
    let (digest, code) = answer.split_at_checked(DIGEST)?;
    if Sha256::digest(code)[..] != *digest {
        return None;
    }
    answer.drain(..DIGEST);
    Some(answer)
}

#[cfg(unix)]
fn limit(asked: Asked) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    #[cfg(target_os = "linux")]
    end_with_who_asked()?;
    let at_most = |resource, largest: u64| {
        // Who started the broker may have been stricter.
        let largest = getrlimit(resource).maximum.map_or(largest, |given| given.min(largest));
        setrlimit(resource, Rlimit { current: Some(largest), maximum: Some(largest) })
    };
    #[cfg(target_os = "linux")]
    at_most(Resource::As, asked.memory)?;
    at_most(Resource::Cpu, asked.processor)?;
    // What it has in memory is of no use to anybody.
    at_most(Resource::Core, 0)?;
    Ok(())
}

/// What nobody waits for any more is of no use.
#[cfg(target_os = "linux")]
fn end_with_who_asked() -> io::Result<()> {
    use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // Who died before that was said is not the parent any more.
    let parent = Pid::as_raw(getppid()).to_string();
    match env::var_os(ASKED) {
        Some(asked) if asked == *parent => Ok(()),
        _ => Err(io::Error::other("who asked for this is not there any more")),
    }
}

#[cfg(not(unix))]
fn limit(_asked: Asked) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_cut_or_changed_has_no_code() {
        let code = b"machine code";
        let answer = [&Sha256::digest(code)[..], code].concat();
        assert_eq!(opened(answer.clone()).as_deref(), Some(&code[..]));
        for length in 0..answer.len() {
            assert_eq!(opened(answer[..length].to_vec()), None, "{length}");
        }
        for place in [0, DIGEST, answer.len() - 1] {
            let mut changed = answer.clone();
            changed[place] ^= 1;
            assert_eq!(opened(changed), None, "{place}");
        }
    }

    #[test]
    fn what_the_process_may_use_is_what_it_was_told() {
        for fuel in [Fuel::Metered, Fuel::Unmetered] {
            let asked = Asked::of(&Budgets::default(), fuel);
            assert_eq!(asked, Asked { memory: 2 << 30, processor: 122, fuel });
            assert_eq!(Asked::read(&asked.to_bytes()[..]).unwrap(), asked);
            assert!(Asked::read(&asked.to_bytes()[..16]).is_err());
        }
    }
}
