//! Compiles the schemas that a plugin declares for its endpoints.

use std::sync::Arc;

use coinslot_plugin::EndpointInfo;

use super::install::{InstallError, SalesPolicy};
use crate::schema::{AnswerSchema, InputSchema, SchemaCompiler};

/// The schemas of one endpoint that are enforced.
#[derive(Debug, Default)]
pub(super) struct EndpointSchemas {
    pub(super) input: Option<InputSchema>,
    pub(super) answer: Option<Arc<AnswerSchema>>,
}

/// Compiles the schemas of all endpoints, in their order. Fails with the first that cannot be enforced. A schema of
/// answers is compiled in any case, so that a mistake in it is found before somebody sells by it, and kept if answers are
/// checked.
pub(super) fn compile(
    plugin: &str,
    endpoints: &[EndpointInfo],
    policy: &SalesPolicy,
) -> Result<Vec<EndpointSchemas>, InstallError> {
    let has_schemas =
        endpoints.iter().any(|declared| declared.input_schema.is_some() || declared.output_schema.is_some());
    if policy.unchecked.contains(plugin) || !has_schemas {
        return Ok(endpoints.iter().map(|_| EndpointSchemas::default()).collect());
    }
    let all = |compiler: &mut SchemaCompiler| {
        endpoints.iter().map(|declared| of_endpoint(compiler, plugin, declared, policy)).collect()
    };
    SchemaCompiler::run(all).map_err(|source| InstallError::Schema {
        endpoint: plugin.to_owned(),
        schema: "its schemas",
        source,
    })?
}

fn of_endpoint(
    compiler: &mut SchemaCompiler,
    plugin: &str,
    declared: &EndpointInfo,
    policy: &SalesPolicy,
) -> Result<EndpointSchemas, InstallError> {
    let label = format!("{} {}", declared.method, declared.path);
    let refused = |schema| {
        let endpoint = label.clone();
        move |source| InstallError::Schema { endpoint, schema, source }
    };
    let mut schemas = EndpointSchemas::default();
    // Its quote refuses what does not fit, by the rules of its own language.
    let checks_itself = declared.extensions.iter().any(|(key, by)| key == "input-check" && by == "plugin");
    if let Some(schema) = declared.input_schema.as_ref().filter(|_| !checks_itself) {
        let (input, unchecked) = InputSchema::compile(compiler, schema).map_err(refused("input-schema"))?;
        for pattern in unchecked {
            tracing::warn!(
                plugin,
                endpoint = label,
                pattern,
                "this pattern of the input schema cannot be matched in linear time, and is left to the plugin"
            );
        }
        schemas.input = Some(input);
    }
    if let Some(schema) = &declared.output_schema {
        let (answer, _) = AnswerSchema::compile(compiler, &label, schema).map_err(refused("output-schema"))?;
        schemas.answer = policy.checks_answers.then(|| Arc::new(answer));
    }
    Ok(schemas)
}
