//! An upload that is read piece by piece, so that its size does not matter to the plugin's memory.
//!
//! ```sh
//! coinslot pay http://127.0.0.1:8402/crc32 -d @video.mp4 -H 'content-type: application/octet-stream'
//! ```

use coinslot_sdk::{Body, Json, Refusal, Result, endpoint, model};

#[model]
struct Checksum {
    bytes: usize,
    crc32: String,
}

const TABLE: [u32; 256] = table();

#[endpoint(post, "/crc32", price = "0.002", summary = "The CRC-32 of a file")]
async fn crc32(mut file: Body) -> Result<Json<Checksum>> {
    let (mut crc, mut bytes) = (u32::MAX, 0);
    while let Some(piece) = file.next().await {
        let piece = piece?;
        crc = piece.iter().fold(crc, |crc, byte| crc >> 8 ^ TABLE[(crc as u8 ^ byte) as usize]);
        bytes += piece.len();
    }
    if bytes == 0 {
        Err(Refusal::bad_request("empty_file", "send the file as the body"))?;
    }
    Ok(Json(Checksum { bytes, crc32: format!("{:08x}", !crc) }))
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut value, mut bit) = (byte as u32, 0);
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
}
