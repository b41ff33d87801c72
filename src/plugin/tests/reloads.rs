//! Plugins that are exchanged while calls go on.

use std::sync::atomic::AtomicBool;

use super::*;

/// A plugin file that tests exchange.
struct Exchanged {
    path: PathBuf,
    host: Host,
}

impl Exchanged {
    fn start(first: &str, watch: bool, with: impl Fn(PluginOptions) -> PluginOptions) -> Exchanged {
        let path = folder().join("plugin.wasm");
        replace_file(&path, &module(first));
        let plugin = with(granted(PluginOptions::new("exchanged", &path)));
        let host = Host::start_with(HostOptions { watch, ..host_options() }, &[plugin]);
        Exchanged { path, host }
    }

    fn load(&self, name: &str) {
        let before = self.host.status().version;
        replace_file(&self.path, &module(name));
        self.host.host.poke();
        eventually("the new version runs", || self.host.status().version > before);
    }
}

fn as_it_is(plugin: PluginOptions) -> PluginOptions {
    plugin
}

/// What the plugins `marker` and `marker-two` put on a message tells them apart.
fn mark(host: &Host) -> String {
    format!("{:?}", host.publish("some/topic").verdict)
}

#[test]
fn a_changed_file_is_loaded_and_a_broken_one_is_not() {
    let exchanged = Exchanged::start("marker", true, as_it_is);
    let host = &exchanged.host;
    let first = mark(host);

    replace_file(&exchanged.path, &module("marker-two"));
    eventually("the second version answers", || mark(host) != first);
    let second = mark(host);

    let broken = folder().join("broken");
    std::fs::write(&broken, b"\0asm\x0d\0\x01\0 and then nonsense").unwrap();
    replace_file(&exchanged.path, &broken);
    eventually("status tells why", || host.status().load_error.is_some());
    assert_eq!(mark(host), second);

    replace_file(&exchanged.path, &module("refuses-init"));
    eventually("init refused", || host.status().load_error.is_some_and(|why| why.contains("refused")));
    assert_eq!(mark(host), second);

    replace_file(&exchanged.path, &module("marker"));
    eventually("the first version answers again", || mark(host) == first);
    assert_eq!(host.status().load_error, None);
}

#[test]
fn a_half_written_file_is_tried_again_when_it_is_whole() {
    let exchanged = Exchanged::start("marker", true, as_it_is);
    let first = mark(&exchanged.host);
    let whole = std::fs::read(module("marker-two")).unwrap();
    std::fs::write(&exchanged.path, &whole[..whole.len() / 2]).unwrap();
    eventually("the half is refused", || exchanged.host.status().load_error.is_some());
    assert_eq!(mark(&exchanged.host), first);
    std::fs::write(&exchanged.path, &whole).unwrap();
    eventually("the whole is loaded", || mark(&exchanged.host) != first);
}

/// A signature of the file, put beside it.
fn sign(path: &Path, pair: &minisign::KeyPair) {
    let bytes = std::fs::read(path).unwrap();
    let signature = minisign::sign(None, &pair.sk, &bytes[..], None, None).unwrap();
    let aside = folder().join("signature");
    std::fs::write(&aside, signature.into_string()).unwrap();
    replace_file(&path.with_added_extension("minisig"), &aside);
}

#[test]
fn a_file_without_its_signature_is_not_taken_over_until_the_signature_is_there() {
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let path = folder().join("plugin.wasm");
    replace_file(&path, &module("marker"));
    sign(&path, &pair);
    let keys = vec![pair.pk.to_base64()];
    let trust = Trust { keys, signature_required: true, ..Trust::default() };
    let plugin = PluginOptions { trust, ..PluginOptions::new("signed", &path) };
    let host = Host::start_with(HostOptions { watch: true, ..host_options() }, &[plugin]);
    let first = mark(&host);

    replace_file(&path, &module("marker-two"));
    let refused =
        || host.status().load_error.is_some_and(|why| why.contains("does not belong to these bytes"));
    eventually("the new file is refused", refused);
    assert_eq!(mark(&host), first);

    sign(&path, &pair);
    eventually("the new file is taken over with its signature", || mark(&host) != first);
    assert_eq!(host.status().load_error, None);
}

