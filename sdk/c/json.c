/*
 * Reads JSON in place: a value is where it stands in its text.
 *
 * The text is checked once, so that every later step can rely on it. No tree is made, because a tree of numbers would
 * take ten times the memory of its text.
 */
#include "internal.h"

struct coinslot_json {
  /* The text of the value. */
  const char *data;
  size_t size;
  /* The end of the array or object that it is in, for the next element. */
  const char *end;
  /* The name of a member with its quotes; NULL of an element. */
  const char *name;
  size_t name_size;
};

static const coinslot_json *value_at(const char *at, const char *end, cs_slice name) {
  coinslot_json *json = CS_NEW(coinslot_json, 1);
  *json = (coinslot_json){at, (size_t)(cs_json_end(at, end) - at), end, name.data, name.size};
  return json;
}

const coinslot_json *coinslot_json_parse(const char *text, size_t size) {
  if (text == NULL) return NULL;
  const char *end = text + size;
  const char *begin = cs_json_space(text, end);
  const char *after = cs_json_end(begin, end);
  if (after == NULL || cs_json_space(after, end) != end) return NULL;
  return value_at(begin, after, (cs_slice){NULL, 0});
}

const coinslot_json *coinslot_json_body(coinslot_request *request) {
  size_t size;
  const char *body = coinslot_body(request, &size);
  /* RFC 8259, section 8.1: a byte order mark may be ignored. The host ignores one before it takes a payment. */
  const cs_slice mark = {"\xef\xbb\xbf", 3};
  if (body != NULL && size >= 3 && cs_equal((cs_slice){body, 3}, mark)) body += 3, size -= 3;
  return coinslot_json_parse(body, size);
}

/* The element or member that begins here. */
static const coinslot_json *element_at(const char *at, const char *end, bool is_member) {
  cs_slice name = {NULL, 0};
  if (is_member) {
    name = (cs_slice){at, (size_t)(cs_json_end(at, end) - at)};
    at = cs_json_space(cs_json_space(at + name.size, end) + 1, end);
  }
  return value_at(at, end, name);
}

const coinslot_json *coinslot_json_first(const coinslot_json *json) {
  coinslot_json_type type = coinslot_json_type_of(json);
  if (type != COINSLOT_ARRAY && type != COINSLOT_OBJECT) return NULL;
  const char *end = json->data + json->size - 1;
  const char *at = cs_json_space(json->data + 1, end);
  return at == end ? NULL : element_at(at, end, type == COINSLOT_OBJECT);
}

const coinslot_json *coinslot_json_next(const coinslot_json *element) {
  if (element == NULL) return NULL;
  const char *at = cs_json_space(element->data + element->size, element->end);
  if (at >= element->end || *at != ',') return NULL;
  return element_at(cs_json_space(at + 1, element->end), element->end, element->name != NULL);
}

coinslot_json_type coinslot_json_type_of(const coinslot_json *json) {
  if (json == NULL) return COINSLOT_ABSENT;
  switch (*json->data) {
    case '{': return COINSLOT_OBJECT;
    case '[': return COINSLOT_ARRAY;
    case '"': return COINSLOT_STRING;
    case 't':
    case 'f': return COINSLOT_BOOL;
    case 'n': return COINSLOT_NULL;
    default: return COINSLOT_NUMBER;
  }
}

