/* Checks declarations, and collects the mistakes: an author mends a list faster than a sequence. */
#include "internal.h"

/* The decimals of the dollars that hosts know. */
#define DECIMALS 6

/* A line for each mistake. */
static cs_text mistakes;

void cs_forget_mistakes(void) { mistakes = (cs_text){0}; }

/* The mistakes since cs_forget_mistakes; NULL if there are none. */
const char *cs_mistakes(void) { return mistakes.size == 0 ? NULL : cs_finished(&mistakes).data; }

/* Adds a mistake of an endpoint, or of the plugin if it is NULL. */
void cs_mistake(const coinslot_endpoint *endpoint, const char *what) {
  if (mistakes.size != 0) cs_append_char(&mistakes, '\n');
  if (endpoint != NULL) {
    cs_append_text(&mistakes, cs_place(endpoint));
    cs_append_text(&mistakes, cs_label(endpoint));
    cs_append_text(&mistakes, ": ");
  }
  cs_append_text(&mistakes, what);
}

/* Checks that the path of an endpoint is one, and that no earlier endpoint has it. The host checks the rest. */
void cs_check_path(const coinslot_endpoint *endpoints, size_t index) {
  const coinslot_endpoint *endpoint = &endpoints[index];
  if (cs_length(endpoint->path) == 0 || endpoint->path[0] != '/') {
    cs_mistake(endpoint, "its path is none: start it with a slash, as in \"/hello\"");
    return;
  }
  for (size_t i = 0; i < index; i++) {
    bool is_same = cs_is(cs_slice_of(endpoints[i].path), endpoint->path) &&
                   cs_is(cs_slice_of(endpoints[i].method), endpoint->method);
    if (!is_same) continue;
    const char *place = cs_place(&endpoints[i]);
    cs_mistake(endpoint, coinslot_format("it is declared twice, first at %sendpoint %zu: keep one of them", place, i));
    return;
  }
}

static const char *after_digits(const char *at) {
  while (*at >= '0' && *at <= '9') at++;
  return at;
}

/* Checks the notation of an amount, as wit/plugin.wit has it, and that USDC can be as fine. */
void cs_check_amount(const coinslot_endpoint *endpoint, const char *amount) {
  const char *point = after_digits(amount), *end = point;
  if (*point == '.') end = after_digits(point + 1);
  bool is_number = point != amount && (*point != '.' || end != point + 1);
  const char *symbol = *end == ' ' ? end + 1 : end;
  bool is_symbol = *end == 0 || (*end == ' ' && *symbol != 0);
  for (const char *at = symbol; *at != 0; at++) is_symbol = is_symbol && *at > ' ' && *at < 127;
  if (!is_number || !is_symbol || cs_length(amount) > 80) {
    cs_mistake(endpoint, coinslot_format("its price \"%.80s\" is no amount: write \"0.001\" or \"0.001 USDC\"", amount));
    return;
  }
  while (end > point && end[-1] == '0') end--;
  bool is_dollar = *symbol == 0 || cs_is(cs_slice_of(symbol), "USDC");
  if (is_dollar && end - point > DECIMALS + 1) {
    cs_mistake(endpoint,
               coinslot_format("its price \"%.80s\" is finer than the smallest unit of USDC, which has %d decimals",
                               amount, DECIMALS));
  }
}
