//! The plugins of `tests/hostile/*.wat`, which `plugins/build wat` makes.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::SystemTime;

/// The plugin of `tests/hostile/{name}.wat`, assembled where that is newer.
pub(super) fn assembled(name: &str) -> Vec<u8> {
    static ASSEMBLING: Mutex<()> = Mutex::new(());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = root.join(format!("tests/hostile/{name}.wat"));
    let path = root.join(format!("plugins/target/tidegate/wat/{name}.wasm"));
    let _one_by_one = ASSEMBLING.lock();
    if changed(&path).is_none_or(|made| changed(&text).expect("there is such a file") > made) {
        let built = Command::new(root.join("plugins/build")).arg("wat").status().expect("plugins/build runs");
        assert!(built.success(), "plugins/build wat failed");
    }
    fs::read(path).expect("it was made")
}

/// All of them.
pub(super) fn names() -> Vec<String> {
    let files =
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile")).expect("it is there");
    let mut names: Vec<String> = files.map(|file| name(&file.expect("it can be read").path())).collect();
    names.sort();
    names
}

fn name(path: &Path) -> String {
    path.file_stem().expect("a file has a name").to_string_lossy().into_owned()
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}
