/* Collects the declarations of a plugin, and exports its manifest. */
#include "internal.h"

#ifndef COINSLOT_NAME
#define COINSLOT_NAME NULL
#endif

/* The most endpoints of a plugin, and the largest schema in bytes, by the contract. */
#define MAX_ENDPOINTS 256
#define MAX_SCHEMA 65536
/* 366 days, and the most requests of a pass. */
#define MAX_PASS_SECONDS 31622400
#define MAX_PASS_REQUESTS 1000000

static coinslot_endpoint endpoints[MAX_ENDPOINTS];
/* Where each of them is declared; the file is NULL if that is not known, as in Zig. */
static struct {
  const char *file;
  int line;
} places[MAX_ENDPOINTS];
static size_t endpoint_count;
static const char *plugin_name = COINSLOT_NAME;
static const char *plugin_version = "0.1.0";

/* The declarations are read once in the life of an instance. */
const coinslot_endpoint *cs_endpoints(size_t *count) {
  static bool is_declared;
  if (!is_declared) {
    is_declared = true;
    coinslot_plugin();
  }
  *count = endpoint_count < MAX_ENDPOINTS ? endpoint_count : MAX_ENDPOINTS;
  return endpoints;
}

void coinslot_name(const char *name, const char *version) {
  plugin_name = name;
  plugin_version = version;
}

static coinslot_endpoint *add(const char *method, const char *path, const char *price, const char *summary,
                              coinslot_function *handler) {
  coinslot_endpoint *made = &endpoints[endpoint_count < MAX_ENDPOINTS ? endpoint_count : MAX_ENDPOINTS - 1];
  endpoint_count++;
  *made = (coinslot_endpoint){.method = method, .path = path, .price = price, .summary = summary, .handler = handler};
  return made;
}

coinslot_endpoint *coinslot_get(const char *path, const char *price, const char *summary, coinslot_function *handler) {
  return add("GET", path, price, summary, handler);
}

coinslot_endpoint *coinslot_post(const char *path, const char *price, const char *summary, coinslot_function *handler) {
  return add("POST", path, price, summary, handler);
}

coinslot_endpoint *coinslot_put(const char *path, const char *price, const char *summary, coinslot_function *handler) {
  return add("PUT", path, price, summary, handler);
}

coinslot_endpoint *coinslot_patch(const char *path, const char *price, const char *summary,
                                  coinslot_function *handler) {
  return add("PATCH", path, price, summary, handler);
}

coinslot_endpoint *coinslot_delete(const char *path, const char *price, const char *summary,
                                   coinslot_function *handler) {
  return add("DELETE", path, price, summary, handler);
}

coinslot_endpoint *coinslot_declared_at(coinslot_endpoint *endpoint, const char *file, int line) {
  places[endpoint - endpoints].file = file;
  places[endpoint - endpoints].line = line;
  return endpoint;
}

/* "plugin.c:7: ", or nothing. */
const char *cs_place(const coinslot_endpoint *endpoint) {
  size_t index = (size_t)(endpoint - endpoints);
  return places[index].file == NULL ? "" : coinslot_format("%s:%d: ", places[index].file, places[index].line);
}

const char *cs_label(const coinslot_endpoint *endpoint) {
  return coinslot_format("%s %s", endpoint->method, endpoint->path == NULL ? "(no path)" : endpoint->path);
}

/* The records of `manifest`. */
typedef struct {
  uint8_t kind;
  cs_slice amount;
} price_record;

enum { FREE, EXACT, UP_TO, QUOTED };

typedef struct {
  cs_slice method;
  cs_slice path;
  price_record price;
  cs_slice summary;
  cs_slice description;
  cs_slice mime_type;
  cs_optional input_schema;
  cs_optional output_schema;
  cs_slice *quote_headers;
  size_t quote_headers_count;
  cs_pairs extensions;
} endpoint_record;

typedef struct {
  cs_slice name;
  cs_slice version;
  endpoint_record *endpoints;
  size_t count;
  cs_pairs extensions;
} plugin_record;

typedef struct {
  uint8_t is_error;
  union {
    plugin_record plugin;
    cs_slice error;
  } value;
} described;

static bool begins_with(const char *text, const char *begin) {
  cs_slice wanted = cs_slice_of(begin);
  return cs_length(text) >= wanted.size && cs_equal((cs_slice){text, wanted.size}, wanted);
}

