/*
 * Declares what plugins in C, C++ and Zig use. The sources beside this file implement it.
 *
 * A plugin defines `coinslot_plugin`, which declares its endpoints, and a function for each endpoint.
 *
 * Memory. Text that a function of this file returns ends with a zero byte, lives until the request has been answered,
 * and is not freed. Text that is passed to one is copied before the function returns. The exception is what an endpoint
 * holds: it has to live as long as the plugin, as string literals do. Where text is expected, NULL is the empty text.
 *
 * Text from outside is UTF-8 without zero bytes: what is neither is replaced by U+FFFD. Bodies and stored values are
 * bytes as they came.
 */
#ifndef COINSLOT_H
#define COINSLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define COINSLOT_FORMAT(text, first) __attribute__((__format__(__printf__, text, first)))
#else
#define COINSLOT_FORMAT(text, first)
#endif

/* JSON that is written in place, as a string: COINSLOT_JSON({ "type": "object" }). */
#define COINSLOT_JSON(...) #__VA_ARGS__

/* A request, and the answer to it. */
typedef struct coinslot_request coinslot_request;

/* Reads a request, and writes its answer; or, before payment, its price. */
typedef void coinslot_function(coinslot_request *request);

/* An endpoint. Fields that are not set are NULL or false. */
typedef struct coinslot_endpoint {
  const char *method;
  /* `/hello/{name}`: a parameter is one segment, and `{*rest}` is all that are left. */
  const char *path;
  /* "free"; "0.001", in US dollars; "0.001 USDC"; "quoted 0.50", at most, see coinslot_quote; "up-to 0.50", metered. */
  const char *price;
  /* One line for catalogues, at most 120 characters. */
  const char *summary;
  coinslot_function *handler;
  /* Details for a reader who decides whether to buy. */
  const char *description;
  /* The type of a successful answer. Default: application/json if `returns` is set, else text/plain. */
  const char *mime_type;
  /* JSON Schemas of the path's parameters, of the query and of the body. The host refuses what does not fit them with
     status 400 before anyone pays, and shows them to clients. */
  const char *parameters;
  const char *query;
  const char *body;
  /* True: a request without a body fits, too. */
  bool body_is_optional;
  /* The JSON Schema of a successful answer. */
  const char *returns;
  /* The header fields that the function of coinslot_quote sees beside content-type: "x-tier, accept-language". */
  const char *quote_headers;
  /* True: the payment is settled before the handler runs, for answers that stream and for side effects. */
  bool upfront;
  /* Both set: a payment buys its payer so many further requests within so many seconds. The operator may change it. */
  unsigned pass_seconds;
  unsigned pass_requests;
  /* Set by coinslot_quote. */
  coinslot_function *quote;
} coinslot_endpoint;

/* --- Declarations: only within coinslot_plugin. --- */

/* Declares the endpoints. The plugin defines it. It may read the configuration. */
void coinslot_plugin(void);

/* Sets name and version. Without a call the name is that of the folder or file that `coinslot build` was given. */
void coinslot_name(const char *name, const char *version);

/* Adds an endpoint, and returns it, so that further fields can be set. */
coinslot_endpoint *coinslot_get(const char *path, const char *price, const char *summary, coinslot_function *handler);
coinslot_endpoint *coinslot_post(const char *path, const char *price, const char *summary, coinslot_function *handler);
coinslot_endpoint *coinslot_put(const char *path, const char *price, const char *summary, coinslot_function *handler);
coinslot_endpoint *coinslot_patch(const char *path, const char *price, const char *summary, coinslot_function *handler);
coinslot_endpoint *coinslot_delete(const char *path, const char *price, const char *summary,
                                   coinslot_function *handler);

/* Remembers the place of a declaration, which messages about it name, and returns it. The functions above are called
   through macros that do so. */
coinslot_endpoint *coinslot_declared_at(coinslot_endpoint *endpoint, const char *file, int line);
#ifndef COINSLOT_WITHOUT_PLACES
#define coinslot_get(...) coinslot_declared_at(coinslot_get(__VA_ARGS__), __FILE__, __LINE__)
#define coinslot_post(...) coinslot_declared_at(coinslot_post(__VA_ARGS__), __FILE__, __LINE__)
#define coinslot_put(...) coinslot_declared_at(coinslot_put(__VA_ARGS__), __FILE__, __LINE__)
#define coinslot_patch(...) coinslot_declared_at(coinslot_patch(__VA_ARGS__), __FILE__, __LINE__)
#define coinslot_delete(...) coinslot_declared_at(coinslot_delete(__VA_ARGS__), __FILE__, __LINE__)
#endif

/* Has `function` called before payment. It calls coinslot_set_price if the endpoint's price is quoted, or refuses the
   request with coinslot_refuse, which costs nothing. It may depend on nothing but the request, and has 50 ms. */
void coinslot_quote(coinslot_endpoint *endpoint, coinslot_function *function);

/* --- The request. --- */

