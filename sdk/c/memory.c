/*
 * Gives memory that lives until the request has been answered.
 *
 * Chunks are filled from their beginning and released together. A library of C has its own idea of the memory above the
 * program, so where there is one, chunks come from its malloc. Without one (COINSLOT_FREESTANDING) they are new pages.
 */
#include "internal.h"

#ifdef COINSLOT_FREESTANDING
#define PAGE 65536u
#else
#include <stdlib.h>
#endif

typedef struct chunk {
  struct chunk *before;
  size_t capacity;
  size_t used;
  uint64_t align;
} chunk;

#define CHUNK_SIZE (32u * 1024u)

/* The chunk that is being filled, with those before it, and chunks to use again. */
static chunk *filled;
static chunk *released;

/* The first released chunk that is large enough, taken out of its list. */
static chunk *reused(size_t capacity) {
  for (chunk **link = &released; *link != NULL; link = &(*link)->before) {
    chunk *found = *link;
    if (found->capacity >= capacity) {
      *link = found->before;
      return found;
    }
  }
  return NULL;
}

static chunk *new_chunk(size_t capacity) {
  chunk *made = reused(capacity);
  if (made == NULL) {
    size_t size = capacity + sizeof(chunk) < CHUNK_SIZE ? CHUNK_SIZE : capacity + sizeof(chunk);
    if (size < capacity) __builtin_trap();
#ifdef COINSLOT_FREESTANDING
    size = (size + PAGE - 1) / PAGE * PAGE;
    size_t page = __builtin_wasm_memory_grow(0, size / PAGE);
    if (page == (size_t)-1) __builtin_trap();
    made = (chunk *)(page * PAGE);
#else
    made = malloc(size);
    if (made == NULL) __builtin_trap();
#endif
    made->capacity = size - sizeof(chunk);
  }
  made->before = filled;
  made->used = 0;
  filled = made;
  return made;
}

/* Memory of this size, not zero. One that cannot be had ends the request as a fault, as a limit of the host does. */
void *cs_alloc(size_t size, size_t align) {
  for (chunk *current = filled;; current = new_chunk(size + align)) {
    if (current == NULL) continue;
    size_t begin = (current->used + align - 1) & ~(align - 1);
    if (begin <= current->capacity && size <= current->capacity - begin) {
      current->used = begin + size;
      return (char *)(current + 1) + begin;
    }
  }
}

/* The error of the last call. Its text may be in this memory, so it ends with the request. */
static const char *last_error;

void cs_set_error(const char *text) { last_error = text; }

const char *coinslot_error(void) { return last_error; }

static void (*before_release)(void);

/* Has a function called once, before the memory is released. */
void cs_before_release(void (*function)(void)) { before_release = function; }

void cs_release_all(void) {
  if (before_release != NULL) before_release();
  before_release = NULL;
  last_error = NULL;
  while (filled != NULL) {
    chunk *next = filled->before;
#ifdef COINSLOT_FREESTANDING
    filled->before = released;
    released = filled;
#else
    if (filled->capacity == CHUNK_SIZE - sizeof(chunk)) {
      filled->before = released;
      released = filled;
    } else {
      free(filled);
    }
#endif
    filled = next;
  }
}

/* Gives memory to the host for what it passes. There is a zero byte behind a string. */
CS_EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
  if (size != 0 && size <= old_size) return old;
  /* Nothing that this SDK imports has an alignment of 8. The adapter of WASI preview 1 has, and keeps what it gets for
     as long as the instance lives. */
  if (align >= 8) {
#ifdef COINSLOT_FREESTANDING
    size_t page = __builtin_wasm_memory_grow(0, (size + PAGE - 1) / PAGE);
    if (page == (size_t)-1) __builtin_trap();
    char *kept = (char *)(page * PAGE);
#else
    char *kept = aligned_alloc(align, (size + align - 1) / align * align);
    if (kept == NULL) __builtin_trap();
#endif
    cs_copy_bytes(kept, old, old_size);
    return kept;
  }
  char *made = cs_alloc(size + 1, align);
  cs_copy_bytes(made, old, old_size);
  made[size] = 0;
  return made;
}

void cs_copy_bytes(void *to, const void *from, size_t size) {
  if (size != 0) __builtin_memcpy(to, from, size);
}

/* A copy with a zero byte behind it. */
char *cs_copy(const char *data, size_t size) {
  char *copy = cs_alloc(size + 1, 1);
  cs_copy_bytes(copy, data, size);
  copy[size] = 0;
  return copy;
}

void *coinslot_alloc(size_t size) {
  void *made = cs_alloc(size, 16);
  __builtin_memset(made, 0, size);
  return made;
}

size_t cs_length(const char *text) {
  size_t size = 0;
  while (text != NULL && text[size] != 0) size++;
  return size;
}

cs_slice cs_slice_of(const char *text) { return (cs_slice){text, cs_length(text)}; }

bool cs_equal(cs_slice one, cs_slice other) {
  return one.size == other.size && (one.size == 0 || __builtin_memcmp(one.data, other.data, one.size) == 0);
}

bool cs_is(cs_slice one, const char *other) { return cs_equal(one, cs_slice_of(other)); }