static price_record price_of(const coinslot_endpoint *endpoint) {
  const char *price = endpoint->price;
  if (cs_length(price) == 0) {
    cs_mistake(endpoint, "it has no price: write \"0.001\" for a tenth of a cent, or \"free\"");
    return (price_record){FREE, {"", 0}};
  }
  if (cs_is(cs_slice_of(price), "free")) return (price_record){FREE, {"", 0}};
  bool is_metered = begins_with(price, "up-to "), is_quoted = begins_with(price, "quoted ");
  const char *amount = is_metered ? price + 6 : is_quoted ? price + 7 : price;
  cs_check_amount(endpoint, amount);
  if (is_quoted && endpoint->quote == NULL) {
    cs_mistake(endpoint, "its price is quoted, and nothing quotes it: call coinslot_quote(endpoint, function)");
  }
  return (price_record){is_metered ? UP_TO : is_quoted ? QUOTED : EXACT, cs_slice_of(amount)};
}

/* Each parameter of a path is a string unless the author says more. */
static const char *parameters_of(const coinslot_endpoint *endpoint) {
  cs_text properties = {0}, required = {0};
  if (endpoint->parameters != NULL) return endpoint->parameters;
  for (const char *at = endpoint->path; at != NULL && *at != 0; at++) {
    if (*at != '{') continue;
    const char *name = at[1] == '*' ? at + 2 : at + 1;
    for (at = name; *at != 0 && *at != '}';) at++;
    if (*at == 0) break;
    const char *comma = properties.size == 0 ? "" : ",";
    int size = (int)(at - name);
    cs_append_text(&properties, coinslot_format("%s\"%.*s\":{\"type\":\"string\"}", comma, size, name));
    cs_append_text(&required, coinslot_format("%s\"%.*s\"", comma, size, name));
  }
  if (properties.size == 0) return NULL;
  return coinslot_format("{\"type\":\"object\",\"properties\":{%s},\"required\":[%s]}", properties.data, required.data);
}

static cs_optional checked_schema(const coinslot_endpoint *endpoint, const char *what, cs_slice schema) {
  if (schema.size > MAX_SCHEMA) cs_mistake(endpoint, coinslot_format("its %s has more than 64 KiB", what));
  return (cs_optional){true, schema};
}

static cs_optional input_of(const coinslot_endpoint *endpoint) {
  const struct {
    const char *name;
    const char *schema;
  } parts[] = {{"path", parameters_of(endpoint)}, {"query", endpoint->query}, {"body", endpoint->body}};
  cs_text properties = {0}, required = {0};
  for (int i = 0; i < 3; i++) {
    const char *name = parts[i].name, *schema = parts[i].schema;
    if (schema == NULL) continue;
    const coinslot_json *json = coinslot_json_parse(schema, cs_length(schema));
    if (json == NULL) {
      cs_mistake(endpoint, coinslot_format("the schema of its %s is not JSON: %.60s", name, schema));
      continue;
    }
    cs_append_text(&properties, coinslot_format("%s\"%s\":", properties.size == 0 ? "" : ",", name));
    cs_append_schema(&properties, name, cs_slice_of(schema));
    bool is_needed = i == 0   ? true
                     : i == 1 ? coinslot_json_at(json, "/required/0") != NULL
                              : !endpoint->body_is_optional;
    if (is_needed) cs_append_text(&required, coinslot_format("%s\"%s\"", required.size == 0 ? "" : ",", name));
  }
  if (properties.size == 0) return (cs_optional){0};
  cs_text whole = {0};
  cs_append_text(&whole, "{\"type\":\"object\",\"properties\":{");
  cs_append(&whole, properties.data, properties.size);
  cs_append_text(&whole, "},\"required\":[");
  cs_append(&whole, required.data, required.size);
  cs_append_text(&whole, "]}");
  return checked_schema(endpoint, "input schema", cs_finished(&whole));
}

static cs_optional output_of(const coinslot_endpoint *endpoint) {
  if (endpoint->returns == NULL) return (cs_optional){0};
  cs_slice schema = cs_slice_of(endpoint->returns);
  if (coinslot_json_parse(schema.data, schema.size) == NULL) {
    cs_mistake(endpoint, coinslot_format("the schema `returns` is not JSON: %.60s", schema.data));
  }
  return checked_schema(endpoint, "schema `returns`", schema);
}

