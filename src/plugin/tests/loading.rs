//! What is loaded, what is refused and with which words, and the cache of compiled code.

use super::*;

fn problems(plugins: &[PluginOptions]) -> Vec<String> {
    let (requester, _requests) = requests(RequestLimits::default());
    match PluginHost::start(host_options(), plugins, requester) {
        Ok(_) => panic!("they were loaded"),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn all_plugins_that_cannot_be_loaded_are_told_together() {
    let not_wasm = folder().join("text.wasm");
    std::fs::write(&not_wasm, "hello").unwrap();
    let found = problems(&[
        options("unknown-import"),
        options("future-version"),
        PluginOptions::new("missing", "/nonexistent/plugin.wasm"),
        PluginOptions::new("text", not_wasm),
        options("topic-only"),
        options("topic-only"),
    ]);
    assert_eq!(found.len(), 5, "{found:#?}");
    assert!(found[0].contains("two plugins have this name"));
    assert!(found[1].contains("`unknown-import`") && found[1].contains("imports `"), "{}", found[1]);
    assert!(found[2].contains("knows versions 0.1 of tidegate:plugin"), "{}", found[2]);
    assert!(found[3].contains("cannot be read"));
    assert!(found[4].contains("not WebAssembly"));
}

#[test]
fn a_plugin_whose_init_refuses_stops_the_start_with_its_own_words() {
    let found = problems(&[options("refuses-init")]);
    assert!(found[0].contains("its init refused to start: "), "{found:?}");
}

#[test]
fn a_hook_that_is_named_and_not_exported_is_an_error() {
    let plugin = PluginOptions { hooks: Some(vec![Hook::Authorizer]), ..options("topic-only") };
    assert!(problems(&[plugin])[0].contains("does not export the hook `authorizer`"));
}

#[test]
fn a_core_module_without_a_world_is_explained() {
    let path = folder().join("bare.wasm");
    std::fs::write(&path, b"\0asm\x01\0\0\0").unwrap();
    let found = problems(&[PluginOptions::new("bare", path)]);
    assert!(
        found[0].contains("exports no hook") || found[0].contains("cannot be made a component"),
        "{found:?}"
    );
}

#[test]
fn inspect_tells_hooks_and_imports_with_versions() {
    let inspection = inspect(&module("every-hook")).unwrap();
    assert_eq!((inspection.kind, inspection.problems.len()), (Some(Kind::CoreModule), 0));
    assert_eq!(inspection.sha256.len(), 64);
    let hooks = inspection.exports.iter().filter(|export| export.known).count();
    assert_eq!(hooks, Hook::COUNT + 1, "and lifecycle");
    let log = inspection.imports.iter().find(|import| import.name == "log").unwrap();
    assert_eq!((log.version.as_deref(), log.known), (Some("0.1.0"), true));

    assert_eq!(inspection.grants, ["clients", "publish"]);
    assert!(!inspection.waits);

    let inspection = inspect(&module("unknown-import")).unwrap();
    assert!(inspection.imports.iter().any(|import| !import.known));
    assert!(!inspection.problems.is_empty());
}

#[test]
fn the_shipped_plugins_want_nothing_that_this_host_does_not_have() {
    for name in ["onenet-auth", "scram-auth", "payload-filter", "audit-log"] {
        let inspection = inspect(&module(name)).unwrap();
        assert_eq!(inspection.problems, [], "{name}");
    }
}

#[test]
fn a_plugin_with_more_parts_or_larger_tables_than_its_budget_is_not_started() {
    for shrink in [|b: &mut Budgets| b.parts = 1, |b: &mut Budgets| b.table_elements = 1] {
        let mut plugin = options("every-hook");
        shrink(&mut plugin.budgets);
        let found = problems(&[plugin]);
        assert!(found[0].contains("cannot be instantiated"), "{found:?}");
    }
}

#[test]
fn a_plugin_is_loaded_with_the_pinned_digest_only() {
    let path = module("every-hook");
    let sha256 = inspect(&path).unwrap().sha256;
    let pinned = |sha256: String| {
        let trust = Trust { sha256: Some(sha256), ..Trust::default() };
        PluginOptions { trust, ..options("every-hook") }
    };
    Host::start(&[pinned(sha256)]);
    let found = problems(&[pinned("0".repeat(64))]);
    assert!(found[0].contains("the configuration pins 0000"), "{found:?}");
}

#[test]
fn compiled_code_in_the_cache_does_not_stand_in_for_the_pin_or_the_signature() {
    let cache_dir = folder().join("cache");
    let with_cache = || HostOptions { cache_dir: Some(cache_dir.clone()), ..host_options() };
    Host::start_with(with_cache(), &[options("every-hook")]);
    let key = minisign::KeyPair::generate_unencrypted_keypair().unwrap().pk.to_base64();
    for trust in [
        Trust { sha256: Some("0".repeat(64)), ..Trust::default() },
        Trust { keys: vec![key], signature_required: true, ..Trust::default() },
    ] {
        let (requester, _requests) = requests(RequestLimits::default());
        let plugin = PluginOptions { trust, ..options("every-hook") };
        assert!(PluginHost::start(with_cache(), &[plugin], requester).is_err());
    }
}

#[cfg(unix)]
#[test]
fn compiled_code_is_cached_and_a_corrupt_entry_is_compiled_anew() {
    use std::os::unix::fs::PermissionsExt;

    let cache_dir = folder().join("cache");
    let with_cache = || HostOptions { cache_dir: Some(cache_dir.clone()), ..host_options() };
    let entries = || {
        let mut found: Vec<PathBuf> =
            std::fs::read_dir(&cache_dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        found.sort();
        found
    };
    let works = || {
        let host = Host::start_with(with_cache(), &[options("every-hook")]);
        assert!(matches!(host.publish("swallow/x").verdict, PublishVerdict::Swallow));
    };

    works();
    assert_eq!(std::fs::metadata(&cache_dir).unwrap().permissions().mode() & 0o777, 0o700);
    let [code, checksum] = &entries()[..] else { panic!("{:?}", entries()) };
    assert_eq!(
        (code.extension().unwrap(), checksum.extension().unwrap()),
        ("cwasm".as_ref(), "sha256".as_ref())
    );
    let written = std::fs::metadata(code).unwrap().modified().unwrap();
    works();
    assert_eq!(std::fs::metadata(code).unwrap().modified().unwrap(), written, "it was compiled again");

    // One bit in the middle of the machine code.
    let mut bytes = std::fs::read(code).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(code, &bytes).unwrap();
    works();
    assert_ne!(std::fs::read(code).unwrap(), bytes, "the corrupt entry is still there");

    // Written by somebody else, as far as can be told.
    std::fs::set_permissions(code, std::fs::Permissions::from_mode(0o666)).unwrap();
    works();
    assert_eq!(std::fs::metadata(code).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn the_functions_of_plugins_are_found_without_looking_up_their_code() {
    for name in ["topic-only", "every-hook", "payload-filter", "scram-auth"] {
        let module = std::fs::read(module(name)).unwrap();
        let (_, component) = encode::to_component(&module).unwrap();
        let quicker = reexport::reexport(&component).unwrap();
        let interfaces = |component: &[u8]| {
            let surface = surface::Surface::of(component);
            assert!(surface.problems.is_empty(), "{:?}", surface.problems);
            (surface.exports, surface.imports)
        };
        assert_eq!(interfaces(&quicker), interfaces(&component), "{name}");
        wasmtime::component::Component::new(&engine::engine().unwrap(), quicker).unwrap();
    }
}
