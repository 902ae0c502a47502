//! JSON objects as they came, and the `null`s in them.

/// A JSON object in the order in which its keys came.
pub type Object = serde_json::Map<String, serde_json::Value>;

/// Reads `null` as the default of a field: published servers write it where others leave the field out.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + serde::Deserialize<'de>,
{
    use serde::Deserialize as _;
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
