//! Compiles the schemas that a plugin declares for its endpoints.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use coinslot_plugin::EndpointInfo;

use super::install::SalesPolicy;
use super::install_error::InstallError;
use crate::schema::{
    AnswerSchema, DeclaredSchema, InputSchema, SchemaCompiler, SchemaError, SchemaFault, Unenforced, checks_itself,
};

/// The schemas of one endpoint.
#[derive(Debug, Default)]
pub(super) struct EndpointSchemas {
    pub(super) input: Option<InputSchema>,
    pub(super) answer: Option<Arc<AnswerSchema>>,
    pub(super) unenforced: Vec<Unenforced>,
}

/// Compiles the schemas of all endpoints, in their order, and logs what is not enforced. A schema of answers is compiled
/// in any case, so that a mistake in it is found before somebody sells by it, and kept if answers are checked.
pub(super) fn compile(
    plugin: &str,
    endpoints: &[EndpointInfo],
    policy: &SalesPolicy,
) -> Result<Vec<EndpointSchemas>, InstallError> {
    if policy.unchecked.contains(plugin) {
        if let Some(warning) = off_without_effect(plugin, endpoints) {
            tracing::warn!(plugin, "{warning}");
        }
        return Ok(endpoints.iter().map(|_| EndpointSchemas::default()).collect());
    }
    let mut compiled = compile_all(endpoints)?;
    for (declared, schemas) in endpoints.iter().zip(&mut compiled) {
        for unenforced in &schemas.unenforced {
            tracing::warn!(
                plugin,
                endpoint = declared.label(),
                pointer = unenforced.error.pointer,
                "{unenforced}; what it would refuse is left to the plugin"
            );
        }
        schemas.answer.take_if(|_| !policy.checks_answers);
    }
    Ok(compiled)
}

/// Finds the schemas, and the patterns of them, that would not be enforced: for each endpoint, in their order.
pub fn unenforced(endpoints: &[EndpointInfo]) -> Result<Vec<Vec<Unenforced>>, InstallError> {
    Ok(compile_all(endpoints)?.into_iter().map(|schemas| schemas.unenforced).collect())
}

/// The warning that the operator's `validate = "off"` changes nothing at some endpoints of a plugin. None if it does.
pub fn off_without_effect(plugin: &str, endpoints: &[EndpointInfo]) -> Option<String> {
    let own = endpoints.iter().filter(|declared| declared.input_schema.is_some() && checks_itself(declared));
    let labels: Vec<String> = own.map(EndpointInfo::label).collect();
    (!labels.is_empty()).then(|| {
        format!(
            "plugin.{plugin}.validate: \"off\" has no effect on {}: the plugin checks this input itself, in its quote, \
             as plugins in TypeScript and Python do, and the host never does; remove the key",
            labels.join(", ")
        )
    })
}

fn compile_all(endpoints: &[EndpointInfo]) -> Result<Vec<EndpointSchemas>, InstallError> {
    let declares = |declared: &EndpointInfo| declared.input_schema.is_some() || declared.output_schema.is_some();
    if !endpoints.iter().any(declares) {
        return Ok(endpoints.iter().map(|_| EndpointSchemas::default()).collect());
    }
    let all =
        |compiler: &mut SchemaCompiler| endpoints.iter().map(|declared| of_endpoint(compiler, declared)).collect();
    SchemaCompiler::run(all).map_err(|error| InstallError::SchemaThread { reason: error.to_string() })
}

fn of_endpoint(compiler: &mut SchemaCompiler, declared: &EndpointInfo) -> EndpointSchemas {
    let mut schemas = EndpointSchemas::default();
    // Its quote refuses what does not fit, by the rules of its own language. A schema that cannot be followed leaves the
    // whole check to it.
    if let Some(schema) = declared.input_schema.as_ref().filter(|_| checks_itself(declared)) {
        schemas.input = guarded(|| InputSchema::of_readable_json(schema)).ok().flatten();
    } else if let Some(schema) = &declared.input_schema {
        match guarded(|| InputSchema::compile(compiler, schema)) {
            Ok((input, unenforced)) => {
                schemas.input = Some(input);
                schemas.unenforced.extend(unenforced);
            }
            Err(error) => schemas.unenforced.push(Unenforced::whole(DeclaredSchema::Input, error)),
        }
    }
    if let Some(schema) = &declared.output_schema {
        match guarded(|| AnswerSchema::compile(compiler, &declared.label(), schema)) {
            Ok((answer, unenforced)) => {
                schemas.answer = Some(Arc::new(answer));
                schemas.unenforced.extend(unenforced);
            }
            Err(error) => schemas.unenforced.push(Unenforced::whole(DeclaredSchema::Output, error)),
        }
    }
    schemas
}

/// Keeps a panic of the library over a schema from the schemas of other endpoints.
fn guarded<T>(compile: impl FnOnce() -> Result<T, SchemaError>) -> Result<T, SchemaError> {
    let panic = |_| Err(SchemaError { pointer: String::new(), fault: SchemaFault::Panic });
    catch_unwind(AssertUnwindSafe(compile)).unwrap_or_else(panic)
}
