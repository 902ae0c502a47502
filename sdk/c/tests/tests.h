/* Declares the tests, and what they check with. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../internal.h"

#define CHECK(condition)                                                      \
  do {                                                                        \
    if (!(condition)) {                                                       \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                                \
    }                                                                         \
  } while (0)

#define CHECK_TEXT(actual, expected)                                                                   \
  do {                                                                                                 \
    const char *is = (actual), *should = (expected);                                                   \
    if (is == NULL || strcmp(is, should) != 0) {                                                       \
      fprintf(stderr, "%s:%d: %s is\n  %s\nand not\n  %s\n", __FILE__, __LINE__, #actual, is, should); \
      exit(1);                                                                                         \
    }                                                                                                  \
  } while (0)

void test_format(void);
void test_numbers(void);
void test_json(void);
void test_json_writing(void);
void test_routes(void);
void test_schemas(void);
void test_manifest(void);
void test_answers(void);
