/*
 * Exports the handler of wasi:http, and moves bodies in and out.
 *
 * The answer is collected and sent with its length when the handler returns, unless the handler sends parts of it
 * before. Resources are dropped in the order that wasi:http asks for: streams before their bodies, bodies before their
 * messages.
 */
#include "wasi.h"

const char *const cs_methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};

static const char *method_name(const cs_area *method) {
  if (method->bytes[0] < 9) return cs_methods[method->bytes[0]];
  return cs_copy((const char *)(uintptr_t)method->words[1], method->words[2]);
}

/* Reads the head of a request. */
static void read_head(coinslot_request *request) {
  cs_area area;
  request_method(request->incoming, &area);
  request->method = method_name(&area);
  request_path(request->incoming, &area);
  cs_slice target = {"/", 1};
  if (area.bytes[0] != 0) target = (cs_slice){(const char *)(uintptr_t)area.words[1], area.words[2]};
  size_t path = 0;
  while (path < target.size && target.data[path] != '?') path++;
  request->path = cs_copy(target.data, path);
  if (path < target.size) request->query = cs_copy(target.data + path + 1, target.size - path - 1);
  int32_t fields = request_headers(request->incoming);
  fields_entries(fields, &area);
  request->headers = (cs_pairs){(cs_pair *)(uintptr_t)area.words[0], area.words[1]};
  fields_drop(fields);
}

static void open_body(coinslot_request *request) {
  cs_area area;
  request_consume(request->incoming, &area);
  if (area.bytes[0] != 0) return;
  request->incoming_body = (int32_t)area.words[1];
  incoming_body_stream(request->incoming_body, &area);
  if (area.bytes[0] == 0) request->incoming_stream = (int32_t)area.words[1];
}

static void close_body(coinslot_request *request) {
  if (request->incoming_stream >= 0) input_drop(request->incoming_stream);
  if (request->incoming_body >= 0) incoming_body_drop(request->incoming_body);
  request->incoming_stream = request->incoming_body = -1;
}

const char *coinslot_read(coinslot_request *request, size_t *size) {
  cs_set_error(NULL);
  if (size != NULL) *size = 0;
  if (request->body_is_whole) return NULL;
  if (request->incoming_body < 0) open_body(request);
  cs_slice piece;
  if (request->incoming_stream >= 0 && cs_stream_read(request->incoming_stream, &piece)) {
    if (size != NULL) *size = piece.size;
    return piece.data;
  }
  close_body(request);
  request->body_is_whole = true;
  return NULL;
}

const char *coinslot_body(coinslot_request *request, size_t *size) {
  size_t piece_size;
  for (const char *piece; (piece = coinslot_read(request, &piece_size)) != NULL;) {
    cs_append(&request->body, piece, piece_size);
  }
  if (coinslot_error() != NULL) request->body = (cs_text){0};
  if (size != NULL) *size = request->body.size;
  return cs_finished(&request->body).data;
}

/* The header fields of the answer as a resource. */
static int32_t make_fields(coinslot_request *request, bool is_whole) {
  int32_t fields = fields_new();
  cs_area area;
  bool has_type = false, has_length = false;
  for (size_t i = 0; i < request->fields.count; i++) {
    cs_pair field = request->fields.items[i];
    has_type = has_type || cs_is(field.name, "content-type");
    has_length = has_length || cs_is(field.name, "content-length");
    fields_append(fields, field.name.data, field.name.size, field.value.data, field.value.size, &area);
    if (area.bytes[0] != 0) coinslot_log_warn("the header %s is not for a plugin to set", field.name.data);
  }
  bool has_body = request->status != 204 && request->status != 304;
  if (!has_type && has_body) {
    bool is_declared = request->endpoint != NULL && request->endpoint->mime_type != NULL;
    bool is_json = request->is_refused || (request->is_json && !is_declared);
    const char *type = is_json ? "application/json" : cs_mime_type(request->endpoint);
    fields_append(fields, "content-type", 12, type, cs_length(type), &area);
  }
  if (is_whole && !has_length && (has_body || request->out.size != 0)) {
    const char *length = coinslot_format("%zu", request->out.size);
    fields_append(fields, "content-length", 14, length, cs_length(length), &area);
  }
  return fields;
}

/* Sends the head of the answer. Its length is known if the body is whole. */
static void send_head(coinslot_request *request, bool is_whole) {
  request->is_started = true;
  if (request->status == 0) request->status = 200;
  int32_t response = response_new(make_fields(request, is_whole));
  if (response_set_status(response, request->status) != 0) {
    coinslot_log_error("%d is no status of HTTP", request->status);
    (void)response_set_status(response, 500);
  }
  cs_area area;
  response_body(response, &area);
  request->outgoing_body = (int32_t)area.words[1];
  outgoing_body_write(request->outgoing_body, &area);
  request->outgoing_stream = (int32_t)area.words[1];
  outparam_set(request->outparam, 0, response, 0, 0, 0, 0, 0, 0);
}

/* Writes what was collected. */
static void send_collected(coinslot_request *request) {
  request->is_gone = !cs_stream_write(request->outgoing_stream, request->out.data, request->out.size);
  request->out.size = 0;
}

bool coinslot_flush(coinslot_request *request) {
  if (request->is_quote || request->is_refused) return false;
  if (!request->is_started) send_head(request, false);
  if (!request->is_gone) send_collected(request);
  return !request->is_gone;
}

/* Sends what is left of the answer, and its end. An answer that was cut short is not finished: the client sees it. */
static void send_end(coinslot_request *request) {
  cs_json_finish(request);
  if (!request->is_started) send_head(request, true);
  if (!request->is_gone) send_collected(request);
  output_drop(request->outgoing_stream);
  if (request->is_gone) {
    outgoing_body_drop(request->outgoing_body);
  } else {
    cs_area area;
    outgoing_body_finish(request->outgoing_body, 0, 0, &area);
  }
}

static void answer(coinslot_request *request) {
  bool is_path_known;
  request->endpoint = cs_route(request, &is_path_known);
  if (request->endpoint == NULL) {
    if (is_path_known)
      coinslot_refuse(request, 405, "method_not_allowed", "This path has no such method.");
    else
      coinslot_refuse(request, 404, "not_found", "There is nothing here.");
    return;
  }
  request->endpoint->handler(request);
  if (request->out.size == 0 && request->status == 0 && !request->is_started) {
    coinslot_log_error("%s: the handler wrote no answer", cs_label(request->endpoint));
    coinslot_refuse(request, 500, "plugin_failed", "The plugin wrote no answer.");
    /* The host counts the answer as a failure of the plugin. */
    coinslot_set_header(request, "x-coinslot-failed", "1");
  }
}

CS_EXPORT("wasi:http/incoming-handler@0.2.12#handle") void cs_handle(int32_t incoming, int32_t outparam) {
  coinslot_request request = {.incoming = incoming,
                              .outparam = outparam,
                              .incoming_body = -1,
                              .incoming_stream = -1,
                              .outgoing_body = -1,
                              .outgoing_stream = -1};
  read_head(&request);
  answer(&request);
  send_end(&request);
  close_body(&request);
  request_drop(incoming);
  cs_release_all();
}
