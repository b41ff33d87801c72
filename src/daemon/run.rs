//! `tidegate run`: starts the broker, serves, stops.

use std::io::ErrorKind;
use std::sync::Arc;

use tracing::{info, warn};

use super::arguments::RunArguments;
use super::exit::{Exit, Failure};
use super::log::Log;
use super::plugins::Plugins;
use super::reload::Running;
use super::signals::{Signal, Signals};
use super::watch::Watch;
use super::{announce, storage};
use crate::admin::{Admin, AdminOptions, Figures};
use crate::bridge::Bridges;
use crate::config::{Config, Listener, PluginSpec, StorageOptions, StoragePlace};
use crate::hook::{self, RequestLimits};
use crate::server::{ListenerOptions, Server, StartError};
use crate::stamp::Stamp;
use crate::storage::OpenedStorage;

pub(super) fn run(arguments: &RunArguments) -> Result<(), Failure> {
    let seen = arguments.config.as_deref().and_then(Stamp::of);
    let config = configured(arguments)?;
    let log = Log::start(config.log);
    // Connections are served by the server's own threads; this one accepts them and waits for signals.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal("start", &error))?;
    let result = runtime.block_on(serve(arguments, config, log, seen));
    runtime.shutdown_background();
    result
}

fn configured(arguments: &RunArguments) -> Result<Config, Failure> {
    let mut config = match &arguments.config {
        Some(file) => Config::load(file)
            .map_err(|report| Failure::usage(format!("the configuration cannot be used\n{report}")))?,
        None => Config::without_file(),
    };
    overrule(&mut config, arguments);
    Ok(config)
}

/// What the command line says holds over the file.
pub(super) fn overrule(config: &mut Config, arguments: &RunArguments) {
    config.listen_on(&arguments.listen);
    if let Some(level) = arguments.log {
        config.log.level = level;
    }
    if let Some(folder) = &arguments.data {
        let place = StoragePlace::Folder(folder.clone());
        let configured =
            config.storage.take().map(|configured| StorageOptions { place: place.clone(), ..configured });
        config.storage = Some(configured.unwrap_or_else(|| StorageOptions::in_folder(folder)));
    }
}

/// `seen` is what the configuration file was before it was read.
async fn serve(
    arguments: &RunArguments,
    config: Config,
    log: Log,
    seen: Option<Stamp>,
) -> Result<(), Failure> {
    let mut signals = Signals::new().map_err(|error| Failure::internal("listen for signals", &error))?;
    let (requester, requests) = hook::requests(RequestLimits::default());
    let largest_message = config.broker.maximum_packet_size;
    let open = |options| storage::open(options, largest_message);
    let mut storage = config.storage.as_ref().map(open).transpose()?;
    let plugins = tokio::select! {
        loaded = Plugins::load(&config, requester, storage.as_mut()) => loaded?,
        () = next_stop(&mut signals) => {
            warn!("stopped while plugins were loaded, before anybody was served");
            return Ok(());
        }
    };
    let server = start(&config, &plugins, requests, storage).await?;
    announce::started(&config, &server.listeners(), &plugins.loaded());
    let bridges = Bridges::start(server.broker().clone());
    let bridges =
        Arc::new(bridges.map_err(|error| Failure::internal("start the thread of bridges", &error))?);
    bridges.set(config.bridges.clone()).await;
    let figures = Figures { bridges: Some(bridges.clone()), ..plugins.figures(&server) };
    let admin = config.admin.as_ref().map(|options| open_admin(options, figures)).transpose()?;
    let running = Running { arguments, config, server: &server, plugins: &plugins, bridges: &bridges, log };
    until_stopped(running, seen, &mut signals).await;
    drop(admin);
    info!("stopping: telling the clients; a second signal stops at once");
    tokio::select! {
        () = stop(server, plugins, &bridges) => info!("stopped"),
        () = next_stop(&mut signals) => warn!("stopped at once, without waiting for clients"),
    }
    Ok(())
}

async fn start(
    config: &Config,
    plugins: &Plugins,
    requests: hook::Requests,
    storage: Option<OpenedStorage>,
) -> Result<Server, Failure> {
    let mut server =
        Server::builder().options(config.broker.clone()).hooks(plugins.hooks()).requests(requests);
    if let Some(storage) = storage {
        server = server.storage(storage);
    }
    for listener in &config.listeners {
        server = server.listener(listener_options(listener));
    }
    server.start().await.map_err(|error| not_started(&error))
}

