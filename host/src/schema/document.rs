//! Reads a JSON Schema as a graph: its subschemas, and where its references lead.
//!
//! A subschema is applied either to the value that its parent is applied to, as under `allOf`, or to a part of it, as
//! under `properties`. Only the latter makes the value smaller. So a circle of the former never ends, and a subschema
//! that is reached in many such ways is applied as many times to one value.

mod subschemas;

use std::collections::HashMap;

use serde_json::{Map, Value};

use self::subschemas::{children, same_value};
use super::error::{SchemaError, SchemaFault};
use super::form::percent_decoded;

/// The most subschemas that may be applied to one value because of one of them.
const MAX_WIDTH: u64 = 10_000;

/// A schema and its subschemas.
#[derive(Debug)]
pub(super) struct SchemaDocument<'s> {
    pub(super) nodes: Vec<SchemaNode<'s>>,
    /// The nodes by the addresses of their objects.
    known: HashMap<usize, usize>,
    /// The resources by their `$id`, as written.
    resources: HashMap<&'s str, usize>,
    /// The anchors by resource and name.
    anchors: HashMap<(usize, &'s str), usize>,
    dynamic_anchors: HashMap<&'s str, Vec<usize>>,
    recursive_anchors: usize,
    /// An `$id` that two resources have.
    ambiguous: Option<(usize, &'s str)>,
}

/// A subschema that is an object.
#[derive(Debug)]
pub(super) struct SchemaNode<'s> {
    /// A JSON pointer into the document.
    pub(super) pointer: String,
    pub(super) schema: &'s Map<String, Value>,
    value: &'s Value,
    /// The node whose `$id`, or whose place at the root, `#` in this node stands for.
    resource: usize,
    /// The nodes that are applied to the same value.
    same_value: Vec<usize>,
    /// The number of subschemas that are applied to one value because of this one, which counts too.
    pub(super) width: u64,
    /// The keywords that refer to another place, with the JSON pointer to it.
    pub(super) references: Vec<(&'static str, String)>,
}

impl<'s> SchemaDocument<'s> {
    /// Reads a schema. Fails on a reference that leads nowhere or out of the schema, on a circle of subschemas of one
    /// value, and on alternatives that multiply.
    pub(super) fn read(root: &'s Value) -> Result<Self, SchemaError> {
        let mut document = Self {
            nodes: Vec::new(),
            known: HashMap::new(),
            resources: HashMap::new(),
            anchors: HashMap::new(),
            dynamic_anchors: HashMap::new(),
            recursive_anchors: 0,
            ambiguous: None,
        };
        document.add(root, String::new(), None);
        let mut resolved = 0;
        // A reference may lead to a place that no keyword leads to, so resolving adds nodes.
        while resolved < document.nodes.len() {
            document.follow_references(resolved)?;
            resolved += 1;
        }
        if let Some((index, id)) = document.ambiguous {
            let fault = SchemaFault::Ambiguous { id: id.to_owned() };
            return Err(SchemaError::at(format!("{}/$id", document.nodes[index].pointer), fault));
        }
        document.count_widths()?;
        Ok(document)
    }

    /// The target of a reference by a keyword of a node.
    fn resolve(&self, node: usize, keyword: &'static str, reference: &str) -> Result<&'s Value, SchemaError> {
        let pointer = || self.nodes[node].pointer.clone();
        let (base, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let resource = if base.is_empty() {
            self.nodes[node].resource
        } else {
            let outside =
                || SchemaError::at(pointer(), SchemaFault::Outside { keyword, reference: reference.to_owned() });
            *self.resources.get(base).ok_or_else(outside)?
        };
        let missing = || SchemaError::at(pointer(), SchemaFault::Missing { keyword, reference: reference.to_owned() });
        let value = self.nodes[resource].value;
        let fragment = percent_decoded(fragment).ok_or_else(missing)?;
        if fragment.is_empty() {
            Ok(value)
        } else if fragment.starts_with('/') {
            value.pointer(&fragment).ok_or_else(missing)
        } else {
            let anchored = self.anchors.get(&(resource, fragment.as_str())).ok_or_else(missing)?;
            Ok(self.nodes[*anchored].value)
        }
    }

    /// The node of a subschema; none for `true` and `false`.
    pub(super) fn node(&self, value: &Value) -> Option<usize> {
        self.known.get(&address(value.as_object()?)).copied()
    }

    /// The schemas that are applied to the same value as this one because of it, but for what the value must not fit.
    pub(super) fn applied_with(&self, value: &Value) -> impl Iterator<Item = &'s Value> {
        let node = self.node(value).map(|index| &self.nodes[index]);
        let excluded = node.and_then(|node| self.node(node.schema.get("not")?));
        let applied = node.into_iter().flat_map(|node| &node.same_value);
        applied.filter(move |index| Some(**index) != excluded).map(move |index| self.nodes[*index].value)
    }

    /// The nodes that are applied to the value of the root, under whatever condition.
    pub(super) fn of_root_value(&self) -> impl Iterator<Item = &SchemaNode<'s>> {
        self.reached(self.root(), |index| self.nodes[index].same_value.clone())
    }

    /// The nodes that are applied to the value of the root, whatever it is: those that every input has to fit.
    pub(super) fn of_every_root_value(&self) -> impl Iterator<Item = &SchemaNode<'s>> {
        self.reached(self.root(), |index| self.always_beside(index))
    }

    /// True if every value of a schema has a field of this name.
    pub(super) fn requires(&self, value: &Value, name: &str) -> bool {
        self.reached(self.node(value), |index| self.always_beside(index)).any(|node| {
            let mut required = node.schema.get("required").and_then(Value::as_array).into_iter().flatten();
            required.any(|required| required == name)
        })
    }

    fn root(&self) -> Option<usize> {
        (!self.nodes.is_empty()).then_some(0)
    }

    /// The nodes that are applied to every value of this one.
    fn always_beside(&self, index: usize) -> Vec<usize> {
        let schema = self.nodes[index].schema;
        let parts = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
        let reference = schema.get("$ref").and_then(Value::as_str);
        let target = reference.and_then(|reference| self.resolve(index, "$ref", reference).ok());
        parts.chain(target).filter_map(|schema| self.node(schema)).collect()
    }

    /// The nodes that are reached from one, each once.
    fn reached(
        &self,
        from: Option<usize>,
        next: impl Fn(usize) -> Vec<usize>,
    ) -> impl Iterator<Item = &SchemaNode<'s>> {
        let mut seen = vec![false; self.nodes.len()];
        let mut open = Vec::from_iter(from);
        std::iter::from_fn(move || {
            while let Some(index) = open.pop() {
                if !std::mem::replace(&mut seen[index], true) {
                    open.extend(next(index));
                    return Some(&self.nodes[index]);
                }
            }
            None
        })
    }

    /// Adds a value and its subschemas, if it is an object that is not known yet.
    fn add(&mut self, value: &'s Value, pointer: String, resource: Option<usize>) {
        let mut open = vec![(value, pointer, resource)];
        while let Some((value, pointer, resource)) = open.pop() {
            let Value::Object(schema) = value else { continue };
            if self.known.contains_key(&address(schema)) {
                continue;
            }
            let index = self.nodes.len();
            let id = schema.get("$id").and_then(Value::as_str).map(|id| id.trim_end_matches('#'));
            let id = id.filter(|id| !id.is_empty());
            let resource = if id.is_some() { index } else { resource.unwrap_or(index) };
            if let Some(id) = id
                && *self.resources.entry(id).or_insert(index) != index
            {
                self.ambiguous.get_or_insert((index, id));
            }
            for keyword in ["$anchor", "$dynamicAnchor"] {
                if let Some(name) = schema.get(keyword).and_then(Value::as_str) {
                    self.anchors.entry((resource, name)).or_insert(index);
                }
            }
            if let Some(name) = schema.get("$dynamicAnchor").and_then(Value::as_str) {
                self.dynamic_anchors.entry(name).or_default().push(index);
            }
            self.recursive_anchors += usize::from(schema.get("$recursiveAnchor") == Some(&Value::Bool(true)));
            self.known.insert(address(schema), index);
            for (child, at) in children(schema) {
                open.push((child, format!("{pointer}{at}"), Some(resource)));
            }
            let (same_value, references) = (Vec::new(), Vec::new());
            self.nodes.push(SchemaNode { pointer, schema, value, resource, same_value, references, width: 1 });
        }
    }

    /// Notes which nodes are applied to the value of this one: its children, and the targets of its references.
    fn follow_references(&mut self, index: usize) -> Result<(), SchemaError> {
        let schema = self.nodes[index].schema;
        let mut same_value: Vec<usize> = same_value(schema).filter_map(|child| self.node(child)).collect();
        for keyword in ["$ref", "$dynamicRef", "$recursiveRef"] {
            let Some(reference) = schema.get(keyword).and_then(Value::as_str) else { continue };
            let target = self.resolve(index, keyword, reference)?;
            let place = self.place_of(index, reference, target);
            // Only a pointer leads to a place that no keyword leads to, and it counts from a resource.
            self.add(target, place.clone(), Some(self.resource_of(index, reference)));
            same_value.extend(self.node(target));
            self.check_is_static(index, keyword, reference)?;
            self.nodes[index].references.push((keyword, place));
        }
        same_value.sort_unstable();
        self.nodes[index].same_value = same_value;
        Ok(())
    }

    /// The node of the resource that a reference counts from.
    fn resource_of(&self, node: usize, reference: &str) -> usize {
        let base = reference.split_once('#').map_or(reference, |(base, _)| base);
        self.resources.get(base).copied().unwrap_or(self.nodes[node].resource)
    }

    /// The JSON pointer to the target of a reference.
    fn place_of(&self, node: usize, reference: &str, target: &Value) -> String {
        if let Some(known) = self.node(target) {
            return self.nodes[known].pointer.clone();
        }
        let fragment = reference.split_once('#').map_or("", |(_, fragment)| fragment);
        let fragment = percent_decoded(fragment).unwrap_or_default();
        format!("{}{fragment}", self.nodes[self.resource_of(node, reference)].pointer)
    }

    /// Fails if the target of a reference depends on the schemas that were applied before: what the host counts is not
    /// what the library would apply.
    fn check_is_static(&self, node: usize, keyword: &'static str, reference: &str) -> Result<(), SchemaError> {
        let name = reference.rsplit_once('#').map_or("", |(_, name)| name);
        let is_static = match keyword {
            "$dynamicRef" => self.dynamic_anchors.get(name).is_none_or(|anchors| anchors.len() == 1),
            "$recursiveRef" => self.recursive_anchors <= 1,
            _ => true,
        };
        let fault = || SchemaFault::Dynamic { keyword };
        if is_static { Ok(()) } else { Err(SchemaError::at(self.nodes[node].pointer.clone(), fault())) }
    }

    /// Counts for each node how many are applied to one value because of it.
    fn count_widths(&mut self) -> Result<(), SchemaError> {
        let mut parents: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        let mut waiting: Vec<usize> = self.nodes.iter().map(|node| node.same_value.len()).collect();
        for (index, node) in self.nodes.iter().enumerate() {
            for child in &node.same_value {
                parents[*child].push(index);
            }
        }
        let mut ready: Vec<usize> = (0..self.nodes.len()).filter(|index| waiting[*index] == 0).collect();
        let mut done = 0;
        while let Some(index) = ready.pop() {
            done += 1;
            let width = self.nodes[index].width;
            if width > MAX_WIDTH {
                return Err(SchemaError::at(self.nodes[index].pointer.clone(), SchemaFault::Multiplies));
            }
            for parent in &parents[index] {
                self.nodes[*parent].width = self.nodes[*parent].width.saturating_add(width);
                waiting[*parent] -= 1;
                if waiting[*parent] == 0 {
                    ready.push(*parent);
                }
            }
        }
        if done == self.nodes.len() {
            return Ok(());
        }
        // What is left leads into a circle; a node with a reference is where an author looks.
        let left = self.nodes.iter().zip(&waiting).filter(|(_, waiting)| **waiting > 0).map(|(node, _)| node);
        let circle = left.clone().find(|node| node.schema.contains_key("$ref")).or_else(|| left.clone().next());
        Err(SchemaError::at(circle.map(|node| node.pointer.clone()).unwrap_or_default(), SchemaFault::Circle))
    }
}

fn address(schema: &Map<String, Value>) -> usize {
    std::ptr::from_ref(schema).addr()
}

/// A name as a segment of a JSON pointer (RFC 6901).
pub(crate) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The name that a segment of a JSON pointer stands for.
pub(crate) fn unescaped(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}
