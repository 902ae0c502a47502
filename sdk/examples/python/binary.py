"""An answer of bytes: a tone as a sound file (WAV, 16 bits, mono).

coinslot pay 'http://127.0.0.1:8402/tone?hertz=440' > tone.wav
"""

import math
import struct
from typing import Annotated

from coinslot import Range, get

RATE = 8_000


@get("/tone", price="0.001", mime_type="audio/wav")
def tone(hertz: Annotated[int, Range(20, 4_000)] = 440, milliseconds: Annotated[int, Range(10, 5_000)] = 250) -> bytes:
    """A tone as a WAV file"""
    count = RATE * milliseconds // 1_000
    waves = (int(12_000 * math.sin(2 * math.pi * hertz * i / RATE)) for i in range(count))
    samples = struct.pack(f"<{count}h", *waves)
    # PCM, one channel, samples and bytes in a second, bytes and bits of a sample.
    form = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
    parts = b"WAVE" + chunk(b"fmt ", form) + chunk(b"data", samples)
    return chunk(b"RIFF", parts)


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data