#[test]
fn a_file_with_another_digest_than_the_pinned_one_is_not_taken_over() {
    let sha256 = inspect(&module("marker")).unwrap().sha256;
    let trust = Trust { sha256: Some(sha256), ..Trust::default() };
    let pinned = |plugin| PluginOptions { trust: trust.clone(), ..plugin };
    let exchanged = Exchanged::start("marker", true, pinned);
    let first = mark(&exchanged.host);
    replace_file(&exchanged.path, &module("marker-two"));
    let refused = || exchanged.host.status().load_error.is_some_and(|why| why.contains("configuration pins"));
    eventually("the other file is refused", refused);
    assert_eq!(mark(&exchanged.host), first);
}

#[cfg(unix)]
#[test]
fn a_swapped_link_is_seen() {
    use std::os::unix::fs::symlink;
    let base = folder();
    for (release, name) in [("1", "marker"), ("2", "marker-two")] {
        std::fs::create_dir_all(base.join(release)).unwrap();
        std::fs::copy(module(name), base.join(release).join("plugin.wasm")).unwrap();
    }
    symlink("1", base.join("current")).unwrap();
    let plugin = PluginOptions::new("linked", base.join("current/plugin.wasm"));
    let host = Host::start_with(HostOptions { watch: true, ..host_options() }, &[plugin]);
    let first = mark(&host);
    symlink("2", base.join("next")).unwrap();
    std::fs::rename(base.join("next"), base.join("current")).unwrap();
    eventually("the other release answers", || mark(&host) != first);
}

#[test]
fn state_survives_and_the_old_instance_hands_over() {
    let mut exchanged = Exchanged::start("every-hook", false, as_it_is);
    assert_eq!(exchanged.host.state("handover"), None);
    // The same plugin with one more custom section is another file.
    let mut bytes = std::fs::read(module("every-hook")).unwrap();
    bytes.extend([0, 2, 1, b'x']);
    let changed = folder().join("changed.wasm");
    std::fs::write(&changed, bytes).unwrap();
    replace_file(&exchanged.path, &changed);
    exchanged.host.host.poke();
    let host = &mut exchanged.host;
    eventually("the new instance got what the old one left", || {
        host.state("handover").as_deref() == Some(b"handed over")
    });
    assert_eq!(host.status().version, 2);
}

#[test]
fn no_call_is_lost_or_passes_unasked_while_versions_change() {
    let with = |mut plugin: PluginOptions| {
        plugin.budgets.decision = Duration::from_secs(5);
        plugin
    };
    let exchanged = Exchanged::start("marker", false, with);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let verdict = exchanged.host.publish("some/topic").verdict;
                    assert!(matches!(verdict, PublishVerdict::Modify(_)), "{verdict:?}");
                }
            });
        }
        for turn in 0..6 {
            exchanged.load(if turn % 2 == 0 { "marker-two" } else { "marker" });
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(exchanged.host.status().failures, []);
}

#[test]
fn last_good_goes_back_to_the_version_before() {
    let with = |plugin| PluginOptions { policies: FailurePolicies::all(FailurePolicy::LastGood), ..plugin };
    let exchanged = Exchanged::start("marker", false, with);
    exchanged.load("hostile");
    let outcome = exchanged.host.publish("trap");
    assert!(matches!(outcome.verdict, PublishVerdict::Reject(_)), "denied until it is back");
    eventually("the version before is back", || {
        matches!(exchanged.host.publish("trap").verdict, PublishVerdict::Modify(_))
    });
    let status = exchanged.host.status();
    assert_eq!(status.version, 1);
    assert!(status.load_error.unwrap().contains("version 2 failed"));
    // The file is still the bad one: it is not loaded again.
    exchanged.host.host.poke();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(exchanged.host.status().version, 1);
}

#[test]
fn a_reload_of_all_takes_effect_as_a_whole_or_not_at_all() {
    let host = Host::start(&[options("marker")]);
    let before = host.status().version;
    let errors = host.host.reload(&[options("topic-only"), options("refuses-init")]).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!(host.host.status().len(), 1);
    assert_eq!(host.status().name, "marker");

    host.host.reload(&[options("every-hook"), options("marker")]).unwrap();
    let names: Vec<String> = host.host.status().into_iter().map(|status| status.name).collect();
    assert_eq!(names, ["every-hook", "marker"]);
    assert_eq!(host.host.status()[1].version, before, "what did not change goes on");
    assert!(host.host.wanted().contains(HookSet::AUTHORIZER));
    host.host.reload(&[]).unwrap();
    assert_eq!(host.host.wanted(), HookSet::NONE);
}