const char *coinslot_method(const coinslot_request *request);
/* The path without the query, as it came. */
const char *coinslot_path(const coinslot_request *request);
/* A parameter of the path; NULL if the path has none of this name. */
const char *coinslot_param(const coinslot_request *request, const char *name);
/* The first value of a name in the query; NULL if there is none. */
const char *coinslot_query(const coinslot_request *request, const char *name);
/* The value with this index, from 0, of a name that occurs several times; NULL after the last. */
const char *coinslot_query_at(const coinslot_request *request, const char *name, size_t index);
/* The query as it came; NULL without a question mark. */
const char *coinslot_raw_query(const coinslot_request *request);
/* A header field, in any case; NULL if it is absent. */
const char *coinslot_header(const coinslot_request *request, const char *name);
/* The whole body, with a zero byte behind it, and its size, unless `size` is NULL. Empty if it cannot be read:
   coinslot_error() then says why. */
const char *coinslot_body(coinslot_request *request, size_t *size);
/* The next piece of the body, for bodies that are larger than the memory; NULL at its end, and if coinslot_error(). */
const char *coinslot_read(coinslot_request *request, size_t *size);

/* The payment. `amount` is in decimal units of the asset, `network` as in eip155:8453. */
typedef struct coinslot_receipt {
  const char *payer;
  const char *amount;
  const char *asset;
  const char *network;
  const char *payment_id;
} coinslot_receipt;

/* The payment of the request being handled; NULL if it is free. */
const coinslot_receipt *coinslot_payment(void);
/* Sets the charge of an endpoint whose price is "up-to ..". False: coinslot_error() says why, and nothing
   has changed. */
bool coinslot_charge(const char *amount);

/* A decimal number in a text, such as a parameter. False if the text is NULL or not such a number. */
bool coinslot_parse_integer(const char *text, int64_t *value);
bool coinslot_parse_number(const char *text, double *value);

/* --- The answer. It is sent when the handler returns. --- */

/* Sets the status; 200 otherwise. A status of 400 and more costs the client nothing. */
void coinslot_status(coinslot_request *request, int status);
/* Adds a header field. */
void coinslot_set_header(coinslot_request *request, const char *name, const char *value);
/* Appends to the body. Formats are those of printf without %n and wide characters. */
void coinslot_print(coinslot_request *request, const char *format, ...) COINSLOT_FORMAT(2, 3);
void coinslot_text(coinslot_request *request, const char *text);
void coinslot_write(coinslot_request *request, const void *data, size_t size);
/* Sends what was written so far. The answer streams from then on: set upfront. False if the client has gone. */
bool coinslot_flush(coinslot_request *request);
/* Writes a server-sent event and sends it. Without a name it is a message. Set mime_type to "text/event-stream". A line
   break in the name becomes a space, so that no name adds lines. */
bool coinslot_event(coinslot_request *request, const char *name, const char *data);
/* Answers with an error instead, which costs the client nothing: {"error": code, "message": message}. The status is
   from 400 to 599 (in a quote to 499) and not 402, the code a stable word of a-z, 0-9 and _. */
void coinslot_refuse(coinslot_request *request, int status, const char *code, const char *message);
/* The same of one place in the request: `pointer` is the JSON pointer to it, such as "/body/count", and `rule` the keyword
   of its schema that it breaks, or a word of your own. The client reads them as `pointer` and `code`. */
void coinslot_refuse_at(coinslot_request *request, int status, const char *code, const char *message,
                        const char *pointer, const char *rule);
/* The price of this request, or "free", in a function of coinslot_quote. */
void coinslot_set_price(coinslot_request *request, const char *price);

/* Appends JSON to the body, value by value. `name` is that of the member in an object, and NULL in an array. The first
   member opens an object by itself, and what is open is closed at the end of the answer. */
void coinslot_begin_object(coinslot_request *request, const char *name);
void coinslot_begin_array(coinslot_request *request, const char *name);
void coinslot_end(coinslot_request *request);
void coinslot_put_string(coinslot_request *request, const char *name, const char *value);
void coinslot_put_integer(coinslot_request *request, const char *name, int64_t value);
/* The shortest text that reads as this number; null if it is infinite or not a number. */
void coinslot_put_number(coinslot_request *request, const char *name, double value);
void coinslot_put_bool(coinslot_request *request, const char *name, bool value);
void coinslot_put_null(coinslot_request *request, const char *name);
/* A value in JSON: what coinslot_json_text returned, or made elsewhere. */
void coinslot_put_json(coinslot_request *request, const char *name, const char *json);

/* --- Reading JSON. Every function takes NULL as the absent value. --- */

typedef struct coinslot_json coinslot_json;
typedef enum coinslot_json_type {
  COINSLOT_ABSENT,
  COINSLOT_NULL,
  COINSLOT_BOOL,
  COINSLOT_NUMBER,
  COINSLOT_STRING,
  COINSLOT_ARRAY,
  COINSLOT_OBJECT
} coinslot_json_type;

