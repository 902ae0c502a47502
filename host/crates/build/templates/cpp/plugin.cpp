#include <sstream>
#include <string>

#include "coinslot.h"

static void describe(coinslot_request *request) { coinslot_text(request, "POST a text to /{{name}}/count\n"); }

static void count(coinslot_request *request) {
  const char *sent = coinslot_json_string(coinslot_json_body(request), "/text");
  std::istringstream text(sent ? sent : "");
  std::string word, longest;
  int words = 0;
  while (text >> word) {
    words++;
    if (word.size() > longest.size()) longest = word;
  }
  if (words == 0) {
    coinslot_refuse(request, 400, "no_words", "Send a text with at least one word.");
    return;
  }
  coinslot_put_integer(request, "words", words);
  coinslot_put_string(request, "longest", longest.c_str());
}

void coinslot_plugin() {
  coinslot_get("/{{name}}", "free", "Says what is sold here", describe);
  coinslot_endpoint *endpoint = coinslot_post("/{{name}}/count", "0.001", "Counts the words of a text", count);
  endpoint->body = R"({
    "type": "object",
    "properties": { "text": { "type": "string", "minLength": 1, "maxLength": 10000 } },
    "required": ["text"]
  })";
  endpoint->returns = R"({
    "type": "object",
    "properties": { "words": { "type": "integer" }, "longest": { "type": "string" } },
    "required": ["words", "longest"]
  })";
}
