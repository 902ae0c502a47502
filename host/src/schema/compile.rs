//! Compiles the schemas of one plugin, and fails for those that cannot be enforced.

use std::panic::resume_unwind;
use std::{io, thread};

use jsonschema::{PatternOptions, ValidationOptions, Validator};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::budget::{Cost, CostKeyword, KEYWORD};
use super::document::{SchemaDocument, SchemaNode};
use super::error::{SchemaError, SchemaFault};
use super::input::MAX_COPIES;
use super::mismatch::Mismatch;

/// The most patterns in all schemas of one plugin. Each may take [`MAX_PATTERN`] and twice that for its automaton.
pub(super) const MAX_PATTERNS: usize = 512;

/// The most subschemas that the library looks at to know what is evaluated, in all schemas of one plugin. It compiles each
/// anew for each schema that asks, references followed, which takes a fifth of a millisecond and some kilobytes.
pub(super) const MAX_EVALUATIONS: u64 = 4_000;

/// Keywords that name a schema or its base. The library would read them by its own rules.
const NAMES: [&str; 5] = ["$id", "id", "$anchor", "$dynamicAnchor", "$recursiveAnchor"];

/// The characters of a JSON pointer that are encoded in the fragment of a reference.
const FRAGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'~').remove(b'-').remove(b'_').remove(b'.').remove(b'$');

/// Keywords that need to know which parts of a value other subschemas have looked at.
const UNEVALUATED: [&str; 2] = ["unevaluatedProperties", "unevaluatedItems"];

/// Keywords whose error holds the errors of all subschemas, each with a copy of its value.
const ALTERNATIVES: [&str; 2] = ["anyOf", "oneOf"];

/// The most memory of one compiled pattern, in bytes: a few letters of any script fit. It also bounds what a match
/// costs for each byte.
const MAX_PATTERN: usize = 128 << 10;

/// The memory of a compiled pattern that costs one step for four bytes, in bytes. A larger one costs as many times
/// more.
const LIGHT_PATTERN: usize = 8 << 10;

/// Keywords that turn a schema that fits more into one that fits less. Beside one of them no pattern can be left out.
const DECIDES: [&str; 6] = ["not", "if", "oneOf", "contains", "unevaluatedProperties", "unevaluatedItems"];

/// The stack of the thread that compiles: schemas nest, and frames of a debug build are large.
const COMPILE_STACK: usize = 64 << 20;

/// Compiles the schemas of one plugin. It counts what all of them may have together.
#[derive(Debug, Default)]
pub struct SchemaCompiler {
    patterns: usize,
    evaluations: u64,
}

/// The weights of the patterns of a subschema.
#[derive(Clone, Copy, Debug)]
struct PatternWeights {
    /// That of `pattern`, 0 without one. None if it cannot be checked.
    value: Option<u64>,
    /// The sum for the names of `patternProperties`.
    names: u64,
}

/// A compiled schema, and the places of the patterns that it leaves out.
pub(super) struct CompiledSchema {
    pub(super) validator: Validator,
    pub(super) unchecked: Vec<String>,
    /// The copies of values that errors may hold: without alternatives there is one error, which holds none.
    pub(super) copies: u64,
}

