/* Routes match as in a host, and the manifest says what was declared, or what is wrong with it. */
#include "tests.h"

extern const char *logged;

static void handler(coinslot_request *request) { coinslot_text(request, "x"); }

void coinslot_plugin(void) {
  coinslot_name("shop", "2.0.0");
  coinslot_get("/", "free", "Root", handler);
  coinslot_get("/a/{one}", "0.01", "A parameter", handler);
  coinslot_get("/a/fixed", "free", "A literal", handler);
  coinslot_get("/a/{*rest}", "free", "The rest", handler);
  coinslot_post("/a/{one}", "0.01 USDC", "Another method", handler);
}

static const char *routed(const char *method, const char *path) {
  coinslot_request request = {.method = method, .path = path};
  bool is_known;
  request.endpoint = cs_route(&request, &is_known);
  if (request.endpoint == NULL) return is_known ? "405" : "404";
  const char *param =
      coinslot_param(&request, "one") ? coinslot_param(&request, "one") : coinslot_param(&request, "rest");
  return coinslot_format("%s %s", request.endpoint->path, param == NULL ? "" : param);
}

void test_routes(void) {
  CHECK_TEXT(routed("GET", "/"), "/ ");
  CHECK_TEXT(routed("GET", "/a/fixed"), "/a/fixed ");
  CHECK_TEXT(routed("HEAD", "/a/b%20c%00%ff"), "/a/{one} b c\xef\xbf\xbd\xef\xbf\xbd");
  CHECK_TEXT(routed("GET", "/a/b/c%2Fd"), "/a/{*rest} b/c/d");
  CHECK_TEXT(routed("POST", "/a/fixed"), "/a/{one} fixed");
  CHECK_TEXT(routed("PUT", "/a/b"), "405");
  CHECK_TEXT(routed("GET", "/a/"), "404");
  CHECK_TEXT(routed("GET", "/b"), "404");
  CHECK_TEXT(routed("GET", "/a/%zz"), "/a/{one} %zz");

  coinslot_request request = {.query = "a=1&b=x+y%26&a=2&=3&c&d=%f0"};
  CHECK_TEXT(coinslot_query(&request, "a"), "1");
  CHECK_TEXT(coinslot_query_at(&request, "a", 1), "2");
  CHECK(coinslot_query_at(&request, "a", 2) == NULL && coinslot_query(&request, "x") == NULL);
  CHECK_TEXT(coinslot_query(&request, "b"), "x y&");
  CHECK_TEXT(coinslot_query(&request, "c"), "");
  CHECK_TEXT(coinslot_query(&request, "d"), "\xef\xbf\xbd");

  cs_pair fields[] = {{{"Content-Type", 12}, {"text/plain", 10}}};
  coinslot_request with_fields = {.headers = {fields, 1}};
  CHECK_TEXT(coinslot_header(&with_fields, "content-TYPE"), "text/plain");
  CHECK(coinslot_header(&with_fields, "content") == NULL && coinslot_header(&with_fields, "content-type-x") == NULL);
}

/* The result of `describe` begins so. */
typedef struct {
  uint8_t is_error;
  cs_slice text;
} result;

extern void *cs_describe(void);

static const char *mistake(void) {
  const result *described = cs_describe();
  CHECK(described->is_error == 1);
  return described->text.data;
}

void test_manifest(void) {
  const result *described = cs_describe();
  CHECK(described->is_error == 0 && cs_is(described->text, "shop"));
  size_t count;
  coinslot_endpoint *last = (coinslot_endpoint *)&cs_endpoints(&count)[4];
  CHECK(count == 5);
  last->price = NULL;
  CHECK_TEXT(mistake(), "POST /a/{one}: it has no price: write \"0.001\" for a tenth of a cent, or \"free\"");
  last->price = "quoted 0.50";
  CHECK_TEXT(mistake(),
             "POST /a/{one}: its price is quoted, and nothing quotes it: call coinslot_quote(endpoint, function)");
  last->price = "free";
  last->body = "{ no JSON";
  CHECK_TEXT(mistake(), "POST /a/{one}: the schema of its body is not JSON: { no JSON");
  last->body = NULL;
  last->handler = NULL;
  CHECK_TEXT(mistake(), "POST /a/{one}: it has no handler");
  last->handler = handler;

  coinslot_declared_at(last, "shop.c", 7);
  last->path = "/a/fixed";
  last->method = "GET";
  last->price = "1e3";
  last->returns = "[";
  CHECK_TEXT(mistake(),
             "shop.c:7: GET /a/fixed: it is declared twice, first at endpoint 2: keep one of them\n"
             "shop.c:7: GET /a/fixed: its price \"1e3\" is no amount: write \"0.001\" or \"0.001 USDC\"\n"
             "shop.c:7: GET /a/fixed: the schema `returns` is not JSON: [");
  last->returns = NULL;
  /* One mistake is that of the path. */
  last->path = "a";
  const struct {
    const char *price;
    bool is_good;
  } prices[] = {{"1", true},       {"0.000001", true},    {"0.0000010 USDC", true}, {"0.0000001 DAI", true},
                {"free", true},    {"up-to 0.5", true},   {"0.0000001", false},     {"0.0000001 USDC", false},
                {".5", false},     {"5.", false},         {"1 ", false},            {"1 A B", false},
                {" 1", false},     {"up-to 1e3", false},  {"-1", false},            {"1,5", false}};
  for (size_t i = 0; i < sizeof(prices) / sizeof(*prices); i++) {
    last->price = prices[i].price;
    const char *of_price = strchr(mistake(), '\n');
    if ((of_price == NULL) != prices[i].is_good) fprintf(stderr, "\"%s\"\n", prices[i].price);
    CHECK((of_price == NULL) == prices[i].is_good);
  }
  last->path = "/a/{one}";
  last->method = "POST";
  last->price = "free";

  coinslot_request request = {.endpoint = last};
  coinslot_refuse(&request, 402, "Not A Code", "Pay\xff");
  CHECK(request.status == 500 && strstr(logged, "no code") != NULL);
  CHECK_TEXT(request.out.data, "{\"error\":\"refused\",\"message\":\"Pay\xef\xbf\xbd\"}");
}
