/*
 * Writes and reads floating-point numbers, exactly rounded.
 *
 * A double is a whole number times a power of two, so its decimal digits are computed exactly, at most 767 of them, and
 * rounded once, half to even. Reading computes with whole numbers as well: a number in decimal is brought to at least
 * 64 bits, what is cut off is remembered, and the result is rounded once.
 */
#include "internal.h"

#define BILLION 1000000000u

/* A whole number: `count` words, the least significant one first. */
typedef struct {
  uint32_t words[136];
  size_t count;
} whole;

/* value * factor + addend, in words of `base`, or of 2^32 if it is 0. */
static void multiply(whole *value, uint32_t factor, uint32_t addend, uint32_t base) {
  uint64_t carry = addend;
  for (size_t i = 0; i < value->count; i++) {
    carry += (uint64_t)value->words[i] * factor;
    value->words[i] = base == 0 ? (uint32_t)carry : (uint32_t)(carry % base);
    carry = base == 0 ? carry >> 32 : carry / base;
  }
  if (carry != 0) value->words[value->count++] = (uint32_t)carry;
}

/* value / divisor in words of 2^32. Returns whether there is a remainder. */
static bool divide(whole *value, uint32_t divisor) {
  uint64_t rest = 0;
  for (size_t i = value->count; i-- > 0;) {
    rest = rest << 32 | value->words[i];
    value->words[i] = (uint32_t)(rest / divisor);
    rest %= divisor;
  }
  while (value->count > 0 && value->words[value->count - 1] == 0) value->count--;
  return rest != 0;
}

/* The digits of a finite number above zero: 0.DIGITS * 10^point. */
typedef struct {
  char digits[1120];
  int count;
  int point;
} decimal;

static void expand(double value, decimal *out) {
  uint64_t bits;
  __builtin_memcpy(&bits, &value, 8);
  int exponent = (int)(bits >> 52 & 0x7ff);
  uint64_t mantissa = bits & ((1ull << 52) - 1);
  if (exponent != 0) mantissa |= 1ull << 52;
  exponent = (exponent == 0 ? 1 : exponent) - 1075;
  whole number = {.count = 0};
  for (uint64_t rest = mantissa; rest != 0; rest /= BILLION) number.words[number.count++] = (uint32_t)(rest % BILLION);
  /* m * 2^-n is m * 5^n / 10^n. */
  int left = exponent < 0 ? -exponent : exponent;
  for (int step; left > 0; left -= step) {
    step = exponent < 0 ? (left < 12 ? left : 12) : (left < 29 ? left : 29);
    uint32_t factor = 1;
    for (int i = 0; i < step; i++) factor *= exponent < 0 ? 5 : 2;
    multiply(&number, factor, 0, BILLION);
  }
  out->count = 0;
  for (size_t i = number.count; i-- > 0;) {
    char nine[9];
    uint32_t word = number.words[i];
    for (int k = 9; k-- > 0; word /= 10) nine[k] = (char)('0' + word % 10);
    for (int k = 0; k < 9; k++) {
      if (out->count != 0 || nine[k] != '0') out->digits[out->count++] = nine[k];
    }
  }
  out->point = out->count - (exponent < 0 ? -exponent : 0);
}

/* Keeps so many digits, rounded half to even. */
static void round_to(decimal *number, int keep) {
  if (keep < 0) {
    number->count = 0;
    return;
  }
  if (keep >= number->count) return;
  bool is_half = number->digits[keep] == '5';
  bool is_up = number->digits[keep] > '5';
  for (int i = keep + 1; is_half && i < number->count; i++) {
    if (number->digits[i] != '0') {
      is_half = false;
      is_up = true;
    }
  }
  if (is_half) is_up = keep > 0 && (number->digits[keep - 1] - '0') % 2 == 1;
  number->count = keep;
  int at = keep;
  while (is_up && at > 0 && number->digits[at - 1] == '9') number->digits[--at] = '0';
  if (is_up && at > 0) {
    number->digits[at - 1]++;
  } else if (is_up) {
    /* All of them were nines, or there are none: the number is 1 with zeros. */
    number->digits[0] = '1';
    for (int i = 1; i <= keep; i++) number->digits[i] = '0';
    number->count = keep + 1;
    number->point++;
  }
}

/* Digits from one place to another one, with zeros before the first and after the last. */
static void append_digits(cs_text *text, const decimal *number, int from, int to) {
  for (int i = from; i < to; i++) cs_append_char(text, i >= 0 && i < number->count ? number->digits[i] : '0');
}

static void append_fixed(cs_text *text, const decimal *number, int precision, bool has_point) {
  if (number->point <= 0) cs_append_char(text, '0');
  append_digits(text, number, 0, number->point);
  if (precision > 0 || has_point) cs_append_char(text, '.');
  append_digits(text, number, number->point, number->point + precision);
}

static void append_scientific(cs_text *text, const decimal *number, int precision, bool has_point, char e) {
  int exponent = number->count == 0 ? 0 : number->point - 1;
  append_digits(text, number, 0, 1);
  if (precision > 0 || has_point) cs_append_char(text, '.');
  append_digits(text, number, 1, 1 + precision);
  cs_append_char(text, e);
  cs_append_char(text, exponent < 0 ? '-' : '+');
  if (exponent < 0) exponent = -exponent;
  if (exponent >= 100) cs_append_char(text, (char)('0' + exponent / 100));
  cs_append_char(text, (char)('0' + exponent / 10 % 10));
  cs_append_char(text, (char)('0' + exponent % 10));
}

