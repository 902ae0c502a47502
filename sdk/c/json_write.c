/* Writes JSON into an answer, value by value. */
#include "internal.h"

#define MAX_DEPTH 256

void cs_append_json_string(cs_text *text, const char *data, size_t size) {
  cs_append_char(text, '"');
  for (size_t i = 0; i < size;) {
    size_t length = cs_utf8_length(data + i, size - i);
    unsigned char c = (unsigned char)data[i];
    if (length == 0) {
      cs_append_point(text, 0xfffd);
      i++;
      continue;
    }
    if (c == '"' || c == '\\') {
      cs_append_char(text, '\\');
      cs_append_char(text, (char)c);
    } else if (c < 0x20) {
      static const char digits[] = "0123456789abcdef";
      if (c == '\n')
        cs_append_text(text, "\\n");
      else if (c == '\t')
        cs_append_text(text, "\\t");
      else if (c == '\r')
        cs_append_text(text, "\\r");
      else
        cs_append(text, (char[]){'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]}, 6);
    } else {
      cs_append(text, data + i, length);
    }
    i += length;
  }
  cs_append_char(text, '"');
}

static bool is_in_array(const coinslot_request *request) {
  unsigned level = request->depth - 1;
  return (request->arrays[level / 64] >> (level % 64) & 1) != 0;
}

static void open(coinslot_request *request, bool is_array) {
  if (request->depth == MAX_DEPTH) {
    coinslot_log_error("JSON is nested more than %d deep: is a coinslot_end missing?", MAX_DEPTH);
    __builtin_trap();
  }
  uint64_t bit = 1ull << (request->depth % 64);
  uint64_t *word = &request->arrays[request->depth / 64];
  *word = is_array ? *word | bit : *word & ~bit;
  request->depth++;
  request->needs_comma = false;
  cs_append_char(&request->out, is_array ? '[' : '{');
}

/* Writes what comes before a value: a comma, and its name. */
static void begin(coinslot_request *request, const char *name) {
  request->is_json = true;
  if (request->depth == 0 && name != NULL) open(request, false);
  if (request->depth == 0) return;
  if (request->needs_comma) cs_append_char(&request->out, ',');
  request->needs_comma = true;
  if (is_in_array(request)) {
    if (name != NULL) coinslot_log_warn("\"%s\" is in an array, whose elements have no names", name);
  } else {
    if (name == NULL) coinslot_log_warn("a member of an object has no name");
    cs_append_json_string(&request->out, name, cs_length(name));
    cs_append_char(&request->out, ':');
  }
}

void coinslot_begin_object(coinslot_request *request, const char *name) {
  begin(request, name);
  open(request, false);
}

void coinslot_begin_array(coinslot_request *request, const char *name) {
  begin(request, name);
  open(request, true);
}

void coinslot_end(coinslot_request *request) {
  if (request->depth == 0) {
    coinslot_log_warn("coinslot_end: no array or object is open");
    return;
  }
  cs_append_char(&request->out, is_in_array(request) ? ']' : '}');
  request->depth--;
  request->needs_comma = true;
}

void cs_json_finish(coinslot_request *request) {
  while (request->depth > 0) coinslot_end(request);
}

void coinslot_put_string(coinslot_request *request, const char *name, const char *value) {
  begin(request, name);
  cs_append_json_string(&request->out, value, cs_length(value));
}

static void put(coinslot_request *request, const char *name, const char *json) {
  begin(request, name);
  cs_append_text(&request->out, json);
}

void coinslot_put_integer(coinslot_request *request, const char *name, int64_t value) {
  put(request, name, coinslot_format("%lld", (long long)value));
}

void coinslot_put_number(coinslot_request *request, const char *name, double value) {
  if (!__builtin_isfinite(value)) {
    put(request, name, "null");
    return;
  }
  begin(request, name);
  cs_append_shortest(&request->out, value);
}

void coinslot_put_bool(coinslot_request *request, const char *name, bool value) {
  put(request, name, value ? "true" : "false");
}

void coinslot_put_null(coinslot_request *request, const char *name) { put(request, name, "null"); }

void coinslot_put_json(coinslot_request *request, const char *name, const char *json) {
  put(request, name, json == NULL ? "null" : json);
}
