/* A schema is a part of the input schema, and its references lead to the same subschemas there. */
#include <time.h>

#include "tests.h"

static const char *in_body(const char *schema) {
  cs_text text = {0};
  cs_append_schema(&text, "body", cs_slice_of(schema));
  return cs_finished(&text).data;
}

#define BODY "#/properties/body"

static void test_references(void) {
  CHECK_TEXT(in_body(" {\"$ref\" : \"#/$defs/a\", \"items\":[{\"$ref\":\"#\"}]} "),
             " {\"$ref\" : \"" BODY "/$defs/a\", \"items\":[{\"$ref\":\"" BODY "\"}]} ");
  static const char *named = "{\"allOf\":[{\"$ref\":\"other\"},{\"$ref\":\"#a\"},{\"$ref\":\"\"}]}";
  CHECK_TEXT(in_body(named), named);
  CHECK_TEXT(in_body("{\"x\":{\"y\":{\"$ref\":\"#/x\"}}}"), "{\"x\":{\"y\":{\"$ref\":\"" BODY "/x\"}}}");
  CHECK_TEXT(in_body("{\"\\u0024ref\":\"\\u0023\\/a\"}"), "{\"\\u0024ref\":\"\\u0023/properties/body\\/a\"}");
  CHECK_TEXT(in_body("true"), "true");
}

static void test_data_stays(void) {
  static const char *const schemas[] = {
      "{\"enum\":[{\"$ref\":\"#/a\"}],\"const\":{\"$ref\":\"#\"}}",
      "{\"default\":{\"$ref\":\"#\"},\"examples\":[{\"$ref\":\"#\"}]}",
      "{\"properties\":{\"a\":{\"const\":\"\\\"$ref\\\":\\\"#/\"}}}",
      "{\"description\":\"write \\\"$ref\\\": \\\"#/a\\\"\"}",
  };
  for (int i = 0; i < 4; i++) CHECK_TEXT(in_body(schemas[i]), schemas[i]);
  CHECK_TEXT(in_body("{\"properties\":{\"const\":{\"$ref\":\"#\"},\"$ref\":{\"$ref\":\"#\"}}}"),
             "{\"properties\":{\"const\":{\"$ref\":\"" BODY "\"},\"$ref\":{\"$ref\":\"" BODY "\"}}}");
  CHECK_TEXT(in_body("{\"properties\":{\"$id\":{\"$ref\":\"#\"}}}"),
             "{\"properties\":{\"$id\":{\"$ref\":\"" BODY "\"}}}");
}

static void test_identified_parts(void) {
  static const char *whole = "{\"$ref\":\"#/$defs/a\",\"$id\":\"https://a.test/b\",\"$defs\":{\"a\":{\"$ref\":\"#\"}}}";
  CHECK_TEXT(in_body(whole), whole);
  CHECK_TEXT(in_body("{\"not\":{\"$ref\":\"#/a\",\"$id\":\"b\",\"items\":{\"$ref\":\"#\"}},\"$ref\":\"#/not\"}"),
             "{\"not\":{\"$ref\":\"#/a\",\"$id\":\"b\",\"items\":{\"$ref\":\"#\"}},\"$ref\":\"" BODY "/not\"}");
  CHECK_TEXT(in_body("{\"$id\":\"\",\"$ref\":\"#/a\"}"), "{\"$id\":\"\",\"$ref\":\"" BODY "/a\"}");
}

/* Each character took the time of all that follow it: a plugin with such a schema did not load. */
static void test_long_schema(void) {
  cs_text schema = {0};
  cs_append_text(&schema, "{\"anyOf\":[{\"const\":0}");
  while (schema.size < 62000) cs_append_text(&schema, ",{\"$ref\":\"#/anyOf/0\"},{\"enum\":[\"abc\", \"def\"]}");
  cs_append_text(&schema, "]}");
  const clock_t begun = clock();
  for (int i = 0; i < 20; i++) CHECK(strlen(in_body(schema.data)) > schema.size);
  CHECK(clock() - begun < 2 * CLOCKS_PER_SEC);
}

void test_schemas(void) {
  test_references();
  test_data_stays();
  test_identified_parts();
  test_long_schema();
}
