/* Calls the host's other interfaces: payment, configuration, log and key-value store. */
#include "internal.h"

#define PLUGIN(interface) "coinslot:plugin/" interface "@0.2.0"
#define STORE "wasi:keyvalue/store@0.2.0-draft"

CS_IMPORT(PLUGIN("payment"), "current") void payment_current(cs_area *result);
CS_IMPORT(PLUGIN("usage"), "charge") void usage_charge(const char *amount, size_t size, cs_area *result);
CS_IMPORT("wasi:config/store@0.2.0-rc.1", "get") void config_get(const char *key, size_t size, cs_area *result);
CS_IMPORT("wasi:cli/stderr@0.2.12", "get-stderr") int32_t get_stderr(void);
CS_IMPORT("wasi:io/streams@0.2.12", "[method]output-stream.blocking-write-and-flush")
void log_write(int32_t self, const char *data, size_t size, cs_area *result);
CS_IMPORT("wasi:io/streams@0.2.12", "[resource-drop]output-stream") void log_drop(int32_t self);
CS_IMPORT("wasi:io/error@0.2.12", "[resource-drop]error") void log_error_drop(int32_t self);
CS_IMPORT(STORE, "open") void store_open(const char *name, size_t size, cs_area *result);
CS_IMPORT(STORE, "[method]bucket.get") void bucket_get(int32_t self, const char *key, size_t size, cs_area *result);
CS_IMPORT(STORE, "[method]bucket.set")
void bucket_set(int32_t self, const char *key, size_t size, const void *value, size_t value_size, cs_area *result);
CS_IMPORT(STORE, "[method]bucket.delete")
void bucket_delete(int32_t self, const char *key, size_t size, cs_area *result);
CS_IMPORT(STORE, "[method]bucket.list-keys")
void bucket_list_keys(int32_t self, int32_t has_cursor, int64_t cursor, cs_area *result);
CS_IMPORT(STORE, "[resource-drop]bucket") void bucket_drop(int32_t self);
CS_IMPORT("wasi:keyvalue/atomics@0.2.0-draft", "increment")
void atomics_increment(int32_t bucket, const char *key, size_t size, int64_t delta, cs_area *result);
CS_IMPORT("coinslot:keyvalue/atomics@0.1.0", "compare-and-swap")
void atomics_swap(int32_t bucket, const char *key, size_t size, int32_t has_expected, const void *expected,
                  size_t expected_size, int32_t has_value, const void *value, size_t value_size, cs_area *result);

/* The longest piece that `blocking-write-and-flush` takes. */
#define LOG_PIECE 4096

struct coinslot_bucket {
  int32_t handle;
  coinslot_bucket *before;
};

static coinslot_bucket *opened;

static const char *text_at(const cs_area *area, int word) {
  return cs_copy((const char *)(uintptr_t)area->words[word], area->words[word + 1]);
}

const coinslot_receipt *coinslot_payment(void) {
  cs_area area;
  payment_current(&area);
  if (area.bytes[0] == 0) return NULL;
  coinslot_receipt *receipt = CS_NEW(coinslot_receipt, 1);
  *receipt = (coinslot_receipt){
      .payer = text_at(&area, 1),
      .amount = text_at(&area, 3),
      .asset = text_at(&area, 5),
      .network = text_at(&area, 7),
      .payment_id = text_at(&area, 9),
  };
  return receipt;
}

bool coinslot_charge(const char *amount) {
  cs_area area;
  usage_charge(amount, cs_length(amount), &area);
  cs_set_error(area.bytes[0] == 0 ? NULL : text_at(&area, 1));
  return area.bytes[0] == 0;
}

const char *coinslot_config(const char *key) {
  cs_area area;
  config_get(key, cs_length(key), &area);
  if (area.bytes[0] != 0) {
    cs_set_error(text_at(&area, 2));
    return NULL;
  }
  cs_set_error(NULL);
  return area.bytes[4] != 0 ? text_at(&area, 2) : NULL;
}

/* Writes one line, whatever control characters are in the text. */
static void log_line(const char *level, const char *format, va_list arguments) {
  cs_text line = {0};
  cs_append_text(&line, level);
  cs_append_format(&line, format, arguments);
  for (size_t i = 0; i < line.size; i++) {
    if ((unsigned char)line.data[i] < 0x20 || line.data[i] == 0x7f) line.data[i] = ' ';
  }
  cs_append_char(&line, '\n');
  int32_t stream = get_stderr();
  for (size_t sent = 0; sent < line.size;) {
    cs_area area;
    size_t size = line.size - sent < LOG_PIECE ? line.size - sent : LOG_PIECE;
    log_write(stream, line.data + sent, size, &area);
    if (area.bytes[0] != 0) {
      if ((area.words[1] & 0xff) == 0) log_error_drop((int32_t)area.words[2]);
      break;
    }
    sent += size;
  }
  log_drop(stream);
}

