//! From a file to a version of a plugin that can be called: what takes long and depends on nothing but the file is
//! prepared (read, encode, check, compile), then it is finished (probe).

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use super::cache::Cache;
use super::compile::Compiler;
use super::digest::sha256_hex;
use super::encode;
use super::engine::{self, Clock, Fuel};
use super::error::{PluginError, Problem};
use super::file;
use super::harness::Given;
use super::host::{self, HostData, Services};
use super::http::{Http, HttpClient};
use super::instance::Blueprint;
use super::keeper::Jobs;
use super::options::{Budgets, Hook, HostOptions, PluginOptions};
use super::surface::Surface;
use super::version::{Lasting, Parts, Version, lock};
use super::wasi;
use crate::hook::Requester;

pub(super) struct Loader {
    engine: Engine,
    linker: Linker<HostData>,
    compiler: Compiler,
    cache: Option<Cache>,
    clock: Arc<Clock>,
    jobs: Jobs,
    requester: Requester,
    http: Http,
    options: HostOptions,
    started: Instant,
    loads: AtomicU64,
    /// What stands in for the world where there is no broker.
    given: Option<Arc<Given>>,
    /// What was compiled, where a file is loaded again and again with other settings; by its digest.
    compiled: Option<Mutex<HashMap<String, Component>>>,
}

/// A file that can be used, as far as it shows before it is started.
pub(super) struct Prepared {
    begun: Instant,
    pub(super) sha256: String,
    surface: Surface,
    hooks: Vec<Hook>,
    component: Component,
}

impl Loader {
    pub(super) fn new(options: HostOptions, requester: Requester, jobs: Jobs) -> io::Result<Loader> {
        let fuel = Fuel::where_counted(options.count_fuel);
        Loader::with(fuel, options, requester, jobs)
    }

    /// For calls without a broker: the plugin sees the world that is given.
    pub(super) fn for_harness(
        given: Arc<Given>,
        fuel: Fuel,
        options: HostOptions,
        requester: Requester,
        jobs: Jobs,
    ) -> io::Result<Loader> {
        let loader = Loader::with(fuel, options, requester, jobs)?;
        // The true time that passed until now is no part of the world that is given.
        let started = given.instant();
        Ok(Loader { given: Some(given), compiled: Some(Mutex::default()), started, ..loader })
    }

    fn with(fuel: Fuel, options: HostOptions, requester: Requester, jobs: Jobs) -> io::Result<Loader> {
        let engine = engine::engine_with(fuel).map_err(io::Error::other)?;
        let cache = options.cache_dir.as_ref().and_then(|folder| {
            Cache::open(folder, options.cache_bytes, &engine)
                .inspect_err(|error| {
                    tracing::warn!(%error, folder = %folder.display(), "compiled plugins are not cached");
                })
                .ok()
        });
        Ok(Loader {
            linker: host::linker(&engine).map_err(io::Error::other)?,
            compiler: Compiler::new(options.compile_in, fuel),
            cache,
            clock: Arc::new(Clock::start(&engine)?),
            engine,
            jobs,
            requester,
            http: Http::new(options.http_ca.clone()),
            options,
            started: Instant::now(),
            loads: AtomicU64::new(0),
            given: None,
            compiled: None,
        })
    }

    pub(super) fn counts_fuel(&self) -> bool {
        self.options.count_fuel
    }

    /// Takes as long as compiling does.
    pub(super) fn prepare(&self, options: &PluginOptions) -> Result<Prepared, PluginError> {
        match file::read(&options.path, options.budgets.file) {
            Ok(bytes) => self.prepare_bytes(&bytes, options),
            Err(error) => Err(to_error(options, vec![Problem::unreadable(&error)])),
        }
    }

    /// The same, of bytes that were read from the file.
    pub(super) fn prepare_bytes(
        &self,
        bytes: &[u8],
        options: &PluginOptions,
    ) -> Result<Prepared, PluginError> {
        self.try_prepare(bytes, options).map_err(|problems| to_error(options, problems))
    }

    /// Takes as long as the plugin's `init` does. What outlasts versions is taken over from `former`.
    pub(super) fn finish(
        &self,
        prepared: Prepared,
        options: &PluginOptions,
        former: Option<&Version>,
    ) -> Result<Version, PluginError> {
        self.try_finish(prepared, options, former).map_err(|problems| to_error(options, problems))
    }

    /// Both, where nobody waits meanwhile.
    pub(super) fn load_bytes(&self, bytes: &[u8], options: &PluginOptions) -> Result<Version, PluginError> {
        self.finish(self.prepare_bytes(bytes, options)?, options, None)
    }

    /// Has nothing compiled any more, and ends what can be ended of what is.
    pub(super) fn stop(&self) {
        self.compiler.stop();
    }

