//! A component with all of WASI 0.2, as toolchains make it: with everything that Python has.

use tidegate::plugin::Grants;

use super::*;

/// Says what it finds of the world as User Properties.
const PLUGIN: &str = r#"
import os, random, socket, sys, time
from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.intercepting_publish import Verdict_Continue
from wit_world.imports import message
from wit_world.imports.types import UserProperty


def tried(attempt):
    try:
        return str(attempt())
    except OSError as error:
        return f"OSError {error.errno is not None}"
    except Exception as error:
        return type(error).__name__


def slept():
    before = time.monotonic()
    time.sleep(3600)
    return 3600 <= time.monotonic() - before < 3700


class InterceptingPublish(exports.InterceptingPublish):
    def intercept(self, client, origin, topic, payload, payload_length, qos, retain):
        print("said to stdout")
        print("said to stderr", file=sys.stderr)
        found = {
            "time": tried(lambda: int(time.time())),
            "random": tried(lambda: os.urandom(8).hex()),
            "environment": tried(lambda: len(os.environ)),
            "arguments": tried(lambda: len([argument for argument in sys.argv if argument])),
            "slept": tried(slept),
            "granted": tried(lambda: open("/rules/deep/rule.txt").read()),
            "listed": tried(lambda: sorted(os.listdir("/rules"))),
            "size": tried(lambda: os.stat("/rules/deep/rule.txt").st_size),
            "written": tried(lambda: open("/rules/new.txt", "w")),
            "up": tried(lambda: open("/rules/../secret.txt").read()),
            "link": tried(lambda: open("/rules/outward").read()),
            "elsewhere": tried(lambda: open("/etc/passwd").read()),
            "socket": tried(lambda: socket.create_connection(("127.0.0.1", 1883), 1)),
        }
        message.set_user_properties([UserProperty(name, value) for name, value in found.items()])
        return Verdict_Continue()
"#;

const WORLD: &str = "
package example:plugin;
world plugin {
  import tidegate:plugin/message@0.1.0;
  export tidegate:plugin/intercepting-publish@0.1.0;
}
";

/// None where componentize-py is missing. Run by hand: `tidegate plugin build` builds what `plugin new` wrote.
fn component() -> Option<PathBuf> {
    // That it is there, or that it was said to be missing.
    built("python")?;
    let project = folder().join(format!("wasi-{}", std::process::id()));
    let _ = fs::remove_dir_all(&project);
    fs::create_dir_all(project.join("wit/deps/tidegate-plugin")).unwrap();
    for (name, text) in tidegate::plugin::WIT {
        fs::write(project.join("wit/deps/tidegate-plugin").join(name), text).unwrap();
    }
    fs::write(project.join("wit/world.wit"), WORLD).unwrap();
    fs::write(project.join("found.py"), PLUGIN).unwrap();
    let kept = folder().join(format!("wasi-{:016x}.wasm", hash(&project)));
    if !kept.exists() {
        let mut componentize = componentize_py()?;
        componentize.current_dir(&project).args(["--quiet", "--wit-path", "wit", "--world", "plugin"]);
        componentize.args(["componentize", "--python-path", ".", "found", "--output", "found.wasm"]);
        let ran = componentize.output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        fs::rename(project.join("found.wasm"), &kept).unwrap();
    }
    let _ = fs::remove_dir_all(&project);
    Some(kept)
}

/// In PATH, or where `--install` puts it.
fn componentize_py() -> Option<Command> {
    if Command::new("componentize-py").arg("--version").output().is_ok() {
        return Some(Command::new("componentize-py"));
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let mut packages = fs::read_dir(cache.join("tidegate/toolchains")).ok()?.flatten().map(|it| it.path());
    let folder = packages.find(|folder| folder.join("bin/componentize-py").is_file());
    let Some(folder) = folder else {
        println!("PASSED OVER: componentize-py is not installed");
        return None;
    };
    let mut command = Command::new(folder.join("bin/componentize-py"));
    command.env("PYTHONPATH", folder);
    Some(command)
}

/// What a plugin with WASI finds: true time and random, its files and no others, and nothing else of this machine.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_with_wasi_finds_time_and_its_files_and_nothing_else() {
    let Some(component) = component() else { return };
    let files = folder().join(format!("files-{}", std::process::id()));
    let _ = fs::remove_dir_all(&files);
    fs::create_dir_all(files.join("rules/deep")).unwrap();
    fs::write(files.join("rules/deep/rule.txt"), "be kind").unwrap();
    fs::write(files.join("secret.txt"), "secret").unwrap();
    std::os::unix::fs::symlink("../secret.txt", files.join("rules/outward")).unwrap();

    let mut options = options(component);
    options.grants = Grants {
        files: [("/rules".to_owned(), files.join("rules"))].into_iter().collect(),
        ..Grants::default()
    };
    let broker = broker(options).await;
    let (client, mut messages) = broker.connect("client").await;
    client.subscribe(filter("#")).await.expect("subscribed");
    let mut random = Vec::new();
    for _ in 0..2 {
        client.publish(message("a/b", "x")).await.expect("connected");
        let received = messages.next().await.unwrap();
        let found = |name: &str| {
            let found = user_properties(&received).into_iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.to_owned()).unwrap_or_default()
        };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let told: u64 = found("time").parse().expect("a time");
        assert!(now.abs_diff(told) < 60, "{now} {told}");
        random.push(found("random"));
        assert_eq!((found("environment").as_str(), found("arguments").as_str()), ("0", "0"));
        assert_eq!(found("slept"), "True");
        assert_eq!(found("granted"), "be kind");
        assert_eq!(found("listed"), "['deep', 'outward']");
        assert_eq!(found("size"), "7");
        for refused in ["written", "up", "link", "elsewhere", "socket"] {
            assert!(found(refused).contains("Error"), "{refused}: {}", found(refused));
        }
    }
    assert_eq!(random[0].len(), 16);
    assert_ne!(random[0], random[1], "random is not fixed");
    assert_eq!(broker.host.status()[0].failures, []);
    broker.server.shutdown().await;
    let _ = fs::remove_dir_all(files);
}
