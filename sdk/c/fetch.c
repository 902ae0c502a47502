/*
 * Sends requests to other servers. The operator grants each origin by its name, and may add a secret that the plugin
 * does not see.
 */
#include "wasi.h"

/* The cases of `error-code`. */
static const char *const errors[] = {"DNS timeout",
                                     "DNS error",
                                     "destination not found",
                                     "destination unavailable",
                                     "destination IP prohibited",
                                     "destination IP unroutable",
                                     "connection refused",
                                     "connection terminated",
                                     "connection timeout",
                                     "connection read timeout",
                                     "connection write timeout",
                                     "connection limit reached",
                                     "TLS protocol error",
                                     "TLS certificate error",
                                     "TLS alert received",
                                     "denied: the operator has not granted this origin",
                                     "request length required",
                                     "request body too large",
                                     "request method invalid",
                                     "request URI invalid",
                                     "request URI too long",
                                     "request headers too large",
                                     "request header too large",
                                     "request trailers too large",
                                     "request trailer too large",
                                     "response incomplete",
                                     "response headers too large",
                                     "response header too large",
                                     "response body too large",
                                     "response trailers too large",
                                     "response trailer too large",
                                     "response transfer coding unknown",
                                     "response content coding unknown",
                                     "response timeout",
                                     "upgrade failed",
                                     "protocol error",
                                     "loop detected",
                                     "configuration error",
                                     "internal error"};

static void set_code(uint8_t code) {
  cs_set_error(code < sizeof(errors) / sizeof(errors[0]) ? errors[code] : "unknown error");
}

/* Adds the fields of lines such as `accept: text/plain`. */
static bool add_fields(int32_t fields, const char *lines) {
  for (const char *at = lines; at != NULL && *at != 0;) {
    size_t size = 0, name = 0;
    while (at[size] != 0 && at[size] != '\n') size++;
    while (name < size && at[name] != ':') name++;
    size_t begin = name < size ? name + 1 : size, end = size;
    while (begin < end && at[begin] == ' ') begin++;
    while (end > begin && (at[end - 1] == '\r' || at[end - 1] == ' ')) end--;
    cs_area area;
    fields_append(fields, at, name, at + begin, end - begin, &area);
    if (area.bytes[0] != 0) {
      cs_set_error(coinslot_format("this is no header field for a plugin to send: %.*s", (int)size, at));
      return false;
    }
    at += at[size] == 0 ? size : size + 1;
  }
  return true;
}

static bool begins_with(const char *text, const char *begin) {
  size_t size = cs_length(begin);
  return cs_length(text) >= size && cs_equal((cs_slice){text, size}, (cs_slice){begin, size});
}

/* Sets method and URL of a request. */
static bool address(int32_t request, const char *method, const char *url) {
  int32_t kind = 0;
  while (kind < 9 && !cs_is(cs_slice_of(method), cs_methods[kind])) kind++;
  bool is_tls = begins_with(url, "https://");
  if (!is_tls && !begins_with(url, "http://")) {
    cs_set_error("the URL begins with neither https:// nor http://");
    return false;
  }
  const char *authority = url + (is_tls ? 8 : 7);
  size_t host = 0;
  while (authority[host] != 0 && authority[host] != '/' && authority[host] != '?' && authority[host] != '#') host++;
  const char *path = authority + host;
  size_t size = 0;
  while (path[size] != 0 && path[size] != '#') size++;
  const char *target = coinslot_format("%s%.*s", *path == '/' ? "" : "/", (int)size, path);
  bool is_set = outgoing_request_set_method(request, kind, method, kind < 9 ? 0 : cs_length(method)) == 0 &&
                outgoing_request_set_scheme(request, 1, is_tls, NULL, 0) == 0 &&
                outgoing_request_set_authority(request, 1, authority, host) == 0 &&
                outgoing_request_set_path(request, 1, target, cs_length(target)) == 0;
  if (!is_set) cs_set_error("the method or the URL is not valid");
  return is_set;
}

/* Waits for the head of the answer, and returns its handle; -1 on an error. */
static int32_t wait_for(int32_t future) {
  int32_t pollable = future_subscribe(future);
  pollable_block(pollable);
  pollable_drop(pollable);
  cs_area area;
  future_get(future, &area);
  future_drop(future);
  /* option<result<result<incoming-response, error-code>>>, each with its tag. */
  if (area.bytes[16] != 0) set_code(area.bytes[24]);
  return area.bytes[16] != 0 ? -1 : (int32_t)area.words[6];
}

static const coinslot_response *read_response(int32_t handle) {
  coinslot_response *response = CS_NEW(coinslot_response, 1);
  cs_area area;
  int32_t fields = incoming_response_headers(handle);
  fields_entries(fields, &area);
  fields_drop(fields);
  cs_pairs *headers = CS_NEW(cs_pairs, 1);
  *headers = (cs_pairs){(cs_pair *)(uintptr_t)area.words[0], area.words[1]};
  cs_text body = {0};
  incoming_response_consume(handle, &area);
  int32_t incoming = (int32_t)area.words[1];
  incoming_body_stream(incoming, &area);
  int32_t stream = (int32_t)area.words[1];
  for (cs_slice piece; cs_stream_read(stream, &piece);) cs_append(&body, piece.data, piece.size);
  input_drop(stream);
  incoming_body_drop(incoming);
  *response = (coinslot_response){.status = incoming_response_status(handle),
                                  .body = cs_finished(&body).data,
                                  .size = body.size,
                                  .headers = headers};
  incoming_response_drop(handle);
  return coinslot_error() == NULL ? response : NULL;
}

const coinslot_response *coinslot_fetch(const char *method, const char *url, const char *headers, const void *body,
                                        size_t size) {
  cs_set_error(NULL);
  int32_t fields = fields_new();
  bool has_fields = add_fields(fields, headers);
  if (has_fields && size != 0) {
    const char *length = coinslot_format("%zu", size);
    cs_area area;
    fields_append(fields, "content-length", 14, length, cs_length(length), &area);
  }
  int32_t request = outgoing_request_new(fields);
  if (!has_fields || !address(request, method, url)) {
    outgoing_request_drop(request);
    return NULL;
  }
  cs_area area;
  outgoing_request_body(request, &area);
  int32_t outgoing = (int32_t)area.words[1];
  outgoing_handle(request, 0, 0, &area);
  if (area.bytes[0] != 0) {
    set_code(area.bytes[8]);
    outgoing_body_drop(outgoing);
    return NULL;
  }
  int32_t future = (int32_t)area.words[2];
  outgoing_body_write(outgoing, &area);
  int32_t stream = (int32_t)area.words[1];
  /* A server may answer before it has read everything. */
  (void)cs_stream_write(stream, body, size);
  output_drop(stream);
  outgoing_body_finish(outgoing, 0, 0, &area);
  int32_t response = wait_for(future);
  return response < 0 ? NULL : read_response(response);
}

const char *coinslot_response_header(const coinslot_response *response, const char *name) {
  coinslot_request fields = {.headers = *(const cs_pairs *)response->headers};
  return coinslot_header(&fields, name);
}
