/*
 * Exports the quote of a request. A plugin without coinslot_quote is linked without this file: the host calls the
 * export before each payment of a plugin that has it.
 */
#include "internal.h"

void coinslot_quote(coinslot_endpoint *endpoint, coinslot_function *function) { endpoint->quote = function; }

/* The records of `quote`. */
typedef struct {
  uint8_t is_refused;
  union {
    struct {
      uint8_t has_amount;
      cs_slice amount;
      cs_pairs extensions;
    } quotation;
    struct {
      uint16_t status;
      cs_slice code;
      cs_slice message;
      cs_pairs extensions;
    } refusal;
  } value;
} quoted;

static const coinslot_endpoint *endpoint_of(const char *method, const char *route) {
  size_t count;
  const coinslot_endpoint *endpoints = cs_endpoints(&count);
  for (size_t i = 0; i < count; i++) {
    bool is_it = cs_is(cs_slice_of(endpoints[i].method), method) && cs_is(cs_slice_of(endpoints[i].path), route);
    if (is_it) return &endpoints[i];
  }
  coinslot_log_error("a quote was asked for %s %s, which is not declared", method, route);
  __builtin_trap();
}

/* The declared price of an endpoint whose function set none. */
static const char *declared(const coinslot_endpoint *endpoint) {
  const char *price = endpoint->price;
  if (endpoint->quote != NULL && cs_length(price) > 7 && cs_equal((cs_slice){price, 7}, cs_slice_of("quoted "))) {
    coinslot_log_error("%s: its quote called neither coinslot_set_price nor coinslot_refuse", cs_label(endpoint));
    __builtin_trap();
  }
  return price;
}

/* True for zero in whatever digits: no price that a host could ask for. */
static bool is_zero(cs_slice price) {
  size_t size = 0;
  while (size < price.size && (price.data[size] == '0' || price.data[size] == '.')) size++;
  return size > 0 && (size == price.size || price.data[size] == ' ');
}

CS_EXPORT("coinslot:plugin/quote@0.2.0#quote")
quoted *cs_quote(const char *method, size_t method_size, const char *route, size_t route_size, cs_pair *params,
                 size_t params_count, int32_t has_query, const char *query, size_t query_size, cs_pair *headers,
                 size_t headers_count, const char *body, size_t body_size, cs_pair *extensions,
                 size_t extensions_count) {
  static quoted result;
  (void)extensions, (void)extensions_count;
  coinslot_request request = {.method = cs_copy(method, method_size),
                              .path = cs_copy(route, route_size),
                              .query = has_query ? cs_copy(query, query_size) : NULL,
                              .params = {params, params_count},
                              .headers = {headers, headers_count},
                              .body_is_whole = true,
                              .is_quote = true,
                              .incoming = -1,
                              .incoming_body = -1,
                              .incoming_stream = -1};
  cs_append(&request.body, body, body_size);
  for (size_t i = 0; i < params_count; i++) {
    cs_text value = {0};
    cs_append_utf8(&value, params[i].value.data, params[i].value.size);
    params[i].value = cs_finished(&value);
  }
  request.endpoint = endpoint_of(request.method, request.path);
  if (request.endpoint->quote != NULL) request.endpoint->quote(&request);
  result = (quoted){.is_refused = request.is_refused};
  if (request.is_refused) {
    result.value.refusal.status = (uint16_t)request.status;
    result.value.refusal.code = request.code;
    result.value.refusal.message = request.message;
    result.value.refusal.extensions = request.facts;
    return &result;
  }
  cs_slice price = cs_slice_of(request.price != NULL ? request.price : declared(request.endpoint));
  result.value.quotation.has_amount = !cs_is(price, "free") && !is_zero(price);
  result.value.quotation.amount = price;
  return &result;
}

CS_EXPORT("cabi_post_coinslot:plugin/quote@0.2.0#quote") void cs_quoted(quoted *result) {
  (void)result;
  cs_release_all();
}
