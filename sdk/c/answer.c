/* Collects the answer that a handler writes, or the price or refusal of a quote. */
#include "internal.h"

/* The longest message of a refusal in a quote, in characters, by the contract. */
#define MAX_MESSAGE 2000

const char *cs_mime_type(const coinslot_endpoint *endpoint) {
  if (endpoint != NULL && endpoint->mime_type != NULL) return endpoint->mime_type;
  return endpoint != NULL && endpoint->returns != NULL ? "application/json" : "text/plain; charset=utf-8";
}

/* True if the answer can no longer change. Says so, because the change is lost. */
static bool is_late(const coinslot_request *request, const char *what) {
  if (request->is_quote)
    coinslot_log_warn("%s has no effect in a quote, which has no answer", what);
  else if (request->is_started)
    coinslot_log_warn("%s comes too late: the head of the answer is sent", what);
  return request->is_quote || request->is_started;
}

void coinslot_status(coinslot_request *request, int status) {
  if (!request->is_refused && !is_late(request, "coinslot_status")) request->status = status;
}

void coinslot_set_header(coinslot_request *request, const char *name, const char *value) {
  if (is_late(request, "coinslot_set_header")) return;
  if (request->fields.count == request->fields_capacity) {
    size_t capacity = request->fields_capacity * 2 + 8;
    cs_pair *grown = CS_NEW(cs_pair, capacity);
    cs_copy_bytes(grown, request->fields.items, request->fields.count * sizeof(cs_pair));
    request->fields.items = grown;
    request->fields_capacity = capacity;
  }
  char *copy = cs_copy(name, cs_length(name));
  for (char *at = copy; *at != 0; at++) *at = *at >= 'A' && *at <= 'Z' ? (char)(*at + 32) : *at;
  size_t size = cs_length(value);
  request->fields.items[request->fields.count++] = (cs_pair){cs_slice_of(copy), {cs_copy(value, size), size}};
}

void coinslot_write(coinslot_request *request, const void *data, size_t size) {
  if (!request->is_refused && !request->is_quote) cs_append(&request->out, data, size);
}

void coinslot_text(coinslot_request *request, const char *text) { coinslot_write(request, text, cs_length(text)); }

void coinslot_print(coinslot_request *request, const char *format, ...) {
  if (request->is_refused || request->is_quote) return;
  va_list arguments;
  va_start(arguments, format);
  cs_append_format(&request->out, format, arguments);
  va_end(arguments);
}

/* A copy in which a line does not end. A name or a value often comes from a caller, who could add lines of his own. */
static const char *one_line(const char *text) {
  char *copy = cs_copy(text, cs_length(text));
  for (char *at = copy; *at != 0; at++) *at = *at == '\n' || *at == '\r' ? ' ' : *at;
  return copy;
}

const char *coinslot_field(const char *name, const char *value) {
  return coinslot_format("%s: %s\n", one_line(name), one_line(value));
}

bool coinslot_event(coinslot_request *request, const char *name, const char *data) {
  if (name != NULL) coinslot_print(request, "event: %s\n", one_line(name));
  for (const char *at = data == NULL ? "" : data;;) {
    size_t size = 0;
    while (at[size] != 0 && at[size] != '\n' && at[size] != '\r') size++;
    coinslot_print(request, "data: %.*s\n", (int)size, at);
    at += size;
    if (*at == 0) break;
    at += at[0] == '\r' && at[1] == '\n' ? 2 : 1;
  }
  coinslot_text(request, "\n");
  return coinslot_flush(request);
}

static bool is_code(const char *code) {
  for (const char *at = code; at != NULL && *at != 0; at++) {
    bool is_letter = (*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9') || *at == '_';
    if (!is_letter) return false;
  }
  return cs_length(code) > 0 && cs_length(code) <= 64;
}

/* A message that the contract takes: UTF-8, at most so many characters. */
static cs_slice message_of(const char *message) {
  cs_text text = {0};
  cs_append_utf8(&text, message, cs_length(message));
  size_t size = 0;
  for (int i = 0; i < MAX_MESSAGE && size < text.size; i++) size += cs_utf8_length(text.data + size, text.size - size);
  return (cs_slice){cs_finished(&text).data, size};
}

void coinslot_refuse(coinslot_request *request, int status, const char *code, const char *message) {
  if (!request->is_quote && is_late(request, "coinslot_refuse")) return;
  int most = request->is_quote ? 499 : 599;
  if (status < 400 || status > most || status == 402) {
    coinslot_log_error("coinslot_refuse: the status is from 400 to %d and not 402, and %d is neither", most, status);
    status = request->is_quote ? 400 : 500;
  }
  if (!is_code(code)) {
    coinslot_log_error("coinslot_refuse: `%s` is no code: use lower-case letters, digits and _", code);
    code = "refused";
  }
  request->is_refused = true;
  request->status = status;
  request->code = cs_slice_of(cs_copy(code, cs_length(code)));
  request->message = message_of(message);
  request->facts = (cs_pairs){0};
  request->depth = 0;
  request->out.size = 0;
  cs_append_text(&request->out, "{\"error\":");
  cs_append_json_string(&request->out, request->code.data, request->code.size);
  cs_append_text(&request->out, ",\"message\":");
  cs_append_json_string(&request->out, request->message.data, request->message.size);
  cs_append_text(&request->out, "}");
}

/* Adds a fact to a refusal, to the body of an answer and to what a quote returns. */
static void add_fact(coinslot_request *request, const char *name, const char *text) {
  cs_text value = {0};
  cs_append_utf8(&value, text, cs_length(text));
  if (value.size == 0) return;
  cs_pair *facts = CS_NEW(cs_pair, request->facts.count + 1);
  cs_copy_bytes(facts, request->facts.items, request->facts.count * sizeof(cs_pair));
  facts[request->facts.count++] = (cs_pair){cs_slice_of(name), cs_finished(&value)};
  request->facts.items = facts;
  request->out.size--;
  cs_append_text(&request->out, ",\"");
  cs_append_text(&request->out, name);
  cs_append_text(&request->out, "\":");
  cs_append_json_string(&request->out, value.data, value.size);
  cs_append_text(&request->out, "}");
}

void coinslot_refuse_at(coinslot_request *request, int status, const char *code, const char *message,
                        const char *pointer, const char *rule) {
  coinslot_refuse(request, status, code, message);
  if (!request->is_refused || (!request->is_quote && request->is_started)) return;
  add_fact(request, "pointer", pointer);
  add_fact(request, "code", rule);
}

void coinslot_set_price(coinslot_request *request, const char *price) {
  if (!request->is_quote) {
    coinslot_log_warn("coinslot_set_price has no effect in a handler: call it in the function of coinslot_quote");
    return;
  }
  request->price = cs_copy(price, cs_length(price));
}
