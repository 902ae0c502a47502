/*
 * Finds the endpoint of a request, and reads parameters and query.
 *
 * A Coinslot host has routed the request already. Under any other server of wasi:http this is the router, with the same
 * rules: a literal segment comes before a parameter, and a parameter before the rest of the path.
 */
#include "internal.h"

static int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* Percent-decoded text; in a form a plus is a space. */
cs_slice cs_decoded(const char *data, size_t size, bool is_form) {
  cs_text bytes = {0}, text = {0};
  for (size_t i = 0; i < size; i++) {
    bool is_escape = data[i] == '%' && size - i > 2 && hex_value(data[i + 1]) >= 0 && hex_value(data[i + 2]) >= 0;
    if (is_escape) {
      cs_append_char(&bytes, (char)(hex_value(data[i + 1]) << 4 | hex_value(data[i + 2])));
      i += 2;
    } else {
      cs_append_char(&bytes, is_form && data[i] == '+' ? ' ' : data[i]);
    }
  }
  cs_append_utf8(&text, bytes.data, bytes.size);
  return cs_finished(&text);
}

static size_t segment(const char *at) {
  size_t size = 0;
  while (at[size] != 0 && at[size] != '/') size++;
  return size;
}

/* How a template matches a path: a letter for each segment, the better match first in the alphabet. */
typedef struct {
  cs_pairs params;
  cs_text rank;
} match;

static bool matches(const char *route, const char *path, match *found) {
  size_t most = 1;
  for (const char *at = route; *at != 0; at++) most += *at == '{';
  found->params.items = CS_NEW(cs_pair, most);
  while (*route == '/' && *path == '/') {
    size_t expected = segment(++route), given = segment(++path);
    if (route[0] == '{' && expected > 2) {
      bool is_rest = route[1] == '*';
      size_t skipped = is_rest ? 2 : 1;
      if (is_rest) given = cs_length(path);
      if (given == 0) return false;
      cs_pair param = {{route + skipped, expected - skipped - 1}, cs_decoded(path, given, false)};
      found->params.items[found->params.count++] = param;
      cs_append_char(&found->rank, is_rest ? 'c' : 'b');
    } else {
      if (!cs_equal((cs_slice){route, expected}, (cs_slice){path, given})) return false;
      cs_append_char(&found->rank, 'a');
    }
    route += expected;
    path += given;
  }
  return *route == 0 && *path == 0;
}

static bool is_better(const match *one, const match *other) {
  for (size_t i = 0; i < one->rank.size && i < other->rank.size; i++) {
    if (one->rank.data[i] != other->rank.data[i]) return one->rank.data[i] < other->rank.data[i];
  }
  return false;
}

/* The endpoint of method and path, with the request's parameters; NULL if there is none. HEAD is GET. */
const coinslot_endpoint *cs_route(coinslot_request *request, bool *is_path_known) {
  size_t count;
  const coinslot_endpoint *endpoints = cs_endpoints(&count), *found = NULL;
  const char *method = cs_is(cs_slice_of(request->method), "HEAD") ? "GET" : request->method;
  match best = {{0}, {0}};
  *is_path_known = false;
  for (size_t i = 0; i < count; i++) {
    match tried = {{0}, {0}};
    if (endpoints[i].path == NULL || !matches(endpoints[i].path, request->path, &tried)) continue;
    *is_path_known = true;
    if (!cs_is(cs_slice_of(endpoints[i].method), method)) continue;
    if (found == NULL || is_better(&tried, &best)) {
      found = &endpoints[i];
      best = tried;
    }
  }
  request->params = best.params;
  return found;
}

const char *coinslot_method(const coinslot_request *request) { return request->method; }

const char *coinslot_path(const coinslot_request *request) { return request->path; }

const char *coinslot_raw_query(const coinslot_request *request) { return request->query; }

const char *coinslot_param(const coinslot_request *request, const char *name) {
  for (size_t i = 0; i < request->params.count; i++) {
    if (cs_is(request->params.items[i].name, name)) return request->params.items[i].value.data;
  }
  return NULL;
}

const char *coinslot_query(const coinslot_request *request, const char *name) {
  return coinslot_query_at(request, name, 0);
}

const char *coinslot_query_at(const coinslot_request *request, const char *name, size_t index) {
  for (const char *at = request->query; at != NULL && *at != 0;) {
    size_t size = 0, equals = 0;
    while (at[size] != 0 && at[size] != '&') size++;
    while (equals < size && at[equals] != '=') equals++;
    if (size != 0 && cs_is(cs_decoded(at, equals, true), name) && index-- == 0) {
      size_t begin = equals < size ? equals + 1 : size;
      return cs_decoded(at + begin, size - begin, true).data;
    }
    at += at[size] == '&' ? size + 1 : size;
  }
  return NULL;
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

const char *coinslot_header(const coinslot_request *request, const char *name) {
  for (size_t i = 0; i < request->headers.count; i++) {
    const cs_pair *field = &request->headers.items[i];
    size_t at = 0;
    while (at < field->name.size && lower(field->name.data[at]) == lower(name[at])) at++;
    if (at < field->name.size || name[at] != 0) continue;
    cs_text value = {0};
    cs_append_utf8(&value, field->value.data, field->value.size);
    return cs_finished(&value).data;
  }
  return NULL;
}
