/* Builds text: appends, formats as printf does, and mends what is not UTF-8. */
#include "internal.h"

void cs_append(cs_text *text, const char *data, size_t size) {
  if (text->capacity - text->size <= size || text->data == NULL) {
    size_t capacity = (text->size + size + 1) * 2;
    if (capacity < 64) capacity = 64;
    if (capacity <= text->size || capacity <= size) __builtin_trap();
    char *grown = cs_alloc(capacity, 1);
    cs_copy_bytes(grown, text->data, text->size);
    text->data = grown;
    text->capacity = capacity;
  }
  cs_copy_bytes(text->data + text->size, data, size);
  text->size += size;
  text->data[text->size] = 0;
}

void cs_append_text(cs_text *text, const char *data) { cs_append(text, data, cs_length(data)); }

void cs_append_char(cs_text *text, char c) { cs_append(text, &c, 1); }

cs_slice cs_finished(const cs_text *text) { return (cs_slice){text->data == NULL ? "" : text->data, text->size}; }

/* Appends the UTF-8 of a code point. */
void cs_append_point(cs_text *text, uint32_t point) {
  char bytes[4];
  size_t size = 0;
  if (point < 0x80) {
    bytes[size++] = (char)point;
  } else {
    if (point < 0x800) {
      bytes[size++] = (char)(0xc0 | point >> 6);
    } else {
      if (point < 0x10000) {
        bytes[size++] = (char)(0xe0 | point >> 12);
      } else {
        bytes[size++] = (char)(0xf0 | point >> 18);
        bytes[size++] = (char)(0x80 | (point >> 12 & 0x3f));
      }
      bytes[size++] = (char)(0x80 | (point >> 6 & 0x3f));
    }
    bytes[size++] = (char)(0x80 | (point & 0x3f));
  }
  cs_append(text, bytes, size);
}

/* The length of the UTF-8 sequence that begins here; 0 if there is none. Table 3-7 of the Unicode Standard. */
size_t cs_utf8_length(const char *data, size_t size) {
  const unsigned char *at = (const unsigned char *)data;
  if (size == 0) return 0;
  if (at[0] < 0x80) return 1;
  size_t length = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
  if (at[0] < 0xc2 || at[0] > 0xf4 || size < length) return 0;
  unsigned char least = at[0] == 0xe0 ? 0xa0 : at[0] == 0xf0 ? 0x90 : 0x80;
  unsigned char most = at[0] == 0xed ? 0x9f : at[0] == 0xf4 ? 0x8f : 0xbf;
  if (at[1] < least || at[1] > most) return 0;
  for (size_t i = 2; i < length; i++) {
    if (at[i] < 0x80 || at[i] > 0xbf) return 0;
  }
  return length;
}

/* Appends text from outside: U+FFFD takes the place of what is not UTF-8, and of zero bytes, which would end it. */
void cs_append_utf8(cs_text *text, const char *data, size_t size) {
  for (size_t i = 0; i < size;) {
    size_t length = data[i] == 0 ? 0 : cs_utf8_length(data + i, size - i);
    if (length == 0) {
      cs_append_point(text, 0xfffd);
      i++;
    } else {
      cs_append(text, data + i, length);
      i += length;
    }
  }
}

/* One conversion of a format. */
typedef struct {
  bool is_left, has_plus, has_space, is_alternate, is_zero;
  int width;
  int precision;
  /* The size of an integer in bytes. */
  unsigned bytes;
} conversion;

static void pad(cs_text *text, const conversion *how, cs_slice sign, const char *data, size_t size, bool is_number) {
  size_t missing = (size_t)how->width > sign.size + size ? (size_t)how->width - sign.size - size : 0;
  bool zeros = how->is_zero && !how->is_left && is_number;
  if (!zeros && !how->is_left) {
    for (size_t i = 0; i < missing; i++) cs_append_char(text, ' ');
  }
  cs_append(text, sign.data, sign.size);
  if (zeros) {
    for (size_t i = 0; i < missing; i++) cs_append_char(text, '0');
  }
  cs_append(text, data, size);
  if (how->is_left) {
    for (size_t i = 0; i < missing; i++) cs_append_char(text, ' ');
  }
}

static cs_slice sign_of(const conversion *how, bool is_negative) {
  return cs_slice_of(is_negative ? "-" : how->has_plus ? "+" : how->has_space ? " " : "");
}

