/* Checks that text is JSON (RFC 8259), and finds where a value ends. */
#include "internal.h"

#define MAX_DEPTH 128

const char *cs_json_space(const char *at, const char *end) {
  while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) at++;
  return at;
}

static bool is_digit(const char *at, const char *end) { return at < end && *at >= '0' && *at <= '9'; }

static bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

/* The functions below return the end of what they read, and NULL if it is not JSON. */

static const char *check_word(const char *at, const char *end, const char *word) {
  for (; *word != 0; word++, at++) {
    if (at == end || *at != *word) return NULL;
  }
  return at;
}

static const char *check_number(const char *at, const char *end) {
  if (at < end && *at == '-') at++;
  if (!is_digit(at, end)) return NULL;
  if (*at == '0')
    at++;
  else
    while (is_digit(at, end)) at++;
  if (at < end && *at == '.') {
    if (!is_digit(++at, end)) return NULL;
    while (is_digit(at, end)) at++;
  }
  if (at < end && (*at == 'e' || *at == 'E')) {
    at++;
    if (at < end && (*at == '+' || *at == '-')) at++;
    if (!is_digit(at, end)) return NULL;
    while (is_digit(at, end)) at++;
  }
  return at;
}

static const char *check_string(const char *at, const char *end) {
  if (at == end || *at != '"') return NULL;
  for (at++; at < end && *at != '"';) {
    if ((unsigned char)*at < 0x20) return NULL;
    if (*at != '\\') {
      size_t length = cs_utf8_length(at, (size_t)(end - at));
      if (length == 0) return NULL;
      at += length;
      continue;
    }
    if (++at == end) return NULL;
    switch (*at++) {
      case '"':
      case '\\':
      case '/':
      case 'b':
      case 'f':
      case 'n':
      case 'r':
      case 't': break;
      case 'u':
        for (int i = 0; i < 4; i++, at++) {
          if (at == end || !is_hex(*at)) return NULL;
        }
        break;
      default: return NULL;
    }
  }
  return at < end ? at + 1 : NULL;
}

static const char *check_value(const char *at, const char *end, unsigned depth);

static const char *check_container(const char *at, const char *end, unsigned depth, char close) {
  if (depth == MAX_DEPTH) return NULL;
  at = cs_json_space(at + 1, end);
  if (at < end && *at == close) return at + 1;
  for (;;) {
    if (close == '}') {
      at = check_string(at, end);
      if (at == NULL) return NULL;
      at = cs_json_space(at, end);
      if (at == end || *at != ':') return NULL;
      at = cs_json_space(at + 1, end);
    }
    at = check_value(at, end, depth + 1);
    if (at == NULL) return NULL;
    at = cs_json_space(at, end);
    if (at == end || (*at != ',' && *at != close)) return NULL;
    if (*at == close) return at + 1;
    at = cs_json_space(at + 1, end);
  }
}

static const char *check_value(const char *at, const char *end, unsigned depth) {
  if (at == end) return NULL;
  switch (*at) {
    case '{': return check_container(at, end, depth, '}');
    case '[': return check_container(at, end, depth, ']');
    case '"': return check_string(at, end);
    case 't': return check_word(at, end, "true");
    case 'f': return check_word(at, end, "false");
    case 'n': return check_word(at, end, "null");
    default: return check_number(at, end);
  }
}

bool cs_is_number(const char *text, size_t size) { return size != 0 && check_number(text, text + size) == text + size; }

const char *cs_json_end(const char *at, const char *end) { return check_value(at, end, 0); }
