/* SPDX-License-Identifier: Apache-2.0
 *
 * What the machine can do: writes, flushes and renames files as the node does, and nothing else.
 *
 *   cc -O2 -pthread -o durable_writer tests/benchmarks/durable_writer.c
 *   durable_writer FOLDER SIZE_BYTES COUNT THREADS
 *
 * Each thread takes the next number until COUNT files are there: open incoming/N, write, fsync, close, rename to one of
 * 256 shelves, fsync the shelf. Prints MB/s (10^6 bytes) and files/s. FOLDER must exist and be empty.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SHELVES = 256, CHUNK = 131072 };

static const char *folder;
static size_t size_bytes;
static int count;
static unsigned char *content;
static atomic_int next_file;

static void fail(const char *what) {
    fprintf(stderr, "durable_writer: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void flush_folder(const char *path) {
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0 || fsync(descriptor) != 0 || close(descriptor) != 0)
        fail(path);
}

static void write_file(int number) {
    char partial[4096], shelf[4096], final[4200];
    snprintf(partial, sizeof partial, "%s/incoming/%08d.part", folder, number);
    snprintf(shelf, sizeof shelf, "%s/instances/%02x", folder, (number * 167) % SHELVES);
    snprintf(final, sizeof final, "%s/%08d.dcm", shelf, number);
    int descriptor = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (descriptor < 0)
        fail(partial);
    for (size_t done = 0; done < size_bytes;) { /* pieces as they come from a socket */
        size_t piece = size_bytes - done < CHUNK ? size_bytes - done : CHUNK;
        ssize_t written = write(descriptor, content + done, piece);
        if (written < 0)
            fail("write");
        done += (size_t)written;
    }
    if (fsync(descriptor) != 0 || close(descriptor) != 0)
        fail("fsync");
    if (rename(partial, final) != 0)
        fail("rename");
    flush_folder(shelf);
}

static void *work(void *unused) {
    (void)unused;
    for (int number; (number = atomic_fetch_add(&next_file, 1)) < count;)
        write_file(number);
    return NULL;
}

static void make_folder(const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (mkdir(path, 0700) != 0)
        fail(path);
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: durable_writer FOLDER SIZE_BYTES COUNT THREADS\n");
        return 2;
    }
    folder = argv[1];
    size_bytes = strtoull(argv[2], NULL, 10);
    count = atoi(argv[3]);
    int threads = atoi(argv[4]);
    pthread_t workers[64];
    if (threads < 1 || threads > 64 || count < 1) {
        fprintf(stderr, "durable_writer: COUNT must be at least 1, THREADS 1 to 64\n");
        return 2;
    }
    content = malloc(size_bytes ? size_bytes : 1);
    for (size_t index = 0; index < size_bytes; index++)
        content[index] = (unsigned char)(index * 2654435761u >> 24);
    make_folder("incoming");
    make_folder("instances");
    for (int shelf = 0; shelf < SHELVES; shelf++) {
        char name[32];
        snprintf(name, sizeof name, "instances/%02x", shelf);
        make_folder(name);
    }
    double started = seconds_now();
    for (int index = 0; index < threads; index++)
        if (pthread_create(&workers[index], NULL, work, NULL) != 0)
            fail("pthread_create");
    for (int index = 0; index < threads; index++)
        pthread_join(workers[index], NULL);
    double seconds = seconds_now() - started;
    printf("%.1f MB/s %.1f files/s\n", (double)size_bytes * count / 1e6 / seconds, count / seconds);
    return 0;
}