fn open_admin(options: &AdminOptions, figures: Figures) -> Result<Admin, Failure> {
    let admin = Admin::start(options.clone(), figures).map_err(|error| {
        Failure::new(
            exit_of(error.kind()),
            format!("failed to open the admin port {}: {error}", options.listen),
        )
    })?;
    info!(address = %admin.address(), "admin port open: /metrics, /plugins, /bans, /healthz");
    if !options.listen.is_local() {
        warn!(address = %admin.address(), "the admin port has no TLS: other machines can read along, also the token");
    }
    Ok(admin)
}

pub(super) fn listener_options(listener: &Listener) -> ListenerOptions {
    ListenerOptions {
        anonymous: listener.anonymous,
        default_authorization: listener.default_authorization,
        limits: listener.limits.clone(),
        user_name_from: listener.user_name_from,
        transport: listener.transport.clone(),
        ..ListenerOptions::at(&listener.name, listener.address.clone())
    }
}

async fn until_stopped(mut running: Running<'_>, seen: Option<Stamp>, signals: &mut Signals) {
    let watched = running.config.file.as_ref().filter(|_| running.config.plugins_options.reload);
    let mut watch = watched.and_then(|file| Watch::new(file, seen));
    let mut just_read = Some(running.config.plugins.clone());
    loop {
        if !is_stale(just_read.as_deref(), watch.as_mut(), running.server) {
            tokio::select! {
                signal = signals.next() => match signal {
                    Signal::Stop => return,
                    Signal::Reload => {}
                },
                () = changed(watch.as_mut()) => {}
            }
        }
        match reload_until_still(&mut running, signals).await {
            Some(read) => just_read = read,
            None => return,
        }
    }
}

/// Watches the files that the settings of these plugins were read from, and those of certificates, and says whether one was changed
/// between being read and being watched.
fn is_stale(just_read: Option<&[PluginSpec]>, watch: Option<&mut Watch>, server: &Server) -> bool {
    let (Some(specs), Some(watch)) = (just_read, watch) else { return false };
    let settings = specs.iter().flat_map(|spec| spec.settings_files.values().cloned());
    #[cfg(feature = "tls")]
    let settings = settings.chain(server.doors().certificate_files());
    watch.set_others(settings);
    // What changed between being read and being watched.
    reload_changed_certificates(server);
    specs.iter().any(PluginSpec::has_stale_settings)
}

#[cfg(feature = "tls")]
pub(super) fn reload_certificates(server: &Server) {
    server.reload_certificates();
}

/// What is as wrong as it was is not told again.
#[cfg(feature = "tls")]
pub(super) fn reload_changed_certificates(server: &Server) -> bool {
    server.doors().reload_changed_certificates()
}

#[cfg(not(feature = "tls"))]
pub(super) fn reload_certificates(_server: &Server) {}

#[cfg(not(feature = "tls"))]
pub(super) fn reload_changed_certificates(_server: &Server) -> bool {
    true
}

/// Reloads, and once more where that was asked for meanwhile. Whatever a reload waits for, it must not keep a
/// signal to stop waiting. None: to stop; else the plugins as they were read, where that was possible.
async fn reload_until_still(
    running: &mut Running<'_>,
    signals: &mut Signals,
) -> Option<Option<Vec<PluginSpec>>> {
    let mut again = true;
    let mut just_read = None;
    while again {
        again = false;
        let mut work = std::pin::pin!(running.reload());
        loop {
            tokio::select! {
                read = &mut work => {
                    just_read = read;
                    break;
                }
                signal = signals.next() => match signal {
                    Signal::Stop => return None,
                    Signal::Reload => again = true,
                },
            }
        }
    }
    Some(just_read)
}

async fn changed(watch: Option<&mut Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

async fn stop(server: Server, plugins: Plugins, bridges: &Bridges) {
    // What they have begun to send comes to its end, and the other brokers hear of theirs.
    bridges.stop().await;
    server.shutdown().await;
    plugins.stop().await;
}

async fn next_stop(signals: &mut Signals) {
    while signals.next().await != Signal::Stop {}
}

fn not_started(error: &StartError) -> Failure {
    let kind = match error {
        StartError::Listen { source, .. } => source.kind(),
        _ => ErrorKind::Other,
    };
    Failure::new(exit_of(kind), format!("failed to {error}"))
}

fn exit_of(kind: ErrorKind) -> Exit {
    match kind {
        ErrorKind::AddrInUse => Exit::Unavailable,
        ErrorKind::PermissionDenied => Exit::NoPermission,
        ErrorKind::AddrNotAvailable | ErrorKind::AlreadyExists | ErrorKind::NotFound => Exit::Usage,
        _ => Exit::Internal,
    }
}

/// Shared by the parts that need the hooks.
pub(super) type SharedHooks = Arc<dyn hook::Hooks>;
