/* Declares what the sources of the SDK share. Records have the layout of the component model's canonical ABI. */
#ifndef COINSLOT_INTERNAL_H
#define COINSLOT_INTERNAL_H

#include <stdarg.h>

/* The sources of the SDK define what plugins call through macros. */
#define COINSLOT_WITHOUT_PLACES
#include "coinslot.h"

#define CS_IMPORT(module, name) extern __attribute__((import_module(module), import_name(name)))
#define CS_EXPORT(name) __attribute__((export_name(name)))

/* A string or a list of bytes. */
typedef struct {
  const char *data;
  size_t size;
} cs_slice;

/* A tuple of a string and a string or a list of bytes. */
typedef struct {
  cs_slice name;
  cs_slice value;
} cs_pair;

typedef struct {
  uint8_t is_some;
  cs_slice value;
} cs_optional;

typedef struct {
  cs_pair *items;
  size_t count;
} cs_pairs;

/* The area that an import writes its result to. */
typedef union {
  uint64_t align;
  uint8_t bytes[64];
  uint32_t words[16];
  uint64_t longs[8];
} cs_area;

/* Text that grows. After each call there is a zero byte behind it, which `size` does not count. */
typedef struct {
  char *data;
  size_t size;
  size_t capacity;
} cs_text;

struct coinslot_request {
  const char *method;
  const char *path;
  const char *query;
  const coinslot_endpoint *endpoint;
  cs_pairs params;
  cs_pairs headers;
  /* The body: as far as it was read by coinslot_body, and the handles to read more. A handle is -1 if there is none. */
  cs_text body;
  bool body_is_whole;
  int32_t incoming;
  int32_t incoming_body;
  int32_t incoming_stream;
  /* The answer. */
  bool is_quote;
  bool is_refused;
  bool is_json;
  int status;
  cs_pairs fields;
  size_t fields_capacity;
  cs_text out;
  /* The answer as it is sent. */
  bool is_started;
  bool is_gone;
  int32_t outparam;
  int32_t outgoing_body;
  int32_t outgoing_stream;
  /* JSON that is being written: what is open, a bit for each level that is an array, and whether a comma is due. */
  unsigned depth;
  bool needs_comma;
  uint64_t arrays[4];
  /* The result of a quote. */
  const char *price;
  cs_slice code;
  cs_slice message;
  /* Of a refusal: the pointer and the rule. */
  cs_pairs facts;
};

/* memory.c */
void *cs_alloc(size_t size, size_t align);
#define CS_NEW(type, count) ((type *)cs_alloc((count) * sizeof(type), _Alignof(type)))
void cs_release_all(void);
void cs_before_release(void (*function)(void));
char *cs_copy(const char *data, size_t size);
size_t cs_length(const char *text);
bool cs_equal(cs_slice one, cs_slice other);
bool cs_is(cs_slice one, const char *other);
cs_slice cs_slice_of(const char *text);
void cs_copy_bytes(void *to, const void *from, size_t size);

/* text.c */
void cs_append(cs_text *text, const char *data, size_t size);
void cs_append_text(cs_text *text, const char *data);
void cs_append_char(cs_text *text, char c);
void cs_append_format(cs_text *text, const char *format, va_list arguments);
void cs_append_utf8(cs_text *text, const char *data, size_t size);
void cs_append_point(cs_text *text, uint32_t point);
size_t cs_utf8_length(const char *data, size_t size);
cs_slice cs_finished(const cs_text *text);

/* number.c */
void cs_append_double(cs_text *text, double value, char conversion, int precision, bool is_alternate);
void cs_append_shortest(cs_text *text, double value);
double cs_parse_double(const char *text, size_t size);

/* json_check.c, json_write.c */
const char *cs_json_space(const char *at, const char *end);
const char *cs_json_end(const char *at, const char *end);
void cs_append_json_string(cs_text *text, const char *data, size_t size);
void cs_json_finish(coinslot_request *request);
bool cs_is_number(const char *text, size_t size);

/* schema.c */
void cs_append_schema(cs_text *text, const char *part, cs_slice schema);

/* coinslot.c */
const coinslot_endpoint *cs_endpoints(size_t *count);
const char *cs_label(const coinslot_endpoint *endpoint);
const char *cs_place(const coinslot_endpoint *endpoint);

/* mistakes.c */
void cs_forget_mistakes(void);
const char *cs_mistakes(void);
void cs_mistake(const coinslot_endpoint *endpoint, const char *what);
void cs_check_path(const coinslot_endpoint *endpoints, size_t index);
void cs_check_amount(const coinslot_endpoint *endpoint, const char *amount);

/* route.c */
const coinslot_endpoint *cs_route(coinslot_request *request, bool *is_path_known);
cs_slice cs_decoded(const char *data, size_t size, bool is_form);

/* answer.c */
const char *cs_mime_type(const coinslot_endpoint *endpoint);

/* host.c */
void cs_set_error(const char *text);

#endif
