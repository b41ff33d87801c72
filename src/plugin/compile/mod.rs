//! Makes machine code of components.
//!
//! A compilation cannot be interrupted, and how long it takes and how much memory shows only when it is done: a
//! file of some KB can keep it busy for hours. So the broker has it done by a process of its own (`process`: this
//! end of it, `worker`: the other), which is killed when its time is over or the host ends. One component at a time is
//! compiled; what is asked for meanwhile waits for its turn, and serves nobody while it does.

mod process;
mod worker;

use std::process::Command;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use wasmtime::Engine;
use wasmtime::component::Component;

use self::process::Heard;
use self::worker::Asked;
use super::engine::Fuel;
use super::error::Problem;
use super::options::{Budgets, CompileIn};
use super::reexport::reexport;
use super::version::lock;

pub use self::worker::compile_if_asked;
pub(super) use self::worker::is_worker;

pub(super) struct Compiler {
    /// Starts the process; none: it is done in this one.
    command: Option<fn() -> Command>,
    fuel: Fuel,
    /// Held while a component is compiled in a process of its own.
    one_by_one: Mutex<()>,
    /// Guards who is to be told that the host ends; held for a few lines.
    ending: Mutex<Ending>,
}

enum Ending {
    NotYet(Option<Sender<Heard>>),
    Now,
}

/// What a component has become.
pub(super) struct Compiled {
    pub(super) component: Component,
    /// Where it came as that.
    code: Option<Vec<u8>>,
}

impl Compiled {
    /// What can be kept.
    pub(super) fn code(self) -> wasmtime::Result<Vec<u8>> {
        self.code.map_or_else(|| self.component.serialize(), Ok)
    }
}

impl Compiler {
    pub(super) fn new(compile_in: CompileIn, fuel: Fuel) -> Compiler {
        let command: Option<fn() -> Command> = match compile_in {
            CompileIn::ThisProcess => None,
            CompileIn::OwnProcess => Some(process::command),
        };
        Compiler::with(command, fuel)
    }

    fn with(command: Option<fn() -> Command>, fuel: Fuel) -> Compiler {
        Compiler { command, fuel, one_by_one: Mutex::default(), ending: Mutex::new(Ending::NotYet(None)) }
    }

    /// Takes as long as compiling does, with a process of its own no longer than the budget.
    pub(super) fn compile(
        &self,
        engine: &Engine,
        component: &[u8],
        budgets: &Budgets,
    ) -> Result<Compiled, Problem> {
        match self.command {
            None => compile_here(engine, component),
            Some(command) => {
                let code = self.compile_aside(command, component, budgets)?;
                load(engine, code)
            }
        }
    }

    fn compile_aside(
        &self,
        command: fn() -> Command,
        component: &[u8],
        budgets: &Budgets,
    ) -> Result<Vec<u8>, Problem> {
        let _one_by_one = lock(&self.one_by_one);
        let (tell, heard) = self.begin()?;
        let asked = Asked::of(budgets, self.fuel);
        let answer = process::ask(&mut command(), asked, component, budgets, tell, &heard);
        if let Ending::NotYet(told) = &mut *lock(&self.ending) {
            *told = None;
        }
        answer
    }

    fn begin(&self) -> Result<(Sender<Heard>, Receiver<Heard>), Problem> {
        let (tell, heard) = channel();
        match &mut *lock(&self.ending) {
            Ending::Now => Err(Problem::HostEnds),
            Ending::NotYet(told) => {
                *told = Some(tell.clone());
                Ok((tell, heard))
            }
        }
    }

    /// Ends what is being compiled in a process of its own, and has nothing compiled in one any more.
    pub(super) fn stop(&self) {
        if let Ending::NotYet(Some(tell)) = std::mem::replace(&mut *lock(&self.ending), Ending::Now) {
            // Who listened may have heard all it waited for.
            let _ = tell.send(Heard::HostEnds);
        }
    }
}

fn compile_here(engine: &Engine, component: &[u8]) -> Result<Compiled, Problem> {
    let component = quickest(component, |bytes| Component::new(engine, bytes)).map_err(Problem::Invalid)?;
    Ok(Compiled { component, code: None })
}

