/* Formats and numbers give what this machine's library of C gives, whose results are exactly rounded, too. */
#include <math.h>

#include "tests.h"

static void check(const char *format, ...) {
  va_list ours, theirs;
  va_start(ours, format);
  va_copy(theirs, ours);
  static char expected[4096];
  vsnprintf(expected, sizeof(expected), format, theirs);
  cs_text text = {0};
  cs_append_format(&text, format, ours);
  CHECK_TEXT(cs_finished(&text).data, expected);
  va_end(ours);
  va_end(theirs);
}

void test_format(void) {
  check("%d %i %u %x %X %#x %o %#o %c %% %5d|%-5d|%05d|%+d|% d|%.3d|%8.3d", -5, 7, 3000000000u, 255, 255, 255, 8, 8,
        'q', 42, 42, 42, 42, 42, 7, -7);
  check("%s|%10s|%-10s|%.2s|%*s|%-*s|%.*s", "abc", "abc", "abc", "abc", 6, "ab", 6, "ab", 1, "xyz");
  check("%lld %llu %016llx %lld", -9000000000ll, 18446744073709551615ull, 255ull, (long long)INT64_MIN);
  check("%hhd %hd %.0d|%.0x|%#x|%010d|%-+8d|", 300, 70000, 0, 0, 0, -42, 42);
  const char *none = "%s %.10s";
  CHECK_TEXT(coinslot_format(none, NULL, NULL), "(null) (null)");
  const char *unknown = "a %y b %d"; /* A compiler would warn of it. */
  CHECK_TEXT(coinslot_format(unknown, 1), "a (?)");
  CHECK_TEXT(coinslot_format("%*d|%.*s|", -4, 7, -1, "whole"), "7   |whole|");
}

static uint64_t state = 88172645463325252ull;

static uint64_t next(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static void check_number(double value) {
  static const char *const formats[] = {"%f",     "%.0f",     "%e",    "%g",      "%.17g", "%.3f",  "%#g",
                                        "%10.2f", "%-12.4e|", "%+.1f", "%012.3f", "%.15g", "%#.0f", "%G %E"};
  for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) check(formats[i], value, value);
  cs_text text = {0};
  cs_append_shortest(&text, value);
  CHECK(strtod(text.data, NULL) == value && cs_is_number(text.data, text.size));
  CHECK(cs_parse_double(text.data, text.size) == value);
}

static void check_parsed(const char *text) {
  double ours = cs_parse_double(text, strlen(text)), theirs = strtod(text, NULL);
  CHECK(memcmp(&ours, &theirs, sizeof(double)) == 0);
}

/* The middle between two neighbours, and a little more: where one digit of many decides. */
static void check_middle(double value) {
  static char text[2048];
  uint64_t bits;
  memcpy(&bits, &value, 8);
  bits++;
  double above;
  memcpy(&above, &bits, 8);
  snprintf(text, sizeof(text) - 2, "%.1100Lf", ((long double)value + (long double)above) / 2);
  check_parsed(text);
  strcat(text, "1");
  check_parsed(text);
}

void test_numbers(void) {
  const double special[] = {0.0,
                            -0.0,
                            1,
                            0.5,
                            1.5,
                            2.5,
                            0.1,
                            9.5,
                            9.9999999,
                            99.5,
                            1e21,
                            1e22,
                            1e23,
                            5e-324,
                            1e100,
                            1.7976931348623157e308,
                            2.2250738585072014e-308,
                            123456,
                            1234567,
                            0.0001,
                            0.00001,
                            9007199254740992.0};
  for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) check_number(special[i]);
  for (int i = 0; i < 2000; i++) {
    uint64_t bits = next();
    double any, price = (double)(next() % 2000000) / 1000;
    memcpy(&any, &bits, 8);
    if (isfinite(any)) check_number(any);
    check_number(price);
    char text[64];
    snprintf(text, sizeof(text), "%.*e", (int)(next() % 40), isfinite(any) ? any : price);
    check_parsed(text);
    if (isfinite(any)) check_middle(fabs(any) / 2);
  }
  check_parsed("1e400");
  check_parsed("-1e-400");
  check_parsed("0e99999999999");
  check_parsed("4.9406564584124654e-324");
  check_parsed("2.4703282292062327e-324");
  CHECK_TEXT(coinslot_format("%f %e %g %F", INFINITY, -INFINITY, NAN, INFINITY), "inf -inf nan INF");
}
