//! Bodies that the plugin sends.
//!
//! Invariant: the host learns from the future behind a body whether the body is complete. [`BodyWriter`] reports a body
//! whose writer is dropped as cut short, also one whose request was given up.

use wasip3::http_compat::BodyWriter;

use crate::body::{Body, BodyError};

/// Writes a body to the host.
pub(super) async fn send_body(mut body: Body, writer: BodyWriter) -> Result<(), BodyError> {
    let BodyWriter { mut stream_writer, result_writer, .. } = writer;
    while let Some(chunk) = body.next().await {
        if !stream_writer.write_all(chunk?.into()).await.is_empty() {
            return Err(BodyError::new("it is not read any more"));
        }
    }
    drop(stream_writer);
    // All bytes have been taken. A host that does not ask how the body ended knows it otherwise.
    let _ = result_writer.write(Ok(None)).await;
    Ok(())
}