static void append_integer(cs_text *text, conversion how, char kind, uint64_t value) {
  char digits[32];
  size_t at = sizeof(digits);
  unsigned base = kind == 'x' || kind == 'X' || kind == 'p' ? 16 : kind == 'o' ? 8 : 10;
  bool is_signed = kind == 'd' || kind == 'i';
  bool is_negative = false;
  unsigned shift = 64 - 8 * how.bytes;
  value = value << shift >> shift;
  if (is_signed && (value >> (8 * how.bytes - 1) & 1) != 0) {
    is_negative = true;
    value = ((~value + 1) << shift) >> shift;
  }
  const char *names = kind == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
  bool has_prefix = kind == 'p' || (how.is_alternate && base == 16 && value != 0);
  for (; value != 0; value /= base) digits[--at] = names[value % base];
  cs_text number = {0};
  int count = (int)(sizeof(digits) - at);
  for (int least = how.precision < 0 ? 1 : how.precision; count < least; least--) cs_append_char(&number, '0');
  if (how.is_alternate && base == 8 && number.size == 0) cs_append_char(&number, '0');
  cs_append(&number, digits + at, (size_t)count);
  cs_slice sign = is_signed ? sign_of(&how, is_negative) : cs_slice_of(!has_prefix ? "" : kind == 'X' ? "0X" : "0x");
  if (how.precision >= 0) how.is_zero = false;
  pad(text, &how, sign, number.data, number.size, true);
}

static void append_float(cs_text *text, const conversion *how, char kind, double value) {
  cs_text number = {0};
  bool is_negative = __builtin_signbit(value) != 0;
  bool is_finite = __builtin_isfinite(value);
  cs_append_double(&number, is_negative ? -value : value, kind, how->precision, how->is_alternate);
  pad(text, how, sign_of(how, is_negative && !__builtin_isnan(value)), number.data, number.size, is_finite);
}

static void append_string(cs_text *text, const conversion *how, const char *value) {
  if (value == NULL) value = "(null)";
  size_t size = 0;
  while ((how->precision < 0 || size < (size_t)how->precision) && value[size] != 0) size++;
  pad(text, how, cs_slice_of(""), value, size, false);
}

static int number_at(const char **format) {
  int number = 0;
  for (; **format >= '0' && **format <= '9'; (*format)++) {
    if (number < 100000) number = number * 10 + (**format - '0');
  }
  return number;
}

/* The flags of a conversion, and the letters that say how large an integer is. */
static const char *flags_at(const char *format, conversion *how) {
  for (;; format++) {
    if (*format == '-')
      how->is_left = true;
    else if (*format == '+')
      how->has_plus = true;
    else if (*format == ' ')
      how->has_space = true;
    else if (*format == '#')
      how->is_alternate = true;
    else if (*format == '0')
      how->is_zero = true;
    else
      return format;
  }
}

static const char *bytes_at(const char *format, conversion *how) {
  if (format[0] == 'h') {
    how->bytes = format[1] == 'h' ? 1 : 2;
    return format + (format[1] == 'h' ? 2 : 1);
  }
  if ((format[0] == 'l' && format[1] == 'l') || format[0] == 'j') {
    how->bytes = 8;
    return format + (format[0] == 'l' ? 2 : 1);
  }
  if (format[0] == 'l' || format[0] == 'z' || format[0] == 't') return format + 1;
  return format;
}

/* As vsnprintf of C11, but for %n and wide characters. `int`, `long` and pointers have 32 bits here. */
void cs_append_format(cs_text *text, const char *format, va_list arguments) {
  while (format != NULL && *format != 0) {
    if (*format != '%') {
      const char *begin = format;
      while (*format != 0 && *format != '%') format++;
      cs_append(text, begin, (size_t)(format - begin));
      continue;
    }
    conversion how = {.precision = -1, .bytes = 4};
    format = flags_at(format + 1, &how);
    if (*format == '*') {
      how.width = va_arg(arguments, int);
      if (how.width < 0) {
        how.is_left = true;
        how.width = how.width == INT32_MIN ? 0 : -how.width;
      }
      format++;
    } else {
      how.width = number_at(&format);
    }
    if (*format == '.') {
      format++;
      if (*format == '*') {
        how.precision = va_arg(arguments, int);
        format++;
      } else {
        how.precision = number_at(&format);
      }
    }
    format = bytes_at(format, &how);
    switch (*format) {
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
        append_integer(text, how, *format, how.bytes == 8 ? va_arg(arguments, uint64_t) : va_arg(arguments, uint32_t));
        break;
      case 'p': append_integer(text, how, 'p', (uintptr_t)va_arg(arguments, void *)); break;
      case 'f':
      case 'F':
      case 'e':
      case 'E':
      case 'g':
      case 'G': append_float(text, &how, *format, va_arg(arguments, double)); break;
      case 'c': {
        char c = (char)va_arg(arguments, int);
        pad(text, &how, cs_slice_of(""), &c, 1, false);
        break;
      }
      case 's': append_string(text, &how, va_arg(arguments, const char *)); break;
      case '%': cs_append_char(text, '%'); break;
      default:
        /* The arguments that follow cannot be told apart any more. */
        cs_append_text(text, "(?)");
        return;
    }
    format++;
  }
}

const char *coinslot_format(const char *format, ...) {
  cs_text text = {0};
  va_list arguments;
  va_start(arguments, format);
  cs_append_format(&text, format, arguments);
  va_end(arguments);
  return cs_finished(&text).data;
}