/* The body as JSON; NULL if it is not JSON. With a schema of the body the host has seen to it that it fits. */
const coinslot_json *coinslot_json_body(coinslot_request *request);
/* A text as JSON; NULL if it is not JSON, or nested more than 128 deep. The text has to live as long as the result. */
const coinslot_json *coinslot_json_parse(const char *text, size_t size);
/* The value at a JSON pointer, such as "/items/0/name", or "" for the value itself; NULL if there is none. Of members
   with the same name the last counts; the host refuses a body that has some. */
const coinslot_json *coinslot_json_at(const coinslot_json *json, const char *pointer);
coinslot_json_type coinslot_json_type_of(const coinslot_json *json);
/* The string at a pointer; NULL if there is none. */
const char *coinslot_json_string(const coinslot_json *json, const char *pointer);
/* The number or boolean at a pointer, or `otherwise` if there is none, or if an integer is not one of 64 bits. */
int64_t coinslot_json_integer(const coinslot_json *json, const char *pointer, int64_t otherwise);
double coinslot_json_number(const coinslot_json *json, const char *pointer, double otherwise);
bool coinslot_json_bool(const coinslot_json *json, const char *pointer, bool otherwise);
/* The elements or members of an array or object, one after the other; NULL after the last. */
const coinslot_json *coinslot_json_first(const coinslot_json *json);
const coinslot_json *coinslot_json_next(const coinslot_json *element);
/* The name of a member that coinslot_json_first or coinslot_json_next gave; NULL of an array's element. */
const char *coinslot_json_name(const coinslot_json *member);
/* The JSON text of a value; NULL if it is absent. */
const char *coinslot_json_text(const coinslot_json *json);

/* --- Other servers. The operator grants each origin, and may add a secret that the plugin does not see. --- */

/* An answer. The body has a zero byte behind it. */
typedef struct coinslot_response {
  int status;
  const char *body;
  size_t size;
  /* See coinslot_response_header. */
  const void *headers;
} coinslot_response;

/* A line of a header field, "name: value\n", for coinslot_fetch. A line break in it becomes a space (RFC 9110, section
   5.5), so that a value from a caller adds no field. */
const char *coinslot_field(const char *name, const char *value);
/* Sends a request and waits for the answer. `headers` has a line for each field: "accept: text/plain\nx-id: 7". A value
   that is not your own belongs into coinslot_field: a caller's line break would begin another field. NULL if there is no
   answer: coinslot_error() says why. An answer of any status is one. */
const coinslot_response *coinslot_fetch(const char *method, const char *url, const char *headers, const void *body,
                                        size_t size);
/* A header field of an answer, in any case; NULL if it is absent. */
const char *coinslot_response_header(const coinslot_response *response, const char *name);

/* --- The operator's configuration, log and key-value store. --- */

/* A value of the plugin's configuration; NULL if it is absent. */
const char *coinslot_config(const char *key);

/* Writes one line into the operator's log. */
void coinslot_log_info(const char *format, ...) COINSLOT_FORMAT(1, 2);
void coinslot_log_warn(const char *format, ...) COINSLOT_FORMAT(1, 2);
void coinslot_log_error(const char *format, ...) COINSLOT_FORMAT(1, 2);

/* A bucket of keys and values that outlive requests. The operator grants the store, with a quota. */
typedef struct coinslot_bucket coinslot_bucket;

/* Opens a bucket; the default one if `name` is "". NULL on an error, see coinslot_error. */
coinslot_bucket *coinslot_bucket_open(const char *name);
/* The value of a key, with a zero byte behind it, and its size, unless `size` is NULL. NULL if the key is absent, and
   on an error. */
const char *coinslot_kv_get(coinslot_bucket *bucket, const char *key, size_t *size);
/* Writes a value; false on an error. */
bool coinslot_kv_set(coinslot_bucket *bucket, const char *key, const void *value, size_t size);
/* Removes a key; an absent one is no error. False on an error. */
bool coinslot_kv_delete(coinslot_bucket *bucket, const char *key);
/* Adds to a number in one atomic step, and returns the sum; an absent key counts as 0. 0 on an error. */
uint64_t coinslot_kv_increment(coinslot_bucket *bucket, const char *key, uint64_t delta);
/* Replaces a value in one atomic step if it is the expected one. A value of NULL is an absent key. False if it is
   another one, and on an error. */
bool coinslot_kv_swap(coinslot_bucket *bucket, const char *key, const void *expected, size_t expected_size,
                      const void *value, size_t size);
/* Some of the keys with NULL after the last, and their number, unless `count` is NULL. `cursor` begins at 0, and is 0
   again after the last ones. NULL on an error. */
const char *const *coinslot_kv_keys(coinslot_bucket *bucket, uint64_t *cursor, size_t *count);

/* Why the last call of a function above that can fail did so; NULL if it succeeded. */
const char *coinslot_error(void);

/* Memory that lives until the request has been answered. It is zero. */
void *coinslot_alloc(size_t size);
/* A text made by a format of printf. */
const char *coinslot_format(const char *format, ...) COINSLOT_FORMAT(1, 2);

#ifdef __cplusplus
}
#endif

#endif
