//! Writes a module without the parts that are not needed. Lines stay where they are.

use super::ModuleNode;
use super::module::{Kind, Name, Source};

/// The text of a module with the statements and names that are needed.
pub(super) fn shorten(node: &ModuleNode) -> String {
    let mut text = String::with_capacity(node.text.len());
    let mut end = 0;
    for (item, is_live) in node.module.statements.iter().zip(&node.live) {
        let old = &node.text[item.span.0..item.span.1];
        // A module with effects is evaluated even if nothing of it is used.
        let stays = |source: &Source| {
            node.targets.get(&source.specifier).is_some_and(|target| node.with_effects.contains(target))
        };
        let new = match &item.kind {
            Kind::Code | Kind::Declaration => is_live.then(|| old.to_owned()),
            Kind::All(None, source) => (*is_live || stays(source)).then(|| old.to_owned()),
            Kind::All(Some(name), source) => (node.exported.contains(name) || stays(source)).then(|| old.to_owned()),
            Kind::Import(names, source) => {
                let kept: Vec<&Name> = names.iter().filter(|name| node.imported.contains(&name.name)).collect();
                match kept.len() {
                    0 if names.is_empty() => is_live.then(|| old.to_owned()),
                    0 => stays(source).then(|| format!("import {}", &node.text[source.at..item.span.1])),
                    all if all == names.len() => Some(old.to_owned()),
                    _ => Some(list("import", node, &kept, Some(source), item.span.1)),
                }
            }
            Kind::Export(names, source) => {
                let kept: Vec<&Name> = names.iter().filter(|name| node.exported.contains(&name.name)).collect();
                match (kept.len(), source) {
                    (0, Some(source)) if stays(source) => {
                        Some(format!("import {}", &node.text[source.at..item.span.1]))
                    }
                    (0, _) => None,
                    (all, _) if all == names.len() => Some(old.to_owned()),
                    (_, source) => Some(list("export", node, &kept, source.as_ref(), item.span.1)),
                }
            }
        };
        text.push_str(&node.text[end..item.span.0]);
        match new {
            Some(new) if new.len() == old.len() => text.push_str(&new),
            Some(new) => padded(&mut text, &new, old),
            // A semicolon, without which the statements before and after could become one.
            None => padded(&mut text, ";", old),
        }
        end = item.span.1;
    }
    text.push_str(&node.text[end..]);
    text
}

/// An import or an export of some names.
fn list(word: &str, node: &ModuleNode, names: &[&Name], source: Option<&Source>, end: usize) -> String {
    let of = |name: &&Name| node.text[name.span.0..name.span.1].to_owned();
    let mut parts: Vec<String> = names.iter().filter(|name| !name.is_listed).map(of).collect();
    let listed: Vec<String> = names.iter().filter(|name| name.is_listed).map(of).collect();
    if !listed.is_empty() {
        parts.push(format!("{{{}}}", listed.join(",")));
    }
    match source {
        Some(source) => format!("{word} {} from {}", parts.join(","), &node.text[source.at..end]),
        None => format!("{word} {};", parts.join(",")),
    }
}

/// Appends a text in the place of another: with as many lines, and, where it fits, as many columns.
fn padded(text: &mut String, new: &str, old: &str) {
    text.push_str(new);
    let mut rest = old.chars().filter(|c| matches!(c, '\n' | '\r')).skip(new.matches(['\n', '\r']).count()).peekable();
    if rest.peek().is_none() {
        let missing = old.chars().count().saturating_sub(new.chars().count());
        text.extend(std::iter::repeat_n(' ', missing));
        return;
    }
    text.extend(rest);
    let last = old.rsplit(['\n', '\r']).next().unwrap_or_default();
    text.extend(last.chars().map(|_| ' '));
}
