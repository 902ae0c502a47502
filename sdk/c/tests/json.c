/* JSON is read as RFC 8259 says, with every damage found, and written so that it reads the same. */
#include "tests.h"

static const coinslot_json *parse(const char *text) { return coinslot_json_parse(text, strlen(text)); }

static void damage(void) {
  const char *const wrong[] = {"",
                               " ",
                               "{",
                               "[1,]",
                               "{\"a\":1,}",
                               "{a:1}",
                               "'a'",
                               "01",
                               "1.",
                               ".5",
                               "+1",
                               "1e",
                               "-",
                               "\"\\x\"",
                               "\"\n\"",
                               "tru",
                               "[1 2]",
                               "nullx",
                               "1 1",
                               "\"\\u12g4\"",
                               "{\"a\" 1}",
                               "[",
                               "\"",
                               "\"\xff\"",
                               "\"\xc0\x80\"",
                               "\"\xed\xa0\x80\"",
                               "{\"a\":}",
                               "[,]",
                               "\"\\",
                               "\"\\u12"};
  for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
    /* In memory of exactly this size, so that a sanitizer sees a byte too much. */
    size_t size = strlen(wrong[i]);
    char *exact = malloc(size + 1);
    memcpy(exact, wrong[i], size);
    if (coinslot_json_parse(exact, size) != NULL) printf("%s should not be JSON\n", wrong[i]);
    CHECK(coinslot_json_parse(exact, size) == NULL);
    free(exact);
  }
  char deep[400];
  memset(deep, '[', 129);
  memset(deep + 129, ']', 129);
  CHECK(coinslot_json_parse(deep, 258) == NULL);
  CHECK(coinslot_json_parse(deep + 1, 256) != NULL);
}

static const coinslot_json *body(const char *text, size_t size) {
  coinslot_request request = {0};
  cs_append(&request.body, text, size);
  return coinslot_json_body(&request);
}

/* The host ignores a byte order mark, so such a body was paid for, and was no JSON to the plugin. */
static void marked(void) {
  const coinslot_json *json = body("\xef\xbb\xbf{\"a\":1}", 10);
  CHECK(coinslot_json_integer(json, "/a", 0) == 1);
  CHECK(coinslot_json_integer(body("{\"a\":2}", 7), "/a", 0) == 2);
  CHECK(body("\xef\xbb\xbf\xef\xbb\xbf{}", 8) == NULL);
  CHECK(body("\xef\xbb\xbf", 3) == NULL && body("\xef\xbb", 2) == NULL && body("", 0) == NULL);
}

void test_json(void) {
  damage();
  marked();
  const coinslot_json *json = parse(
      " { \"a\" : [ 1, {\"b\" : \"x\\ny\\u00e9\\ud83d\\ude00\\u0000\\ud800\"} , -2.5e1 ] , "
      "\"\" : true, \"a/b~c\": null, \"n\": 1e3, \"twice\": 1, \"tw\\u0069ce\": 2 } ");
  CHECK(json != NULL && coinslot_json_type_of(json) == COINSLOT_OBJECT);
  CHECK_TEXT(coinslot_json_string(json, "/a/1/b"), "x\ny\xc3\xa9\xf0\x9f\x98\x80\xef\xbf\xbd\xef\xbf\xbd");
  CHECK(coinslot_json_integer(json, "/a/0", 9) == 1 && coinslot_json_number(json, "/a/2", 9) == -25);
  CHECK(coinslot_json_bool(json, "/", false) && coinslot_json_integer(json, "/n", 0) == 1000);
  CHECK(coinslot_json_type_of(coinslot_json_at(json, "/a~1b~0c")) == COINSLOT_NULL);
  CHECK(coinslot_json_at(json, "/a/3") == NULL && coinslot_json_at(json, "/a/01") == NULL);
  CHECK(coinslot_json_at(json, "/a/-1") == NULL && coinslot_json_at(json, "a") == NULL);
  CHECK(coinslot_json_at(NULL, "/a") == NULL && coinslot_json_string(json, "/n") == NULL);
  CHECK(coinslot_json_integer(json, "/twice", 0) == 2);
  CHECK_TEXT(coinslot_json_text(coinslot_json_at(json, "/a/1")),
             "{\"b\" : \"x\\ny\\u00e9\\ud83d\\ude00\\u0000\\ud800\"}");
  const coinslot_json *member = coinslot_json_next(coinslot_json_first(json));
  CHECK_TEXT(coinslot_json_name(member), "");
  int count = 0;
  for (const coinslot_json *each = coinslot_json_first(json); each != NULL; each = coinslot_json_next(each)) count++;
  CHECK(count == 6 && coinslot_json_first(parse("[ ]")) == NULL && coinslot_json_first(parse("1")) == NULL);

  int64_t whole;
  CHECK(coinslot_parse_integer("-9223372036854775808", &whole) && whole == INT64_MIN);
  CHECK(!coinslot_parse_integer("9223372036854775808", &whole) && !coinslot_parse_integer("1x", &whole));
  CHECK(!coinslot_parse_integer("", &whole) && !coinslot_parse_integer(NULL, &whole) &&
        !coinslot_parse_integer("-", &whole));
  CHECK(coinslot_json_integer(parse("9223372036854775808"), "", -1) == -1 &&
        coinslot_json_integer(parse("1.5"), "", -1) == -1);
  double number;
  CHECK(coinslot_parse_number("-1.5e2", &number) && number == -150 && !coinslot_parse_number("1,5", &number));
}

void test_json_writing(void) {
  coinslot_request request = {0};
  coinslot_put_string(&request, "te\"xt", "a\\\n\x01\xff\xc3\xa9");
  coinslot_begin_array(&request, "list");
  coinslot_put_integer(&request, NULL, INT64_MIN);
  coinslot_put_number(&request, NULL, 0.1);
  coinslot_put_number(&request, NULL, 1e6);
  coinslot_begin_object(&request, NULL);
  coinslot_put_bool(&request, "yes", true);
  coinslot_put_null(&request, "none");
  coinslot_end(&request);
  coinslot_begin_array(&request, NULL);
  coinslot_end(&request);
  coinslot_put_number(&request, NULL, __builtin_inf());
  cs_json_finish(&request);
  CHECK_TEXT(request.out.data,
             "{\"te\\\"xt\":\"a\\\\\\n\\u0001\xef\xbf\xbd\xc3\xa9\",\"list\":[-9223372036854775808,0.1,1000000,"
             "{\"yes\":true,\"none\":null},[],null]}");
  CHECK(parse(request.out.data) != NULL);
}