/* Appends a number that is not negative by one of %f, %e and %g; a precision below 0 is 6. */
void cs_append_double(cs_text *text, double value, char conversion, int precision, bool is_alternate) {
  bool is_upper = conversion < 'a';
  if (!__builtin_isfinite(value)) {
    cs_append_text(text, __builtin_isnan(value) ? (is_upper ? "NAN" : "nan") : (is_upper ? "INF" : "inf"));
    return;
  }
  char kind = is_upper ? (char)(conversion + 32) : conversion;
  decimal number = {.count = 0};
  if (value != 0) expand(value, &number);
  if (number.count == 0) number.point = 1;
  if (precision < 0) precision = 6;
  if (kind == 'f') {
    round_to(&number, number.point + precision);
    append_fixed(text, &number, precision, is_alternate);
    return;
  }
  if (kind == 'e') {
    round_to(&number, 1 + precision);
    append_scientific(text, &number, precision, is_alternate, is_upper ? 'E' : 'e');
    return;
  }
  if (precision == 0) precision = 1;
  round_to(&number, precision);
  int exponent = number.count == 0 ? 0 : number.point - 1;
  while (!is_alternate && number.count > 1 && number.digits[number.count - 1] == '0') number.count--;
  int shown = is_alternate ? precision : number.count == 0 ? 1 : number.count;
  if (exponent < -4 || exponent >= precision) {
    append_scientific(text, &number, shown - 1, is_alternate, is_upper ? 'E' : 'e');
  } else {
    append_fixed(text, &number, shown > number.point ? shown - number.point : 0, is_alternate);
  }
}

/* Appends the shortest digits that read as this number, in a form that is JSON. It has to be finite. */
void cs_append_shortest(cs_text *text, double value) {
  if (value < 0) {
    cs_append_char(text, '-');
    value = -value;
  }
  for (int precision = 1;; precision++) {
    cs_text tried = {0};
    cs_append_double(&tried, value, 'g', precision, false);
    if (precision == 17 || cs_parse_double(tried.data, tried.size) == value) {
      /* Whole numbers up to 2^53 are written as such, and not as 1e+06. */
      if (value < 9007199254740992.0 && value == (double)(uint64_t)value) {
        tried.size = 0;
        cs_append_double(&tried, value, 'f', 0, false);
      }
      cs_append(text, tried.data, tried.size);
      return;
    }
  }
}

/* The double with this many bits, of which `is_more` says that more than zeros follow: bits * 2^exponent, rounded. */
static double assemble(const whole *number, int exponent, bool is_more) {
  if (number->count == 0) return 0;
  int length = (int)(32 * number->count) - __builtin_clz(number->words[number->count - 1]);
  int top = length - 1 + exponent;
  if (top > 1023) return __builtin_inf();
  int precision = top < -1022 ? 53 - (-1022 - top) : 53;
  if (precision < 0) return 0;
  uint64_t mantissa = 0;
  bool is_half = false;
  for (int i = length - 1; i >= 0; i--) {
    bool bit = (number->words[i / 32] >> (i % 32) & 1) != 0;
    int place = length - 1 - i;
    if (place < precision)
      mantissa = mantissa << 1 | bit;
    else if (place == precision)
      is_half = bit;
    else
      is_more = is_more || bit;
  }
  for (int place = length; place < precision; place++) mantissa <<= 1;
  if (is_half && (is_more || (mantissa & 1) != 0)) mantissa++;
  if (mantissa == 1ull << 53) {
    mantissa >>= 1;
    top++;
  }
  if (top > 1023) return __builtin_inf();
  uint64_t bits = mantissa;
  if (top >= -1022) bits = (uint64_t)(top + 1023) << 52 | (mantissa & ((1ull << 52) - 1));
  double value;
  __builtin_memcpy(&value, &bits, 8);
  return value;
}

/* The number in a text of JSON's grammar; infinite if it is too large. */
double cs_parse_double(const char *text, size_t size) {
  whole number = {.count = 0};
  int digits = 0, point = 0, exponent = 0;
  bool is_negative = false, is_fraction = false, is_more = false;
  size_t at = 0;
  if (at < size && text[at] == '-') is_negative = true, at++;
  for (; at < size && (text[at] == '.' || (text[at] >= '0' && text[at] <= '9')); at++) {
    if (text[at] == '.') {
      is_fraction = true;
    } else if (digits < 800) {
      multiply(&number, 10, (uint32_t)(text[at] - '0'), 0);
      if (number.count != 0) digits++;
      if (is_fraction) point--;
    } else {
      is_more = is_more || text[at] != '0';
      if (!is_fraction) point++;
    }
  }
  if (at < size && (text[at] == 'e' || text[at] == 'E')) {
    bool is_small = ++at < size && text[at] == '-';
    if (at < size && (text[at] == '-' || text[at] == '+')) at++;
    for (; at < size; at++) exponent = exponent < 100000 ? exponent * 10 + (text[at] - '0') : exponent;
    if (is_small) exponent = -exponent;
  }
  exponent += point;
  double value = 0;
  if (digits != 0 && digits + exponent > 310) {
    value = __builtin_inf();
  } else if (digits != 0 && digits + exponent > -330) {
    for (; exponent > 0; exponent--) multiply(&number, 10, 0, 0);
    int shift = 0;
    /* Enough words that the quotient has at least 64 bits: 10^9 is less than 2^30. */
    size_t needed = exponent < 0 ? (size_t)(-exponent) * 10 / 96 + 4 : 0;
    for (; number.count < needed; shift += 32) {
      for (size_t i = number.count++; i > 0; i--) number.words[i] = number.words[i - 1];
      number.words[0] = 0;
    }
    for (; exponent < 0; exponent++) is_more = divide(&number, 10) || is_more;
    value = assemble(&number, -shift, is_more);
  }
  return is_negative ? -value : value;
}
