#include "coinslot.h"

static void describe(coinslot_request *request) { coinslot_text(request, "POST a text to /{{name}}/count\n"); }

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static void count(coinslot_request *request) {
  const char *at = coinslot_json_string(coinslot_json_body(request), "/text"), *longest = at;
  int words = 0, most = 0;
  while (at && *at) {
    const char *word = at;
    while (*at && !is_space(*at)) at++;
    if (at > word) words++;
    if (at - word > most) most = (int)(at - word), longest = word;
    if (*at) at++;
  }
  if (words == 0) {
    coinslot_refuse(request, 400, "no_words", "Send a text with at least one word.");
    return;
  }
  coinslot_put_integer(request, "words", words);
  coinslot_put_string(request, "longest", coinslot_format("%.*s", most, longest));
}

void coinslot_plugin(void) {
  coinslot_get("/{{name}}", "free", "Says what is sold here", describe);
  coinslot_endpoint *endpoint = coinslot_post("/{{name}}/count", "0.001", "Counts the words of a text", count);
  endpoint->body = COINSLOT_JSON({
    "type": "object",
    "properties": { "text": { "type": "string", "minLength": 1, "maxLength": 10000 } },
    "required": ["text"]
  });
  endpoint->returns = COINSLOT_JSON({
    "type": "object",
    "properties": { "words": { "type": "integer" }, "longest": { "type": "string" } },
    "required": ["words", "longest"]
  });
}
