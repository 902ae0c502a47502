/* Uses what coinslot.h has, for tests/it/c.rs. */
#include "coinslot.h"

static void hello(coinslot_request *request) {
  coinslot_set_header(request, "X-Greeting", "yes");
  coinslot_print(request, "%s %s, %s, %s\n", coinslot_method(request), coinslot_param(request, "name"),
                 coinslot_query(request, "lang"), coinslot_query_at(request, "lang", 1));
}

static void receipt(coinslot_request *request) {
  const coinslot_receipt *paid = coinslot_payment();
  if (paid == NULL) {
    coinslot_refuse(request, 500, "no_receipt", "A paid request has no receipt.");
    return;
  }
  coinslot_put_string(request, "payer", paid->payer);
  coinslot_put_string(request, "amount", paid->amount);
  coinslot_put_string(request, "network", paid->network);
  coinslot_put_bool(request, "named", paid->asset[0] != 0 && paid->payment_id[0] != 0);
  coinslot_put_bool(request, "charged", coinslot_charge("a lot"));
  coinslot_put_string(request, "why", coinslot_error());
}

static void price_of_pages(coinslot_request *request) {
  int64_t pages = coinslot_json_integer(coinslot_json_body(request), "/pages", 0);
  const char *tier = coinslot_header(request, "x-tier");
  if (pages > 100) {
    coinslot_refuse(request, 422, "too_many", "Send at most 100 pages.");
  } else if (pages == 0) {
    coinslot_set_price(request, "free");
  } else {
    coinslot_set_price(request, coinslot_format("0.%03d", (int)pages * (tier == NULL ? 1 : 2)));
  }
}

static void pages(coinslot_request *request) { coinslot_text(request, "printed\n"); }

static void refuse_odd(coinslot_request *request) {
  int64_t number;
  if (!coinslot_parse_integer(coinslot_param(request, "number"), &number) || number % 2 != 0) {
    coinslot_refuse(request, 400, "odd", "Ask for an even number.");
  }
}

static void even(coinslot_request *request) {
  coinslot_print(request, "%s is even\n", coinslot_param(request, "number"));
}

static void events(coinslot_request *request) {
  for (int i = 1; i <= 3; i++) {
    if (!coinslot_event(request, "tick", coinslot_format("%d\nof 3", i))) return;
  }
}

/* Far more than the plugin's memory, piece by piece. */
static void large(coinslot_request *request) {
  char *piece = coinslot_alloc(65536);
  for (int i = 0; i < 128; i++) {
    coinslot_write(request, piece, 65536);
    if (!coinslot_flush(request)) return;
  }
}

static void visits(coinslot_request *request) {
  coinslot_bucket *bucket = coinslot_bucket_open("");
  uint64_t count = coinslot_kv_increment(bucket, "visits", 1);
  if (coinslot_error() != NULL) {
    coinslot_refuse(request, 503, "no_store", coinslot_error());
    return;
  }
  size_t size;
  coinslot_put_integer(request, "visits", (int64_t)count);
  coinslot_put_string(request, "last", coinslot_kv_get(bucket, "last", &size));
  coinslot_put_integer(request, "size", (int64_t)size);
  coinslot_kv_set(bucket, "last", "a\0b", 3);
  coinslot_put_bool(request, "swapped", coinslot_kv_swap(bucket, "once", NULL, 0, "1", 1));
  uint64_t cursor = 0;
  coinslot_begin_array(request, "keys");
  for (const char *const *keys = coinslot_kv_keys(bucket, &cursor, NULL); keys != NULL && *keys != NULL; keys++) {
    coinslot_put_string(request, NULL, *keys);
  }
  coinslot_end(request);
  coinslot_put_bool(request, "deleted", coinslot_kv_delete(bucket, "once"));
  coinslot_put_string(request, "greeting", coinslot_config("greeting"));
  coinslot_log_warn("visit %llu\nof many", (unsigned long long)count);
}

