/* Tests what handlers write, and what a request leaves behind. */
#include "tests.h"

/* A caller who chose the name of an event could write events of his own: ?name=a%0Adata:%20forged. */
static void a_name_of_an_event_adds_no_line(void) {
  coinslot_request request = {.status = 200};
  coinslot_event(&request, "a\ndata: forged\r\n\r\n", "real");
  CHECK_TEXT(cs_finished(&request.out).data, "event: a data: forged    \ndata: real\n\n");
}

static void a_value_of_a_field_adds_no_field(void) {
  CHECK_TEXT(coinslot_field("x-city", "Ulm\nx-admin: yes\r"), "x-city: Ulm x-admin: yes \n");
  CHECK_TEXT(coinslot_field("x\ny", NULL), "x y: \n");
}

/* The text of an error is in memory that the next request of the instance uses. */
static void an_error_ends_with_its_request(void) {
  cs_set_error(coinslot_format("of %s", "this request"));
  CHECK_TEXT(coinslot_error(), "of this request");
  cs_release_all();
  CHECK(coinslot_error() == NULL);
}

void test_answers(void) {
  a_name_of_an_event_adds_no_line();
  a_value_of_a_field_adds_no_field();
  an_error_ends_with_its_request();
}
