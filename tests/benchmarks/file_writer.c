/* SPDX-License-Identifier: Apache-2.0
 *
 * What the disk allows: writes the same bytes as COUNT files of its own per thread, and flushes them, as a durable
 * receiver must; it receives nothing.
 *
 *   file_writer FOLDER FILE COUNT THREADS RUN none|fsync|rename
 *
 * none: write. fsync: write, fsync. rename: write to FOLDER/<name>.part, fsync, rename to FOLDER/<shelf>/<name>, fsync
 * of the shelf (256 shelves, made beforehand). Prints one line of JSON. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SHELVES 256

static const char *folder, *mode, *run_name;
static char *data;
static size_t size;
static long count;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static void fail(const char *what) { perror(what); exit(2); }

static void flush_shelf(const char *shelf) {
  int fd = open(shelf, O_RDONLY | O_DIRECTORY);
  if (fd < 0 || fsync(fd)) fail(shelf);
  close(fd);
}

static void write_file(long thread, long number) {
  char part[4096], name[4096], shelf[4096];
  unsigned place = (unsigned)(number * 2654435761u + thread * 40503u) % SHELVES;
  snprintf(part, sizeof part, "%s/%s-%ld-%ld.part", folder, run_name, thread, number);
  int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) fail(part);
  for (size_t sent = 0; sent < size;) {
    ssize_t wrote = write(fd, data + sent, size - sent);
    if (wrote < 0) fail(part);
    sent += wrote;
  }
  if (strcmp(mode, "none") && fsync(fd)) fail(part);
  close(fd);
  if (strcmp(mode, "rename")) return;
  snprintf(shelf, sizeof shelf, "%.2000s/%02x", folder, place);
  snprintf(name, sizeof name, "%.2100s/%s-%ld-%ld.dcm", shelf, run_name, thread, number);
  if (rename(part, name)) fail(name);
  flush_shelf(shelf);
}

static void *run(void *thread) {
  for (long number = 0; number < count; number++) write_file((long)thread, number);
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 7) {
    fprintf(stderr, "usage: file_writer FOLDER FILE COUNT THREADS RUN none|fsync|rename\n");
    return 1;
  }
  struct stat about;
  int file = open(argv[2], O_RDONLY), threads = atoi(argv[4]);
  folder = argv[1]; count = atol(argv[3]); run_name = argv[5]; mode = argv[6];
  if (file < 0 || fstat(file, &about)) fail(argv[2]);
  size = about.st_size;
  data = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
  for (int shelf = 0; shelf < SHELVES; shelf++) {
    char name[4096];
    snprintf(name, sizeof name, "%s/%02x", folder, shelf);
    mkdir(name, 0700);
  }
  pthread_t *all = calloc(threads, sizeof(pthread_t));
  double started = now();
  for (long number = 0; number < threads; number++) pthread_create(&all[number], NULL, run, (void *)number);
  for (int number = 0; number < threads; number++) pthread_join(all[number], NULL);
  double seconds = now() - started;
  printf("{\"stored\": %ld, \"bytes\": %.0f, \"seconds\": %.6f}\n", count * threads, (double)count * threads * size, seconds);
  return 0;
}
