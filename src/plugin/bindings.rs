//! The types and calls that `wit/` describes, written out for this host at compile time.

wasmtime::component::bindgen!({
    path: "wit",
    world: "plugin",
    imports: { default: trappable },
    additional_derives: [PartialEq, Eq],
});
