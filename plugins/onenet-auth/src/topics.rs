//! What a device may publish and subscribe: its own topics, nothing else.

use tidegate_plugin::{Action, topic};

use crate::settings::{Product, is_name, is_number};

pub(crate) fn may(product: &Product, product_id: &str, device: &str, action: Action, wanted: &str) -> bool {
    let wanted = if action == Action::Subscribe { topic::without_share(wanted) } else { wanted };
    is_own(product_id, device, wanted) || may_on_old_platform(product, device, action, wanted)
}

/// Below `$sys/{product}/{device}/`. The prefix is compared letter by letter, so a wildcard in a filter
/// can only stand behind it.
fn is_own(product_id: &str, device: &str, wanted: &str) -> bool {
    let levels = wanted
        .strip_prefix("$sys/")
        .and_then(|rest| rest.strip_prefix(product_id))
        .and_then(|rest| rest.strip_prefix('/'))
        .and_then(|rest| rest.strip_prefix(device))
        .and_then(|rest| rest.strip_prefix('/'));
    is_name(device) && levels.is_some_and(|rest| !rest.is_empty())
}

/// Data to `$dp`, replies to `$crsp/{uuid}`; commands come on `$creq/{uuid}`. As that says nothing about
/// the device, only `$creq/{device}/…` is its own, unless the operator shares commands.
fn may_on_old_platform(product: &Product, device: &str, action: Action, wanted: &str) -> bool {
    let Some(old) = &product.old_platform else { return false };
    if !is_number(device) || !product.knows_on_old_platform(device) {
        return false;
    }
    match action {
        Action::Publish => {
            wanted == "$dp" || wanted.strip_prefix("$crsp/").is_some_and(|uuid| !uuid.is_empty())
        }
        Action::Subscribe | Action::Deliver => wanted.strip_prefix("$creq/").is_some_and(|rest| {
            let own = rest.strip_prefix(device).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'));
            own || old.shared_commands && !rest.is_empty()
        }),
    }
}
