//! What `wit-bindgen` makes of `wit/`: one module for the host's services and one per hook, each with a
//! world of its own, so that a plugin's component has only the hooks that it exports. Services that a
//! plugin never calls are dropped when its module becomes a component.
//!
//! Plugin authors do not need this module: the types around it are for them.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]

pub mod host {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "tidegate:plugin/host-services",
        generate_all,
        ownership: Borrowing { duplicate_if_necessary: false },
        additional_derives: [PartialEq, Eq, Clone],
    });
}

pub mod lifecycle {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package tidegate:hooks;
            world lifecycle { export tidegate:plugin/lifecycle@0.1.0; }
        ",
        world: "tidegate:hooks/lifecycle",
        pub_export_macro: true,
        export_macro_name: "export_lifecycle",
        default_bindings_module: "tidegate_plugin::bindings::lifecycle",
        additional_derives: [PartialEq, Eq, Clone],
    });
}

pub mod validating_connection {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package tidegate:hooks;
            world validating-connection { export tidegate:plugin/validating-connection@0.1.0; }
        ",
        world: "tidegate:hooks/validating-connection",
        with: { "tidegate:plugin/types@0.1.0": crate::bindings::host::tidegate::plugin::types },
        pub_export_macro: true,
        export_macro_name: "export_validating_connection",
        default_bindings_module: "tidegate_plugin::bindings::validating_connection",
        additional_derives: [PartialEq, Eq, Clone],
    });
}

pub mod authorizer {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package tidegate:hooks;
            world authorizer { export tidegate:plugin/authorizer@0.1.0; }
        ",
        world: "tidegate:hooks/authorizer",
        with: { "tidegate:plugin/types@0.1.0": crate::bindings::host::tidegate::plugin::types },
        pub_export_macro: true,
        export_macro_name: "export_authorizer",
        default_bindings_module: "tidegate_plugin::bindings::authorizer",
        additional_derives: [PartialEq, Eq, Clone],
    });
}

pub mod intercepting_publish {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package tidegate:hooks;
            world intercepting-publish { export tidegate:plugin/intercepting-publish@0.1.0; }
        ",
        world: "tidegate:hooks/intercepting-publish",
        with: { "tidegate:plugin/types@0.1.0": crate::bindings::host::tidegate::plugin::types },
        pub_export_macro: true,
        export_macro_name: "export_intercepting_publish",
        default_bindings_module: "tidegate_plugin::bindings::intercepting_publish",
        additional_derives: [PartialEq, Eq, Clone],
    });
}

pub mod intercepting_client_enqueue {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package tidegate:hooks;
            world intercepting-client-enqueue { export tidegate:plugin/intercepting-client-enqueue@0.1.0; }
        ",
        world: "tidegate:hooks/intercepting-client-enqueue",
        with: { "tidegate:plugin/types@0.1.0": crate::bindings::host::tidegate::plugin::types },
        pub_export_macro: true,
        export_macro_name: "export_intercepting_client_enqueue",
        default_bindings_module: "tidegate_plugin::bindings::intercepting_client_enqueue",
        additional_derives: [PartialEq, Eq, Clone],
    });
}

pub mod intercepting_subscription {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package tidegate:hooks;
            world intercepting-subscription { export tidegate:plugin/intercepting-subscription@0.1.0; }
        ",
        world: "tidegate:hooks/intercepting-subscription",
        with: { "tidegate:plugin/types@0.1.0": crate::bindings::host::tidegate::plugin::types },
        pub_export_macro: true,
        export_macro_name: "export_intercepting_subscription",
        default_bindings_module: "tidegate_plugin::bindings::intercepting_subscription",
        additional_derives: [PartialEq, Eq, Clone],
    });
}

pub mod intercepting_unsubscription {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package tidegate:hooks;
            world intercepting-unsubscription { export tidegate:plugin/intercepting-unsubscription@0.1.0; }
        ",
        world: "tidegate:hooks/intercepting-unsubscription",
        with: { "tidegate:plugin/types@0.1.0": crate::bindings::host::tidegate::plugin::types },
        pub_export_macro: true,
        export_macro_name: "export_intercepting_unsubscription",
        default_bindings_module: "tidegate_plugin::bindings::intercepting_unsubscription",
        additional_derives: [PartialEq, Eq, Clone],
    });
}

pub mod application_message_not_consumed {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package tidegate:hooks;
            world application-message-not-consumed { export tidegate:plugin/application-message-not-consumed@0.1.0; }
        ",
        world: "tidegate:hooks/application-message-not-consumed",
        with: { "tidegate:plugin/types@0.1.0": crate::bindings::host::tidegate::plugin::types },
        pub_export_macro: true,
        export_macro_name: "export_application_message_not_consumed",
        default_bindings_module: "tidegate_plugin::bindings::application_message_not_consumed",
        additional_derives: [PartialEq, Eq, Clone],
    });
}

pub mod events {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package tidegate:hooks;
            world events { export tidegate:plugin/events@0.1.0; }
        ",
        world: "tidegate:hooks/events",
        pub_export_macro: true,
        export_macro_name: "export_events",
        default_bindings_module: "tidegate_plugin::bindings::events",
        additional_derives: [PartialEq, Eq, Clone],
    });
}