impl SchemaCompiler {
    /// Runs the compilation of schemas on a thread with the stack that it may need. Fails if none can be started.
    pub fn run<T: Send>(compile: impl FnOnce(&mut Self) -> T + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let thread = thread::Builder::new().stack_size(COMPILE_STACK);
            let compiled = thread.spawn_scoped(scope, || compile(&mut Self::default()))?;
            Ok(compiled.join().unwrap_or_else(|panic| resume_unwind(panic)))
        })
    }

    /// Compiles one schema, of which `document` is the graph.
    pub(super) fn compile(
        &mut self,
        schema: &Value,
        document: &SchemaDocument<'_>,
    ) -> Result<CompiledSchema, SchemaError> {
        let mut counted = schema.clone();
        let mut unchecked = Vec::new();
        let used = |word: &&&str| document.nodes.iter().any(|node| node.schema.contains_key(**word));
        let decides = DECIDES.iter().find(used);
        let dialect = schema.get("$schema").and_then(Value::as_str);
        let is_2019 = dialect.is_some_and(|dialect| dialect.contains("/2019-09/"));
        for node in &document.nodes {
            self.count_evaluations(node)?;
            let weights = self.weigh_patterns(node.schema, &node.pointer)?;
            let is_left_out = weights.value.is_none();
            if let Some(beside) = decides.filter(|_| is_left_out) {
                let fault = SchemaFault::DecidingPattern { beside };
                return Err(SchemaError::at(format!("{}/pattern", node.pointer), fault));
            }
            if is_left_out {
                unchecked.push(format!("{}/pattern", node.pointer));
            }
            let Some(Value::Object(fields)) = counted.pointer_mut(&node.pointer) else { continue };
            fields.shift_remove(KEYWORD);
            refer_by_pointer(fields, node, is_2019);
            if is_left_out {
                fields.shift_remove("pattern");
            }
            // First: a subschema is counted before it is applied.
            let mut first = Map::with_capacity(fields.len() + 1);
            first.insert(KEYWORD.to_owned(), cost(node.schema, document.nodes.len(), weights).to_value());
            first.append(fields);
            if first.get("additionalProperties") == Some(&Value::Bool(false)) {
                // With it the library names the field that should not be there.
                first.entry("properties").or_insert_with(|| Map::new().into());
            }
            *fields = first;
        }
        let validator = options().build(&counted).map_err(|error| invalid(&error))?;
        let has_alternatives =
            document.nodes.iter().any(|node| ALTERNATIVES.iter().any(|keyword| node.schema.contains_key(*keyword)));
        let copies = if has_alternatives { MAX_COPIES } else { u64::MAX };
        Ok(CompiledSchema { validator, unchecked, copies })
    }

    /// Compiles the patterns of a subschema alone, and weighs them. A `pattern` without a weight has to be left out;
    /// names that patterns choose cannot be, because other keywords depend on them.
    fn weigh_patterns(&mut self, schema: &Map<String, Value>, pointer: &str) -> Result<PatternWeights, SchemaError> {
        let names = schema.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(Map::keys);
        let mut weights = PatternWeights { value: Some(0), names: 0 };
        for pattern in names {
            self.count_pattern(pointer)?;
            weights.names += weight(&json!({ "patternProperties": { pattern: true } })).ok_or_else(|| {
                let fault = SchemaFault::Pattern { pattern: pattern.clone() };
                SchemaError::at(format!("{pointer}/patternProperties"), fault)
            })?;
        }
        if let Some(pattern @ Value::String(_)) = schema.get("pattern") {
            self.count_pattern(pointer)?;
            weights.value = weight(&json!({ "pattern": pattern }));
        }
        Ok(weights)
    }

    fn count_evaluations(&mut self, node: &SchemaNode<'_>) -> Result<(), SchemaError> {
        let asks = UNEVALUATED.iter().filter(|keyword| node.schema.contains_key(**keyword)).count() as u64;
        self.evaluations = self.evaluations.saturating_add(asks.saturating_mul(node.width));
        let is_too_much = self.evaluations > MAX_EVALUATIONS;
        if is_too_much { Err(SchemaError::at(&node.pointer, SchemaFault::TooManyEvaluations)) } else { Ok(()) }
    }

    fn count_pattern(&mut self, pointer: &str) -> Result<(), SchemaError> {
        self.patterns += 1;
        let is_one_too_many = self.patterns > MAX_PATTERNS;
        if is_one_too_many { Err(SchemaError::at(pointer, SchemaFault::TooManyPatterns)) } else { Ok(()) }
    }
}

