//! Finds the modules that have a name by `export * from` others.

use std::collections::{HashMap, HashSet};

use super::ModuleNode;

/// The `export *` of a graph.
#[derive(Debug, Default)]
pub(super) struct Stars {
    /// The nodes that export a name otherwise.
    exporters: HashMap<String, Vec<usize>>,
    /// For each node those that have `export *` of it.
    behind: Vec<Vec<usize>>,
    /// The nodes that have a name, as far as somebody asked.
    having: HashMap<String, HashSet<usize>>,
}

impl Stars {
    pub(super) fn of(nodes: &[ModuleNode]) -> Self {
        let mut stars = Self { behind: vec![Vec::new(); nodes.len()], ..Self::default() };
        for (index, node) in nodes.iter().enumerate() {
            for name in node.module.exports.keys() {
                stars.exporters.entry(name.clone()).or_default().push(index);
            }
            for target in node.module.stars.iter().filter_map(|(_, source)| node.targets.get(source)) {
                stars.behind[*target].push(index);
            }
        }
        stars
    }

    /// The nodes that have a name. They are looked for once, from those that export it: modules in a chain would each
    /// look through the rest of the chain.
    pub(super) fn having(&mut self, name: &str) -> &HashSet<usize> {
        let Self { exporters, behind, having } = self;
        having.entry(name.to_owned()).or_insert_with(|| {
            let (mut open, mut found) = (exporters.get(name).cloned().unwrap_or_default(), HashSet::new());
            while let Some(node) = open.pop() {
                if found.insert(node) {
                    open.extend(&behind[node]);
                }
            }
            found
        })
    }
}