/// What `make` makes of the component, with its functions lifted where that works.
fn quickest<T>(component: &[u8], make: impl Fn(&[u8]) -> wasmtime::Result<T>) -> Result<T, String> {
    let quicker = reexport(component).and_then(|quicker| make(&quicker).ok());
    match quicker {
        Some(made) => Ok(made),
        None => make(component).map_err(|error| format!("{error:#}")),
    }
}

fn load(engine: &Engine, code: Vec<u8>) -> Result<Compiled, Problem> {
    #[expect(unsafe_code, reason = "compiled code can only be trusted, not checked")]
    // SAFETY: `process::ask` gives what a process of this same program wrote into a pipe that nobody else has:
    // `worker::compile_if_asked`, which alone puts the right digest before it, wrote what wasmtime had made of a
    // component. It is trusted as much as wasmtime in this process would be. Code of another engine is refused.
    let component = unsafe { Component::deserialize(engine, &code) };
    let component =
        component.map_err(|error| Problem::Compiler(format!("its code is of no use: {error:#}")))?;
    Ok(Compiled { component, code: Some(code) })
}

#[cfg(all(test, unix))]
mod tests {
    use std::sync::Arc;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::plugin::engine::engine;

    /// A shell in place of the process that compiles.
    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    /// A compilation without end.
    fn endless() -> Command {
        shell("cat >/dev/null; exec sleep 100000")
    }

    fn compile(compiler: &Compiler, budgets: &Budgets) -> Problem {
        match compiler.compile(&engine().unwrap(), b"\0asm", budgets) {
            Ok(_) => panic!("it was compiled"),
            Err(problem) => problem,
        }
    }

    fn problem(command: fn() -> Command) -> Problem {
        compile(&Compiler::with(Some(command), Fuel::Unmetered), &Budgets::default())
    }

    #[test]
    fn what_takes_longer_than_its_time_is_ended() {
        let compiler = Compiler::with(Some(endless), Fuel::Unmetered);
        let budgets = Budgets { compile_time: Duration::ZERO, ..Budgets::default() };
        // The second is not kept waiting by the first.
        for _ in 0..2 {
            assert_eq!(compile(&compiler, &budgets), Problem::CompilesTooLong(Duration::ZERO));
        }
    }

    #[test]
    fn the_end_of_the_host_ends_what_is_compiled_and_what_is_to_be() {
        let compiler = Arc::new(Compiler::with(Some(endless), Fuel::Unmetered));
        let theirs = Arc::clone(&compiler);
        let compiling = thread::spawn(move || compile(&theirs, &Budgets::default()));
        while !matches!(*lock(&compiler.ending), Ending::NotYet(Some(_))) {
            thread::yield_now();
        }
        compiler.stop();
        assert_eq!(compiling.join().unwrap(), Problem::HostEnds);
        assert_eq!(compile(&compiler, &Budgets::default()), Problem::HostEnds);
    }

    #[test]
    fn what_answers_and_is_no_compiler_is_not_trusted() {
        for told in [problem(|| shell("cat")), problem(|| shell("cat >/dev/null"))] {
            assert!(told.to_string().contains("`tidegate::plugin::compile_if_asked`"), "{told}");
        }
    }

    #[test]
    fn the_words_of_a_process_that_ends_by_itself_are_told() {
        let told = problem(|| shell("echo out of luck >&2; exit 3"));
        assert!(told.to_string().contains("exit status: 3 out of luck"), "{told}");
        let told = problem(|| shell("cat >/dev/null; printf 'a bad type'; exit 65"));
        assert_eq!(told, Problem::Invalid("a bad type".into()));
        let told = problem(|| shell("echo memory allocation of 7 bytes failed >&2; kill -ABRT $$"));
        assert_eq!(told, Problem::CompilesTooLarge(Budgets::default().compile_memory));
        let told = problem(|| Command::new("/nonexistent/tidegate"));
        assert!(told.to_string().contains("/nonexistent/tidegate cannot be started"), "{told}");
    }

    #[test]
    fn an_answer_that_is_larger_than_its_budget_is_not_read_to_its_end() {
        let budgets = Budgets { compile_memory: 4096, ..Budgets::default() };
        let told = compile(&Compiler::with(Some(|| shell("exec cat /dev/zero")), Fuel::Unmetered), &budgets);
        assert!(told.to_string().contains("more than 1024 bytes"), "{told}");
    }
}
