"""An upload that is read piece by piece, so that its size does not matter to the plugin's memory.

coinslot pay http://127.0.0.1:8402/crc32 -d @video.mp4 -H 'content-type: application/octet-stream'
"""

import zlib
from dataclasses import dataclass

from coinslot import Refusal, Request, post


@dataclass
class Checksum:
    bytes: int
    crc32: str


@post("/crc32", price="0.002")
def crc32(request: Request) -> Checksum:
    """The CRC-32 of a file"""
    crc, size = 0, 0
    for piece in request.stream():
        crc = zlib.crc32(piece, crc)
        size += len(piece)
    if size == 0:
        raise Refusal(400, "empty_file", "send the file as the body")
    return Checksum(bytes=size, crc32=f"{crc:08x}")
