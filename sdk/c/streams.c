/* Reads and writes the streams of bodies, and waits for them. */
#include "wasi.h"

/* The size of a piece that is read or written. */
#define PIECE (64 * 1024)

/* Drops the error of a `stream-error`, which these words of a result are. Returns whether the stream had ended. */
static bool is_end(const uint32_t *error) {
  if ((error[0] & 0xff) != 0) return true;
  io_error_drop((int32_t)error[1]);
  return false;
}

/* Reads the next piece, which is not empty. False at the end, and after an error, which coinslot_error tells. */
bool cs_stream_read(int32_t stream, cs_slice *piece) {
  for (;;) {
    cs_area area;
    input_read(stream, PIECE, &area);
    if (area.bytes[0] != 0) {
      if (!is_end(&area.words[1])) cs_set_error("the body ended early");
      return false;
    }
    *piece = (cs_slice){(const char *)(uintptr_t)area.words[1], area.words[2]};
    if (piece->size != 0) return true;
  }
}

/* Waits until some bytes can be written, and returns how many. 0 if the other side has gone. */
static size_t room(int32_t stream) {
  for (;;) {
    cs_area area;
    output_check(stream, &area);
    if (area.bytes[0] != 0) {
      (void)is_end(&area.words[2]);
      return 0;
    }
    if (area.longs[1] != 0) return area.longs[1] > PIECE ? PIECE : (size_t)area.longs[1];
    int32_t pollable = output_subscribe(stream);
    pollable_block(pollable);
    pollable_drop(pollable);
  }
}

/* Writes everything, and waits until it is on its way. False if the other side has gone. */
bool cs_stream_write(int32_t stream, const char *data, size_t size) {
  cs_area area;
  while (size != 0) {
    size_t most = room(stream);
    if (most == 0) return false;
    if (most > size) most = size;
    output_write(stream, data, most, &area);
    if (area.bytes[0] != 0) {
      (void)is_end(&area.words[1]);
      return false;
    }
    data += most;
    size -= most;
  }
  output_flush(stream, &area);
  if (area.bytes[0] != 0) (void)is_end(&area.words[1]);
  return area.bytes[0] == 0;
}