/* The names of a list such as "x-tier, accept-language", in lower case. */
static void set_quote_headers(endpoint_record *record, const char *list) {
  size_t count = 1;
  for (const char *at = list; at != NULL && *at != 0; at++) count += *at == ',';
  record->quote_headers = CS_NEW(cs_slice, count);
  for (const char *at = list; at != NULL && *at != 0;) {
    while (*at == ' ' || *at == ',') at++;
    cs_text name = {0};
    for (; *at != 0 && *at != ',' && *at != ' '; at++) {
      cs_append_char(&name, *at >= 'A' && *at <= 'Z' ? (char)(*at + 32) : *at);
    }
    if (name.size != 0) record->quote_headers[record->quote_headers_count++] = cs_finished(&name);
  }
}

static void set_extensions(endpoint_record *record, const coinslot_endpoint *endpoint) {
  cs_pair *pairs = CS_NEW(cs_pair, 2);
  size_t count = 0;
  if (endpoint->upfront) pairs[count++] = (cs_pair){{"payment-flow", 12}, {"upfront", 7}};
  unsigned seconds = endpoint->pass_seconds, requests = endpoint->pass_requests;
  if (seconds != 0 || requests != 0) {
    if (seconds < 1 || seconds > MAX_PASS_SECONDS || requests < 1 || requests > MAX_PASS_REQUESTS) {
      cs_mistake(endpoint, "a pass has pass_seconds, from 1 to 31622400, and pass_requests, from 1 to 1000000");
    }
    pairs[count++] = (cs_pair){{"pass", 4}, cs_slice_of(coinslot_format("seconds=%u; requests=%u", seconds, requests))};
  }
  record->extensions = (cs_pairs){pairs, count};
}

static endpoint_record describe_endpoint(const coinslot_endpoint *endpoint) {
  if (endpoint->handler == NULL) cs_mistake(endpoint, "it has no handler");
  endpoint_record record = {
      .method = cs_slice_of(endpoint->method),
      .path = cs_slice_of(endpoint->path),
      .price = price_of(endpoint),
      .summary = cs_slice_of(endpoint->summary),
      .description = cs_slice_of(endpoint->description),
      .mime_type = cs_slice_of(cs_mime_type(endpoint)),
      .input_schema = input_of(endpoint),
      .output_schema = output_of(endpoint),
  };
  set_quote_headers(&record, endpoint->quote_headers);
  set_extensions(&record, endpoint);
  return record;
}

CS_EXPORT("coinslot:plugin/manifest@0.2.0#describe") described *cs_describe(void) {
  static described result;
  size_t count;
  const coinslot_endpoint *declared = cs_endpoints(&count);
  cs_forget_mistakes();
  if (count == 0) {
    cs_mistake(NULL,
               "it declares no endpoint: call coinslot_get(\"/hello\", \"0.001\", \"Says hello\", hello) in "
               "coinslot_plugin");
  } else if (endpoint_count > MAX_ENDPOINTS) {
    cs_mistake(NULL, coinslot_format("it declares %zu endpoints, and %d is the most", endpoint_count, MAX_ENDPOINTS));
  }
  if (cs_length(plugin_name) == 0) {
    cs_mistake(NULL, "it has no name: call coinslot_name(\"hello\", \"1.0.0\") in coinslot_plugin");
  }
  plugin_record plugin = {cs_slice_of(plugin_name), cs_slice_of(plugin_version), NULL, count, {0}};
  plugin.endpoints = CS_NEW(endpoint_record, count);
  for (size_t i = 0; i < count; i++) {
    cs_check_path(declared, i);
    plugin.endpoints[i] = describe_endpoint(&declared[i]);
  }
  const char *mistakes = cs_mistakes();
  result = (described){.is_error = mistakes != NULL};
  if (mistakes != NULL)
    result.value.error = cs_slice_of(mistakes);
  else
    result.value.plugin = plugin;
  return &result;
}

CS_EXPORT("cabi_post_coinslot:plugin/manifest@0.2.0#describe") void cs_described(described *result) {
  (void)result;
  cs_release_all();
}