/// Has each reference of a subschema name its target by the pointer from the root.
///
/// The library resolves a reference by base URIs and dialects, and where it found another target than
/// [`SchemaDocument`] it would apply subschemas that nothing counts.
fn refer_by_pointer(fields: &mut Map<String, Value>, node: &SchemaNode<'_>, is_2019: bool) {
    without_names(fields);
    if !node.pointer.is_empty() {
        fields.shift_remove("$schema");
    }
    for (keyword, pointer) in &node.references {
        let reference = Value::from(format!("#{}", fragment(pointer)));
        // The library takes `$recursiveRef` for a reference to the root, whatever it says.
        if *keyword != "$recursiveRef" {
            fields.insert((*keyword).to_owned(), reference);
        } else if is_2019 && let Value::Array(all) = fields.entry("allOf").or_insert_with(|| json!([])) {
            all.push(json!({ "$ref": reference }));
            fields.shift_remove(*keyword);
        }
    }
}

/// Removes the keywords that name a schema or its base.
pub(super) fn without_names(fields: &mut Map<String, Value>) {
    NAMES.iter().for_each(|name| drop(fields.shift_remove(*name)));
}

/// A JSON pointer as the fragment of a reference.
pub(super) fn fragment(pointer: &str) -> String {
    utf8_percent_encode(pointer, FRAGMENT).to_string()
}

/// The library's options: nothing is looked up, patterns are matched in linear time, and `format` is a remark, as the
/// default of 2020-12 has it.
fn options<'i>() -> ValidationOptions<'i> {
    with_patterns_of(MAX_PATTERN)
}

fn with_patterns_of<'i>(size: usize) -> ValidationOptions<'i> {
    let patterns = PatternOptions::regex().size_limit(size).dfa_size_limit(2 * size);
    jsonschema::options()
        .offline()
        .with_pattern_options(patterns)
        .should_validate_formats(false)
        .with_keyword(KEYWORD, |_, value, _| Ok(Box::new(CostKeyword::new(value))))
}

/// The weight of the pattern of a schema, by the memory that it takes compiled: a match may visit all of that for each
/// byte. None if it cannot be matched in linear time, or is too large.
fn weight(schema: &Value) -> Option<u64> {
    let sizes =
        std::iter::successors(Some(LIGHT_PATTERN), |size| Some(size * 2)).take_while(|size| *size <= MAX_PATTERN);
    let fits = |size: &usize| with_patterns_of(*size).build(schema).is_ok();
    sizes.filter(fits).map(|size| (size / LIGHT_PATTERN) as u64).next()
}

fn invalid(error: &jsonschema::ValidationError<'_>) -> SchemaError {
    let Mismatch { pointer, reason, .. } = Mismatch::of(error);
    SchemaError::at(pointer, SchemaFault::Invalid { reason })
}

/// Estimates what one application of a subschema costs, without its own subschemas, which count for themselves.
fn cost(schema: &Map<String, Value>, subschemas: usize, weights: PatternWeights) -> Cost {
    let length = |keyword: &str| match schema.get(keyword) {
        Some(Value::Array(items)) => items.len(),
        Some(Value::Object(fields)) => fields.len(),
        _ => 0,
    };
    let compared = ["enum", "const"].iter().filter_map(|keyword| schema.get(*keyword));
    let compared: usize = compared.map(|value| value.to_string().len() / 64).sum();
    let names = length("properties") + length("required") + length("dependentRequired") + length("dependentSchemas");
    let lists = length("allOf") + length("anyOf") + length("oneOf") + length("prefixItems");
    // These look at every entry, and at what all subschemas that were applied to the value say about it.
    let unevaluated = UNEVALUATED.iter().any(|keyword| schema.contains_key(*keyword));
    let walks = ["uniqueItems", "additionalProperties", "items", "contains", "propertyNames", "patternProperties"];
    let walks = walks.iter().filter(|keyword| schema.contains_key(**keyword)).count();
    let entry = walks + if unevaluated { 1 + subschemas / 16 } else { 0 };
    Cost {
        base: (1 + compared + names / 4 + lists / 4) as u64,
        entry: entry.div_ceil(2) as u64,
        patterns: weights.value.unwrap_or(0),
        name_patterns: weights.names,
        unique: schema.get("uniqueItems") == Some(&Value::Bool(true)),
    }
}
