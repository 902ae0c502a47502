//! Sends bodies to the host.
//!
//! Invariant: the host learns from the future behind a body whether the body is complete. [`BodyWriter`] reports a body
//! whose writer is dropped as cut short, also one whose request was given up.

use wasip3::http_compat::BodyWriter;
use wasip3::wit_bindgen::StreamWriter;

use crate::body::{Body, BodyError};

/// Writes a body to the host. `report` takes the error of a body that ends early while the host still waits for the
/// rest: a host that has seen the end may drop the guest before its next line.
pub(super) async fn send_body(body: Body, writer: BodyWriter, report: fn(&BodyError)) -> Result<(), BodyError> {
    let BodyWriter { mut stream_writer, result_writer, .. } = writer;
    write_chunks(body, &mut stream_writer).await.inspect_err(report)?;
    drop(stream_writer);
    // All bytes have been taken. A host that does not ask how the body ended knows it otherwise.
    let _ = result_writer.write(Ok(None)).await;
    Ok(())
}

async fn write_chunks(mut body: Body, stream: &mut StreamWriter<u8>) -> Result<(), BodyError> {
    while let Some(chunk) = body.next().await {
        if !stream.write_all(chunk?.into()).await.is_empty() {
            return Err(BodyError::new("it is not read any more"));
        }
    }
    Ok(())
}
