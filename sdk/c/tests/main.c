/* Runs the tests. Takes the place of the host: its log is kept, and requests have the body that a test sets. */
#include "tests.h"

const char *logged = "";

static void keep(const char *format, va_list arguments) {
  cs_text text = {0};
  cs_append_format(&text, format, arguments);
  logged = cs_finished(&text).data;
}

#define KEEP                   \
  va_list arguments;           \
  va_start(arguments, format); \
  keep(format, arguments);     \
  va_end(arguments)

void coinslot_log_info(const char *format, ...) { KEEP; }
void coinslot_log_warn(const char *format, ...) { KEEP; }
void coinslot_log_error(const char *format, ...) { KEEP; }

bool coinslot_flush(coinslot_request *request) {
  (void)request;
  return true;
}

const char *coinslot_body(coinslot_request *request, size_t *size) {
  *size = request->body.size;
  return cs_finished(&request->body).data;
}

int main(void) {
  test_format();
  test_numbers();
  test_json();
  test_json_writing();
  test_routes();
  test_schemas();
  test_manifest();
  test_answers();
  puts("all tests of the SDK in C passed");
}