    fn try_prepare(&self, bytes: &[u8], options: &PluginOptions) -> Result<Prepared, Vec<Problem>> {
        let begun = Instant::now();
        let sha256 = sha256_hex(bytes);
        options.trust.check(&options.path, bytes, &sha256).map_err(|problem| vec![problem])?;
        let (_, component) = encode::to_component(bytes).map_err(|problem| vec![problem])?;
        let surface = Surface::of(&component);
        let hooks = wanted_hooks(&surface, options)?;
        // What is made of a module changes with this program.
        let compiled_as = match &component {
            Cow::Borrowed(_) => sha256.clone(),
            Cow::Owned(encoded) => sha256_hex(encoded),
        };
        let component = self.compile(&component, &compiled_as, &options.budgets);
        let component = component.map_err(|problem| vec![problem])?;
        Ok(Prepared { begun, sha256, surface, hooks, component })
    }

    fn try_finish(
        &self,
        prepared: Prepared,
        options: &PluginOptions,
        former: Option<&Version>,
    ) -> Result<Version, Vec<Problem>> {
        let Prepared { begun, sha256, surface, hooks, component } = prepared;
        let lasting = former.map(|version| Arc::clone(&version.lasting));
        let lasting = lasting.unwrap_or_else(|| Arc::new(Lasting::new(options, &self.options.kept)));
        let http = self.http_client(&surface, options).map_err(|problem| vec![problem])?;
        let services = Arc::new(Services {
            plugin: options.name.as_str().into(),
            settings: options.settings.to_string(),
            state: Arc::clone(&lasting.state),
            log_rate: Arc::clone(&lasting.log_rate),
            refusals: Arc::clone(&lasting.refusals),
            metrics: Arc::clone(&lasting.metrics),
            memory: Arc::clone(&lasting.memory),
            requester: self.requester.clone(),
            publishes_per_call: options.budgets.publishes_per_call,
            host_calls_per_call: options.budgets.host_calls_per_call,
            grants: options.grants.clone(),
            started: self.started,
            http,
            clock: surface.waits().then(|| Arc::clone(&self.clock)),
            given: self.given.clone(),
        });
        let budgets = options.budgets.clone();
        let own_linker = wasi::linker(&self.linker, &component)
            .map_err(|error| vec![Problem::WrongImport(format!("{error:#}"))])?;
        let linker = own_linker.as_ref().unwrap_or(&self.linker);
        let blueprint =
            Blueprint::new(linker, &component, &hooks, surface.has_lifecycle(), services, budgets)?;
        self.clock.cover(options.budgets.decision.max(options.budgets.lifecycle));
        let parts = Parts {
            options: options.clone(),
            number: self.loads.fetch_add(1, Ordering::Relaxed) + 1,
            sha256,
            hooks,
            lasting,
            quarantine: self.options.quarantine,
            clock: Arc::clone(&self.clock),
            jobs: self.jobs.clone(),
        };
        let version = Version::new(parts, blueprint, self.options.workers)?;
        let hooks: Vec<&str> = version.hooks.iter().map(|hook| hook.name()).collect();
        tracing::info!(
            plugin = version.name(), version = version.number, replaces = former.map(|former| former.number),
            sha256 = version.sha256, ?hooks, took = ?begun.elapsed(), "plugin loaded"
        );
        Ok(version)
    }

    fn http_client(
        &self,
        surface: &Surface,
        options: &PluginOptions,
    ) -> Result<Option<Arc<HttpClient>>, Problem> {
        if !surface.imports_service("http") {
            return Ok(None);
        }
        self.http.client(options).map(|client| Some(Arc::new(client)))
    }

    fn compile(&self, component: &[u8], sha256: &str, budgets: &Budgets) -> Result<Component, Problem> {
        let Some(compiled) = &self.compiled else { return self.compile_or_read(component, sha256, budgets) };
        if let Some(component) = lock(compiled).get(sha256) {
            return Ok(component.clone());
        }
        let component = self.compile_or_read(component, sha256, budgets)?;
        lock(compiled).insert(sha256.to_owned(), component.clone());
        Ok(component)
    }

    fn compile_or_read(
        &self,
        component: &[u8],
        sha256: &str,
        budgets: &Budgets,
    ) -> Result<Component, Problem> {
        let Some(cache) = &self.cache else {
            return self.compiler.compile(&self.engine, component, budgets).map(|made| made.component);
        };
        if let Some(compiled) = cache.get(&self.engine, sha256) {
            return Ok(compiled);
        }
        let made = self.compiler.compile(&self.engine, component, budgets)?;
        let compiled = made.component.clone();
        cache.put(made.code(), sha256);
        Ok(compiled)
    }
}

fn to_error(options: &PluginOptions, problems: Vec<Problem>) -> PluginError {
    PluginError { plugin: options.name.clone(), path: options.path.clone(), problems }
}

/// All problems that show from outside, together.
fn wanted_hooks(surface: &Surface, options: &PluginOptions) -> Result<Vec<Hook>, Vec<Problem>> {
    let mut problems = surface.problems.clone();
    let exported: Vec<Hook> = surface.hooks().collect();
    let wanted = match &options.hooks {
        None => exported,
        Some(wanted) => {
            let missing = wanted.iter().filter(|hook| !exported.contains(hook));
            problems.extend(missing.map(|hook| Problem::HookNotExported(hook.to_string())));
            wanted.clone()
        }
    };
    if problems.is_empty() { Ok(wanted) } else { Err(problems) }
}
