//! Names the author's language in a component. The sections inside are those of the engine, which is written in others.

use wasm_metadata::Producers;

/// The id of a custom section.
const CUSTOM: u8 = 0;

/// Adds a `producers` section to a component: the language, and this tool.
pub(crate) fn add(component: &mut Vec<u8>, language: &str) {
    let mut producers = Producers::empty();
    producers.add("language", language, "");
    producers.add("processed-by", "coinslot", env!("CARGO_PKG_VERSION"));
    component.push(CUSTOM);
    component.extend(producers.raw_custom_section());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_names_its_language_and_stays_one() {
        // The smallest component.
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        add(&mut component, "TypeScript");
        let producers = Producers::from_wasm(&component).expect("a component").expect("a section");
        let languages = producers.get("language").expect("languages");
        assert_eq!(languages.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["TypeScript"]);
    }
}