static uint32_t hex_at(const char *at) {
  uint32_t value = 0;
  for (int i = 0; i < 4; i++) {
    char c = at[i];
    value = value << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return value;
}

/* The text of a string with its quotes. Half a surrogate pair, and U+0000, become U+FFFD. */
static cs_slice decoded(const char *data, size_t size) {
  cs_text text = {0};
  const char *end = data + size - 1;
  for (const char *at = data + 1; at < end;) {
    const char *run = at;
    while (at < end && *at != '\\') at++;
    cs_append(&text, run, (size_t)(at - run));
    if (at == end) break;
    char c = at[1];
    at += 2;
    if (c != 'u') {
      static const char names[] = "bfnrt", values[] = "\b\f\n\r\t";
      for (int i = 0; i < 5; i++) {
        if (c == names[i]) {
          c = values[i];
          break;
        }
      }
      cs_append_char(&text, c);
      continue;
    }
    uint32_t point = hex_at(at);
    at += 4;
    if (point >= 0xd800 && point < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
      uint32_t low = hex_at(at + 2);
      if (low >= 0xdc00 && low < 0xe000) {
        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
        at += 6;
      }
    }
    cs_append_point(&text, point == 0 || (point >= 0xd800 && point < 0xe000) ? 0xfffd : point);
  }
  return cs_finished(&text);
}

/* A member by its name. The last one counts: the host's validation sees the last one, too. */
static const coinslot_json *member(const coinslot_json *json, cs_slice name) {
  const coinslot_json *found = NULL;
  for (const coinslot_json *each = coinslot_json_first(json); each != NULL; each = coinslot_json_next(each)) {
    if (cs_equal(decoded(each->name, each->name_size), name)) found = each;
  }
  return found;
}

static const coinslot_json *element(const coinslot_json *json, cs_slice index) {
  if (index.size == 0 || index.size > 9 || (index.size > 1 && index.data[0] == '0')) return NULL;
  size_t left = 0;
  for (size_t i = 0; i < index.size; i++) {
    if (index.data[i] < '0' || index.data[i] > '9') return NULL;
    left = left * 10 + (size_t)(index.data[i] - '0');
  }
  const coinslot_json *each = coinslot_json_first(json);
  for (; each != NULL && left > 0; left--) each = coinslot_json_next(each);
  return each;
}

const coinslot_json *coinslot_json_at(const coinslot_json *json, const char *pointer) {
  while (json != NULL && pointer != NULL && *pointer != 0) {
    if (*pointer++ != '/') return NULL;
    cs_text name = {0};
    for (; *pointer != 0 && *pointer != '/'; pointer++) {
      bool is_escape = *pointer == '~' && (pointer[1] == '0' || pointer[1] == '1');
      cs_append_char(&name, !is_escape ? *pointer : *++pointer == '0' ? '~' : '/');
    }
    coinslot_json_type type = coinslot_json_type_of(json);
    json = type == COINSLOT_OBJECT  ? member(json, cs_finished(&name))
           : type == COINSLOT_ARRAY ? element(json, cs_finished(&name))
                                    : NULL;
  }
  return json;
}

const char *coinslot_json_name(const coinslot_json *member) {
  return member == NULL || member->name == NULL ? NULL : decoded(member->name, member->name_size).data;
}

const char *coinslot_json_text(const coinslot_json *json) {
  return json == NULL ? NULL : cs_copy(json->data, json->size);
}

const char *coinslot_json_string(const coinslot_json *json, const char *pointer) {
  json = coinslot_json_at(json, pointer);
  return coinslot_json_type_of(json) == COINSLOT_STRING ? decoded(json->data, json->size).data : NULL;
}

double coinslot_json_number(const coinslot_json *json, const char *pointer, double otherwise) {
  json = coinslot_json_at(json, pointer);
  return coinslot_json_type_of(json) == COINSLOT_NUMBER ? cs_parse_double(json->data, json->size) : otherwise;
}

int64_t coinslot_json_integer(const coinslot_json *json, const char *pointer, int64_t otherwise) {
  json = coinslot_json_at(json, pointer);
  int64_t value;
  if (coinslot_json_type_of(json) != COINSLOT_NUMBER) return otherwise;
  if (coinslot_parse_integer(cs_copy(json->data, json->size), &value)) return value;
  /* JSON Schema takes 1.0 and 1e3 for integers. */
  double number = cs_parse_double(json->data, json->size);
  bool is_whole = number > -9007199254740992.0 && number < 9007199254740992.0 && number == (double)(int64_t)number;
  return is_whole ? (int64_t)number : otherwise;
}

bool coinslot_json_bool(const coinslot_json *json, const char *pointer, bool otherwise) {
  json = coinslot_json_at(json, pointer);
  return coinslot_json_type_of(json) == COINSLOT_BOOL ? *json->data == 't' : otherwise;
}

bool coinslot_parse_integer(const char *text, int64_t *value) {
  if (text == NULL) return false;
  bool is_negative = *text == '-';
  if (*text == '-' || *text == '+') text++;
  if (*text == 0) return false;
  uint64_t sum = 0;
  uint64_t most = (uint64_t)INT64_MAX + (is_negative ? 1 : 0);
  for (; *text != 0; text++) {
    unsigned digit = (unsigned)(*text - '0');
    if (digit > 9 || sum > (most - digit) / 10) return false;
    sum = sum * 10 + digit;
  }
  *value = is_negative ? (int64_t)(~sum + 1) : (int64_t)sum;
  return true;
}

bool coinslot_parse_number(const char *text, double *value) {
  size_t size = cs_length(text);
  if (!cs_is_number(text, size)) return false;
  *value = cs_parse_double(text, size);
  return true;
}
