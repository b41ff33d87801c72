//! The settings that a plugin's README shows, so that its tests can run them.

use serde_json::Value;

/// The `settings` of every plugin in the README's TOML blocks, as JSON.
///
/// # Panics
///
/// Where a block is not TOML: this is for tests.
pub fn settings(readme: &str) -> Vec<Value> {
    toml_blocks(readme)
        .iter()
        .flat_map(|block| plugins(block))
        .map(|plugin| plugin["settings"].clone())
        .collect()
}

fn toml_blocks(readme: &str) -> Vec<&str> {
    readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

fn plugins(block: &str) -> Vec<Value> {
    let table: Value = toml::from_str(block).expect("TOML");
    table["plugin"].as_array().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn settings_of_every_block_are_found() {
        let readme = "a\n```toml\n[[plugin]]\nsettings = { a = 1 }\n```\n```toml\n[[plugin]]\n[plugin.settings]\nb = 2\n```\n";
        assert_eq!(super::settings(readme), [json!({ "a": 1 }), json!({ "b": 2 })]);
    }
}
