//! Encodes core modules as components the way the broker does, and prints what each imports and
//! exports: `cargo run -p inspect -- target/tidegate/*.wasm`. It does not run them. With `--component FILE`, the
//! component is written there.

use std::path::Path;

use anyhow::Context;
use wit_component::{ComponentEncoder, DecodedWasm};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let component = arguments.next_if(|argument| argument == "--component").and_then(|_| arguments.next());
    for argument in arguments {
        let path = Path::new(&argument);
        inspect(path, component.as_deref().map(Path::new)).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn inspect(path: &Path, write_to: Option<&Path>) -> anyhow::Result<()> {
    let module = std::fs::read(path)?;
    let component = ComponentEncoder::default().module(&module)?.validate(true).encode()?;
    if let Some(write_to) = write_to {
        std::fs::write(write_to, &component)?;
    }
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