#define LOG(level)                    \
  va_list arguments;                  \
  va_start(arguments, format);        \
  log_line(level, format, arguments); \
  va_end(arguments)

void coinslot_log_info(const char *format, ...) { LOG("info: "); }

void coinslot_log_warn(const char *format, ...) { LOG("warn: "); }

void coinslot_log_error(const char *format, ...) { LOG("error: "); }

/* Whether a call of the store succeeded. Its error stands from this word on. */
static bool succeeded(const cs_area *area, int word) {
  static const char *const names[] = {"there is no such store", "the operator has not granted the key-value store"};
  uint8_t error = area->bytes[word * 4];
  if (area->bytes[0] == 0)
    cs_set_error(NULL);
  else
    cs_set_error(error < 2 ? names[error] : text_at(area, word + 1));
  return area->bytes[0] == 0;
}

/* Keys are strings of the component model, which are UTF-8. */
static bool is_key(const coinslot_bucket *bucket, const char *key) {
  size_t size = cs_length(key), at = 0;
  for (size_t length = 1; at < size && length != 0; at += length) length = cs_utf8_length(key + at, size - at);
  /* The reason why a bucket was not opened stays. */
  if (bucket == NULL && coinslot_error() == NULL) cs_set_error("there is no bucket");
  if (bucket != NULL) cs_set_error(at < size ? "the key is not UTF-8" : NULL);
  return bucket != NULL && at == size;
}

/* Nothing refers to the store in a plugin that opens no bucket, so such a plugin does not import it. */
static void close_buckets(void) {
  for (; opened != NULL; opened = opened->before) bucket_drop(opened->handle);
}

coinslot_bucket *coinslot_bucket_open(const char *name) {
  cs_area area;
  store_open(name, cs_length(name), &area);
  if (!succeeded(&area, 1)) return NULL;
  coinslot_bucket *bucket = CS_NEW(coinslot_bucket, 1);
  *bucket = (coinslot_bucket){(int32_t)area.words[1], opened};
  opened = bucket;
  cs_before_release(close_buckets);
  return bucket;
}

const char *coinslot_kv_get(coinslot_bucket *bucket, const char *key, size_t *size) {
  cs_area area;
  if (size != NULL) *size = 0;
  if (!is_key(bucket, key)) return NULL;
  bucket_get(bucket->handle, key, cs_length(key), &area);
  if (!succeeded(&area, 1) || area.bytes[4] == 0) return NULL;
  if (size != NULL) *size = area.words[3];
  return text_at(&area, 2);
}

bool coinslot_kv_set(coinslot_bucket *bucket, const char *key, const void *value, size_t size) {
  cs_area area;
  if (!is_key(bucket, key)) return false;
  bucket_set(bucket->handle, key, cs_length(key), value, size, &area);
  return succeeded(&area, 1);
}

bool coinslot_kv_delete(coinslot_bucket *bucket, const char *key) {
  cs_area area;
  if (!is_key(bucket, key)) return false;
  bucket_delete(bucket->handle, key, cs_length(key), &area);
  return succeeded(&area, 1);
}

uint64_t coinslot_kv_increment(coinslot_bucket *bucket, const char *key, uint64_t delta) {
  cs_area area;
  if (!is_key(bucket, key)) return 0;
  atomics_increment(bucket->handle, key, cs_length(key), (int64_t)delta, &area);
  return succeeded(&area, 2) ? area.longs[1] : 0;
}

bool coinslot_kv_swap(coinslot_bucket *bucket, const char *key, const void *expected, size_t expected_size,
                      const void *value, size_t size) {
  cs_area area;
  if (!is_key(bucket, key)) return false;
  atomics_swap(bucket->handle, key, cs_length(key), expected != NULL, expected, expected == NULL ? 0 : expected_size,
               value != NULL, value, value == NULL ? 0 : size, &area);
  return succeeded(&area, 1) && area.bytes[4] != 0;
}

const char *const *coinslot_kv_keys(coinslot_bucket *bucket, uint64_t *cursor, size_t *count) {
  cs_area area;
  size_t found;
  if (count == NULL) count = &found;
  *count = 0;
  if (!is_key(bucket, "")) return NULL;
  bucket_list_keys(bucket->handle, *cursor != 0, (int64_t)*cursor, &area);
  if (!succeeded(&area, 2)) return NULL;
  const cs_slice *keys = (const cs_slice *)(uintptr_t)area.words[2];
  *count = area.words[3];
  *cursor = area.bytes[16] != 0 ? area.longs[3] : 0;
  const char **names = CS_NEW(const char *, *count + 1);
  for (size_t i = 0; i < *count; i++) names[i] = cs_copy(keys[i].data, keys[i].size);
  names[*count] = NULL;
  return names;
}
