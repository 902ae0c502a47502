//! An answer of bytes: a tone as a sound file (WAV, 16 bits, mono).
//!
//! ```sh
//! coinslot pay 'http://127.0.0.1:8402/tone?hertz=440' > tone.wav
//! ```

use coinslot_sdk::{Query, endpoint, model};

const RATE: u32 = 8_000;

#[model]
#[serde(default)]
struct Tone {
    #[schemars(range(min = 20, max = 4_000))]
    hertz: u32,
    #[schemars(range(min = 10, max = 5_000))]
    milliseconds: u32,
}

impl Default for Tone {
    fn default() -> Self {
        Self { hertz: 440, milliseconds: 250 }
    }
}

#[endpoint(get, "/tone", price = "0.001", summary = "A tone as a WAV file", mime_type = "audio/wav")]
fn tone(Query(tone): Query<Tone>) -> Vec<u8> {
    let step = std::f32::consts::TAU * tone.hertz as f32 / RATE as f32;
    let count = RATE * tone.milliseconds / 1_000;
    let samples: Vec<u8> =
        (0..count).flat_map(|i| ((12_000.0 * (step * i as f32).sin()) as i16).to_le_bytes()).collect();
    // PCM and one channel; samples and bytes in a second; bytes and bits of a sample.
    let form = [1 | 1 << 16, RATE, 2 * RATE, 2 | 16 << 16].map(u32::to_le_bytes).concat();
    let parts = [b"WAVE".to_vec(), chunk(b"fmt ", &form), chunk(b"data", &samples)].concat();
    chunk(b"RIFF", &parts)
}

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    [&name[..], &(data.len() as u32).to_le_bytes(), data].concat()
}
