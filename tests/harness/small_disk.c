// Limits the files of one folder to a number of bytes, for a process that loads this library first (LD_PRELOAD): a write
// that would make them larger fails with ENOSPC, as on a full disk. Files that do not grow are written as ever.
//
// SMALL_DISK_DIR is the folder; files of its subfolders do not count. SMALL_DISK_BYTES is the limit.

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// The bytes of all files of the folder.
static off_t used(const char *folder) {
  off_t sum = 0;
  DIR *listing = opendir(folder);
  if (!listing) return 0;
  for (struct dirent *entry; (entry = readdir(listing));) {
    struct stat file;
    if (fstatat(dirfd(listing), entry->d_name, &file, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(file.st_mode)) sum += file.st_size;
  }
  closedir(listing);
  return sum;
}

// Whether a file may become this long.
static int has_room(int fd, off_t length) {
  const char *folder = getenv("SMALL_DISK_DIR"), *limit = getenv("SMALL_DISK_BYTES");
  struct stat file;
  char link[64], path[PATH_MAX];
  if (!folder || !limit || fstat(fd, &file) != 0 || !S_ISREG(file.st_mode) || length <= file.st_size) return 1;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, sizeof path - 1);
  if (size < 0) return 1;
  path[size] = 0;
  char *name = strrchr(path, '/');
  if (!name) return 1;
  *name = 0;
  return strcmp(path, folder) != 0 || used(folder) + length - file.st_size <= atoll(limit);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *bytes, size_t count) {
  off_t at = fcntl(fd, F_GETFL) & O_APPEND ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
  if (at >= 0 && !has_room(fd, at + (off_t)count)) return errno = ENOSPC, -1;
  return NEXT(write)(fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
  if (!has_room(fd, at + (off_t)count)) return errno = ENOSPC, -1;
  return NEXT(pwrite)(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
  if (!has_room(fd, at + (off_t)count)) return errno = ENOSPC, -1;
  return NEXT(pwrite64)(fd, bytes, count, at);
}

int fallocate(int fd, int mode, off_t at, off_t count) {
  if (!has_room(fd, at + count)) return errno = ENOSPC, -1;
  return NEXT(fallocate)(fd, mode, at, count);
}

int posix_fallocate(int fd, off_t at, off_t count) {
  return has_room(fd, at + count) ? NEXT(posix_fallocate)(fd, at, count) : ENOSPC;
}
