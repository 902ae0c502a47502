//! Holds the bindings that are generated from the contract.
//!
//! `wasi:http` comes from the crate `wasip2`, and only what Coinslot adds is generated here: the narrow world.

#![allow(
    unsafe_code,
    unreachable_pub,
    missing_debug_implementations,
    reason = "generated: the canonical ABI passes pointers"
)]

wit_bindgen::generate!({
    inline: "
        package coinslot:sdk;
        // An interface that the plugin does not call is not imported by its component.
        world plugin {
            include coinslot:plugin/narrow-quoting@0.2.0;
            include wasi:config/imports@0.2.0-rc.1;
            include wasi:keyvalue/imports@0.2.0-draft;
            include coinslot:keyvalue/imports@0.1.0;
        }
    ",
    path: "../../wit",
    generate_all,
});
