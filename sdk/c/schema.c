/*
 * Makes a schema a part of another one: its references into itself have to count from its new place.
 *
 * Only the `$ref` of a subschema is a reference: not one in `const` or `enum`, and not a property of that name. `#` stands
 * for the nearest subschema with an `$id`, so a reference below such a subschema stays as it is. The text is read once: the
 * `$id` of an object may follow the references in it, so their places are kept until the object ends.
 */
#include "internal.h"

/* What a value of a schema's text is. */
typedef enum { DATA, SCHEMA, SCHEMAS_BY_NAME } role;

typedef struct {
  const char *at;
  const char *end;
  /* The places behind the `#` of the references that count from the root. */
  const char **places;
  size_t count;
  size_t capacity;
} reader;

static void read_value(reader *in, role is);

static void skip_space(reader *in) { in->at = cs_json_space(in->at, in->end); }

/* The text of a string without its quotes, where `in` is. */
static cs_slice read_string(reader *in) {
  const char *begin = in->at;
  in->at = cs_json_end(begin, in->end);
  cs_slice raw = {begin + 1, (size_t)(in->at - begin) - 2};
  for (size_t i = 0; i < raw.size; i++) {
    if (raw.data[i] != '\\') continue;
    return cs_slice_of(coinslot_json_string(coinslot_json_parse(begin, raw.size + 2), ""));
  }
  return raw;
}

/* The role of the value of a keyword. A reference may lead to a place below a keyword that nobody knows. */
static role role_of(cs_slice keyword) {
  static const char *const data[] = {"const", "enum", "default", "examples"};
  static const char *const maps[] = {"properties",  "patternProperties", "$defs",
                                     "definitions", "dependentSchemas",  "dependencies"};
  for (size_t i = 0; i < sizeof(data) / sizeof(*data); i++) {
    if (cs_is(keyword, data[i])) return DATA;
  }
  for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++) {
    if (cs_is(keyword, maps[i])) return SCHEMAS_BY_NAME;
  }
  return SCHEMA;
}

static void keep(reader *in, const char *place) {
  if (in->count == in->capacity) {
    const char **before = in->places;
    in->capacity = in->capacity == 0 ? 16 : in->capacity * 2;
    in->places = CS_NEW(const char *, in->capacity);
    for (size_t i = 0; i < in->count; i++) in->places[i] = before[i];
  }
  in->places[in->count++] = place;
}

static void read_reference(reader *in) {
  const char *begin = in->at;
  cs_slice reference = read_string(in);
  bool is_local = reference.size != 0 && reference.data[0] == '#' && (reference.size == 1 || reference.data[1] == '/');
  /* A `#` may be written as `\u0023`. */
  if (is_local) keep(in, begin + (begin[1] == '\\' ? 7 : 2));
}

static void read_object(reader *in, role is) {
  const size_t before = in->count;
  bool has_id = false;
  for (in->at++; skip_space(in), *in->at != '}';) {
    if (*in->at == ',') {
      in->at++;
      skip_space(in);
    }
    cs_slice name = read_string(in);
    skip_space(in);
    in->at++;
    skip_space(in);
    bool is_string = *in->at == '"';
    if (is == SCHEMA && is_string && cs_is(name, "$ref")) {
      read_reference(in);
    } else if (is == SCHEMA && is_string && cs_is(name, "$id")) {
      cs_slice id = read_string(in);
      for (size_t i = 0; i < id.size; i++) has_id |= id.data[i] != '#';
    } else {
      read_value(in, is == SCHEMA ? role_of(name) : SCHEMA);
    }
  }
  in->at++;
  if (has_id) in->count = before;
}

static void read_value(reader *in, role is) {
  if (is != DATA && *in->at == '{') {
    read_object(in, is);
  } else if (is != DATA && *in->at == '[') {
    for (in->at++; skip_space(in), *in->at != ']';) {
      if (*in->at == ',') {
        in->at++;
        skip_space(in);
      }
      read_value(in, is);
    }
    in->at++;
  } else {
    in->at = cs_json_end(in->at, in->end);
  }
}

/* `schema` is JSON: coinslot_json_parse has read it. */
void cs_append_schema(cs_text *text, const char *part, cs_slice schema) {
  reader in = {.at = schema.data, .end = schema.data + schema.size};
  skip_space(&in);
  read_value(&in, SCHEMA);
  const char *done = schema.data;
  for (size_t i = 0; i < in.count; i++) {
    cs_append(text, done, (size_t)(in.places[i] - done));
    cs_append_text(text, "/properties/");
    cs_append_text(text, part);
    done = in.places[i];
  }
  cs_append(text, done, (size_t)(in.end - done));
}