static void fetch(coinslot_request *request) {
  int64_t size = 0;
  coinslot_parse_integer(coinslot_query(request, "size"), &size);
  const char *body = coinslot_alloc((size_t)size);
  const coinslot_response *got = coinslot_fetch(size == 0 ? "GET" : "POST", coinslot_query(request, "url"),
                                                "Accept: text/plain\nX-Own: c", body, (size_t)size);
  if (got == NULL) {
    coinslot_refuse(request, 502, "no_answer", coinslot_error());
    return;
  }
  coinslot_put_integer(request, "status", got->status);
  coinslot_put_integer(request, "size", (int64_t)got->size);
  coinslot_put_string(request, "body", coinslot_format("%.40s", got->body));
  coinslot_put_string(request, "type", coinslot_response_header(got, "content-type"));
}

/* Counts in memory that lasts as long as the instance, and takes memory that lasts as long as the request. */
static void again(coinslot_request *request) {
  static int count;
  char *memory = coinslot_alloc(500000);
  coinslot_print(request, "%d %d", ++count, memory[499999]);
  memory[499999] = 1;
}

static void upload(coinslot_request *request) {
  uint64_t bytes = 0, sum = 0;
  size_t size;
  for (const char *piece; (piece = coinslot_read(request, &size)) != NULL; bytes += size) {
    for (size_t i = 0; i < size; i++) sum += (unsigned char)piece[i];
  }
  coinslot_print(request, "%llu %llu", (unsigned long long)bytes, (unsigned long long)sum);
}

static void mirror(coinslot_request *request) {
  size_t size;
  const char *body = coinslot_body(request, &size);
  coinslot_status(request, 201);
  coinslot_write(request, body, size);
}

static void numbers(coinslot_request *request) {
  const coinslot_json *body = coinslot_json_body(request);
  double sum = 0;
  for (const coinslot_json *each = coinslot_json_first(body); each != NULL; each = coinslot_json_next(each)) {
    sum += coinslot_json_number(each, "", 0);
  }
  coinslot_put_number(request, "sum", sum);
}

static void trap(coinslot_request *request) {
  coinslot_text(request, "half an answer");
  __builtin_trap();
}

static void nothing(coinslot_request *request) { (void)request; }

void coinslot_plugin(void) {
  coinslot_name("features", "1.2.3");
  coinslot_get("/c/hello/{name}", "free", "Says hello", hello);
  coinslot_get("/c/receipt", "0.002", "Shows the receipt", receipt)->mime_type = "application/json";
  coinslot_endpoint *quoted = coinslot_post("/c/pages", "quoted 0.50", "Prints pages", pages);
  quoted->quote_headers = "X-Tier";
  coinslot_quote(quoted, price_of_pages);
  coinslot_quote(coinslot_get("/c/even/{number}", "0.001", "Tells even numbers", even), refuse_odd);
  coinslot_endpoint *stream = coinslot_get("/c/events", "0.001", "Ticks", events);
  stream->mime_type = "text/event-stream";
  stream->upfront = true;
  coinslot_get("/c/large", "free", "Sends 8 MiB", large)->mime_type = "application/octet-stream";
  coinslot_get("/c/visits", "free", "Counts visits", visits)->mime_type = "application/json";
  coinslot_get("/c/fetch", "free", "Asks another server", fetch)->mime_type = "application/json";
  coinslot_get("/c/again", "free", "Counts in one instance", again);
  coinslot_put("/c/upload", "free", "Counts bytes", upload);
  coinslot_patch("/c/mirror", "free", "Answers with the body", mirror);
  coinslot_endpoint *sum = coinslot_post("/c/numbers", "0.001", "Adds numbers", numbers);
  sum->body = COINSLOT_JSON(
      {"$ref" : "#/$defs/numbers", "$defs" : {"numbers" : {"type" : "array", "items" : {"type" : "number"}}}});
  sum->returns = COINSLOT_JSON({"type" : "object", "required" : ["sum"]});
  coinslot_get("/c/trap", "0.001", "Traps", trap);
  coinslot_delete("/c/nothing", "free", "Answers nothing", nothing);
}
