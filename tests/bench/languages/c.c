// What tests/bench/costs measures: the same three endpoints in each language.

#include "coinslot.h"

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))

IMPORT("wasi:clocks/monotonic-clock@0.2.12", "subscribe-duration") int32_t timer(int64_t nanoseconds);
IMPORT("wasi:io/poll@0.2.12", "[method]pollable.block") void block(int32_t pollable);

static void answer_free(coinslot_request *request) { coinslot_put_string(request, "hello", "world"); }

static void answer_paid(coinslot_request *request) { coinslot_text(request, "as asked"); }

static void answer_late(coinslot_request *request) {
  block(timer(5000000000)); // the instance ends with the answer, and the timer with it
  coinslot_text(request, "waited");
}

void coinslot_plugin(void) {
  coinslot_get("/free", "free", "A small answer", answer_free);
  coinslot_post("/paid", "0.01", "A small answer, paid", answer_paid);
  coinslot_get("/wait", "free", "Waits", answer_late);
}
