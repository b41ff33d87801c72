//! The process that compiles one component, as the host sees it: started, told what to do, heard, and ended.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::{self, Scope};

use super::worker::{ASKED, Asked, INVALID, opened};
use crate::plugin::error::Problem;
use crate::plugin::options::Budgets;

/// More of what it says about its end is not read.
const LONGEST_REMARK: u64 = 4096;

/// What ends the wait for the process.
pub(super) enum Heard {
    /// All that it wrote.
    Answer(io::Result<Vec<u8>>),
    HostEnds,
}

/// This program once more.
pub(super) fn command() -> Command {
    let mut command = Command::new(this_program());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::arg0(&mut command, "tidegate: compiles a plugin");
    command.env(ASKED, std::process::id().to_string());
    command
}

/// By the link of the kernel, where there is one: it leads to what runs also where the file was replaced.
fn this_program() -> PathBuf {
    let link = PathBuf::from("/proc/self/exe");
    if link.exists() { link } else { std::env::current_exe().unwrap_or(link) }
}

/// The code of the component. The process is gone when this returns.
pub(super) fn ask(
    command: &mut Command,
    asked: Asked,
    component: &[u8],
    budgets: &Budgets,
    tell: Sender<Heard>,
    heard: &Receiver<Heard>,
) -> Result<Vec<u8>, Problem> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| not_started(command.get_program(), &error))?;
    thread::scope(|scope| {
        let talk = talk(scope, &mut child, asked, component, budgets, tell);
        let heard = match &talk {
            Ok(_) => heard.recv_timeout(budgets.compile_time),
            Err(_) => Err(RecvTimeoutError::Disconnected),
        };
        if !matches!(heard, Ok(Heard::Answer(Ok(_)))) {
            // It may be gone already. Its ends of the pipes go with it, and so the threads that talk with it end.
            let _ = child.kill();
        }
        let status = child.wait().map_err(|error| Problem::Compiler(error.to_string()))?;
        let remark = talk.map_err(|error| Problem::Compiler(error.to_string()))?;
        match heard {
            Ok(Heard::Answer(Ok(answer))) => {
                judge(answer, status, &remark.join().unwrap_or_default(), budgets)
            }
            Ok(Heard::Answer(Err(error))) => Err(Problem::Compiler(error.to_string())),
            Ok(Heard::HostEnds) => Err(Problem::HostEnds),
            Err(_) => Err(Problem::CompilesTooLong(budgets.compile_time)),
        }
    })
}

fn not_started(program: &OsStr, error: &io::Error) -> Problem {
    Problem::Compiler(format!("{} cannot be started: {error}", program.display()))
}

/// Tells it what to do, and listens on threads of their own. Gives what it says beside its answer.
fn talk<'scope>(
    scope: &'scope Scope<'scope, '_>,
    child: &mut Child,
    asked: Asked,
    component: &'scope [u8],
    budgets: &'scope Budgets,
    tell: Sender<Heard>,
) -> io::Result<thread::ScopedJoinHandle<'scope, String>> {
    let (Some(mut input), Some(output), Some(remarks)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(io::Error::other("there are no pipes to it"));
    };
    let named = |name: &str| thread::Builder::new().name(name.to_owned());
    named("compile-tell").spawn_scoped(scope, move || {
        // A process that does not read to the end shows by how it ends.
        let _ = input.write_all(&asked.to_bytes()).and_then(|()| input.write_all(component));
    })?;
    let remark = named("compile-remark").spawn_scoped(scope, move || first_of(remarks))?;
    let largest = largest_answer(budgets);
    named("compile-hear").spawn_scoped(scope, move || {
        let _ = tell.send(Heard::Answer(read_at_most(output, largest)));
    })?;
    Ok(remark)
}

/// The code of a sound plugin is a few times as large as its file. What compiles it holds it beside much else.
fn largest_answer(budgets: &Budgets) -> usize {
    budgets.compile_memory / 4
}

fn read_at_most(output: impl Read, largest: usize) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    output.take(largest as u64 + 1).read_to_end(&mut answer)?;
    match answer.len() > largest {
        true => Err(io::Error::other(format!(
            "its code has more than {largest} bytes, a quarter of `compile-memory`"
        ))),
        false => Ok(answer),
    }
}

fn first_of(remarks: impl Read) -> String {
    let mut first = Vec::new();
    let mut remarks = remarks.take(LONGEST_REMARK);
    let _ = remarks.read_to_end(&mut first);
    // The rest, so that the process does not wait for somebody to read it.
    let _ = io::copy(&mut remarks.into_inner(), &mut io::sink());
    String::from_utf8_lossy(&first).into_owned()
}

fn judge(answer: Vec<u8>, status: ExitStatus, remark: &str, budgets: &Budgets) -> Result<Vec<u8>, Problem> {
    if status.success() {
        return opened(answer).ok_or_else(|| {
            let why = "this program does not compile plugins when it is started for that: it has to call \
                       `tidegate::plugin::compile_if_asked` first of all";
            Problem::Compiler(why.into())
        });
    }
    if status.code() == Some(INVALID) {
        return Err(Problem::Invalid(String::from_utf8_lossy(&answer).into_owned()));
    }
    // What Rust says where there is no memory, before it aborts.
    if remark.contains("memory allocation of") {
        return Err(Problem::CompilesTooLarge(budgets.compile_memory));
    }
    let remark = remark.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(Problem::Compiler(format!("it ended with {status} {remark}").trim_end().to_owned()))
}
