//! Encodes core modules as components the way the broker does, and prints what each imports and
//! exports: `cargo run -p inspect -- target/tidegate/*.wasm`. It does not run them.

use std::path::Path;

use anyhow::Context;
use wit_component::{ComponentEncoder, DecodedWasm};

fn main() -> anyhow::Result<()> {
    for argument in std::env::args_os().skip(1) {
        let path = Path::new(&argument);
        inspect(path).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn inspect(path: &Path) -> anyhow::Result<()> {
    let module = std::fs::read(path)?;
    let component = ComponentEncoder::default().module(&module)?.validate(true).encode()?;
    let DecodedWasm::Component(resolve, world) = wit_component::decode(&component)? else {
        anyhow::bail!("this is a WIT package, not a component");
    };
    let world = &resolve.worlds[world];
    println!("{}: module {} bytes, component {} bytes", path.display(), module.len(), component.len());
    for (key, _) in &world.imports {
        println!("  import {}", resolve.name_world_key(key));
    }
    for (key, _) in &world.exports {
        println!("  export {}", resolve.name_world_key(key));
    }
    Ok(())
}
