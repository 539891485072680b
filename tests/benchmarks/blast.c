/* SPDX-License-Identifier: Apache-2.0
 *
 * A C-STORE sender that is never the limit of a benchmark: one thread and one association per sender, the data set
 * mapped into memory, an object in a few large writes, TCP_NODELAY. Like any modality it waits for each answer before
 * it sends the next object.
 *
 *   blast HOST PORT CALLING CALLED SOP_CLASS TRANSFER_SYNTAX PDU FILE COUNT SENDERS RUN [RATE]
 *
 * FILE holds a data set (no Part 10 header). In its first 64 KiB the twenty characters IIIIIIIIIIIIIIIIIIII stand where
 * digits of the SOP Instance UID go, SSSSSSSSSSSSSSSSSSSS where digits of the Study and Series Instance UIDs go; UIDs of
 * the command set begin with PREFIX, and so must those in the file. RUN makes the digits differ from run to run. Every
 * 300 instances of a sender a new study begins. COUNT is per sender; 0 only opens and releases an association. RATE
 * limits all senders together to so many objects a second.
 *
 * Prints one line of JSON. The seconds run from the moment all associations are open to the last answer. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "1.2.826.0.1.3680043.8.498."
#define DIGITS 20
#define STUDY_INSTANCES 300
#define MAX_PLACES 16
#define BATCH 512 /* PDUs in one writev; two vectors each */

typedef struct {
  int number, failures, first_failure, stored;
  double associate_ms, release_ms, *latencies;
  pthread_t thread;
} Sender;

static const char *host, *port, *calling, *called, *sop_class, *transfer_syntax;
static uint32_t pdu_wanted, run_number;
static long count;
static int senders, file;
static size_t size;
static double rate;
static pthread_barrier_t opened;
static double started;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static void fail(const char *what) {
  fprintf(stderr, "blast: %s: %s\n", what, errno ? strerror(errno) : "the peer said something else");
  exit(2);
}

static void put16(uint8_t *at, uint32_t value) { at[0] = value >> 8; at[1] = value; }
static void put32(uint8_t *at, uint32_t value) { put16(at, value >> 16); put16(at + 2, value); }
static uint32_t get32(const uint8_t *at) { return (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3]; }

static void write_all(int fd, struct iovec *vector, int parts) {
  while (parts) {
    ssize_t sent = writev(fd, vector, parts);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) fail("writing");
    while (parts && (size_t)sent >= vector->iov_len) { sent -= vector->iov_len; vector++; parts--; }
    if (parts) { vector->iov_base = (char *)vector->iov_base + sent; vector->iov_len -= sent; }
  }
}

static void send_bytes(int fd, const void *data, size_t length) {
  struct iovec one = {(void *)data, length};
  write_all(fd, &one, 1);
}

static void read_all(int fd, uint8_t *data, size_t length) {
  while (length) {
    ssize_t got = read(fd, data, length);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) { if (!got) errno = 0; fail("reading"); }
    data += got;
    length -= got;
  }
}

static size_t read_pdu(int fd, uint8_t *buffer, size_t room) {
  read_all(fd, buffer, 6);
  size_t length = get32(buffer + 2);
  if (length + 6 > room) { errno = EMSGSIZE; fail("reading a PDU"); }
  read_all(fd, buffer + 6, length);
  return length + 6;
}

static size_t item(uint8_t *at, uint8_t kind, const void *data, size_t length) {
  at[0] = kind; at[1] = 0;
  put16(at + 2, length);
  memcpy(at + 4, data, length);
  return length + 4;
}

static void title(uint8_t *at, const char *text) {
  memset(at, ' ', 16);
  memcpy(at, text, strlen(text) > 16 ? 16 : strlen(text));
}

static int dial(void) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
  if (getaddrinfo(host, port, &hints, &found)) { errno = EHOSTUNREACH; fail("finding the host"); }
  int fd = socket(found->ai_family, SOCK_STREAM, 0), one = 1;
  if (connect(fd, found->ai_addr, found->ai_addrlen)) fail("connecting");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  freeaddrinfo(found);
  return fd;
}

/* A-ASSOCIATE-RQ with one presentation context, number 1 (PS3.8 9.3.2). */
static void request(int fd) {
  uint8_t pdu[1024] = {1}, context[256] = {1}, syntaxes[128], user[64], length[4];
  size_t end = 74, inner = 4;
  put16(pdu + 6, 1);
  title(pdu + 10, called);
  title(pdu + 26, calling);
  end += item(pdu + end, 0x10, "1.2.840.10008.3.1.1.1", 21);
  inner += item(context + inner, 0x30, sop_class, strlen(sop_class));
  inner += item(context + inner, 0x40, transfer_syntax, strlen(transfer_syntax));
  end += item(pdu + end, 0x20, context, inner);
  put32(length, 131072);
  inner = item(syntaxes, 0x51, length, 4);
  memcpy(user, syntaxes, inner);
  inner += item(user + inner, 0x52, PREFIX "1", strlen(PREFIX "1"));
  end += item(pdu + end, 0x50, user, inner);
  put32(pdu + 2, end - 6);
  send_bytes(fd, pdu, end);
}

/* Reads the A-ASSOCIATE-AC; returns the largest PDU to send. */
static uint32_t accepted(int fd) {
  static __thread uint8_t pdu[65536];
  size_t end = read_pdu(fd, pdu, sizeof pdu);
  uint32_t largest = 0;
  int taken = 0;
  if (pdu[0] != 2) { errno = ECONNREFUSED; fail("associating"); }
  for (size_t at = 74; at + 4 <= end; at += 4 + (pdu[at + 2] << 8 | pdu[at + 3])) {
    if (pdu[at] == 0x21) taken = pdu[at + 6] == 0;
    if (pdu[at] != 0x50) continue;
    size_t user_end = at + 4 + (pdu[at + 2] << 8 | pdu[at + 3]);
    for (size_t sub = at + 4; sub + 4 <= user_end; sub += 4 + (pdu[sub + 2] << 8 | pdu[sub + 3]))
      if (pdu[sub] == 0x51) largest = get32(pdu + sub + 4);
  }
  if (!taken) { errno = EPROTONOSUPPORT; fail("associating (presentation context refused)"); }
  return largest && largest < pdu_wanted ? largest : pdu_wanted;
}

static size_t element(uint8_t *at, uint16_t number, const void *data, size_t length) {
  uint8_t head[8] = {0, 0, number & 255, number >> 8, length & 255, length >> 8, 0, 0};
  memcpy(at, head, 8);
  memcpy(at + 8, data, length);
  return length + 8;
}

static size_t uid_element(uint8_t *at, uint16_t number, const char *uid) {
  char even[66] = {0};
  snprintf(even, sizeof even, "%s", uid);
  return element(at, number, even, (strlen(uid) + 1) & ~1u);
}

/* C-STORE-RQ in one P-DATA-TF (PS3.7 9.3.1). */
static size_t command(uint8_t *pdu, uint16_t message_id, const char *digits) {
  uint8_t set[512], two[2], four[4];
  char uid[66];
  size_t end = 0;
  snprintf(uid, sizeof uid, PREFIX "%.*s", DIGITS, digits);
  end += uid_element(set + end, 0x0002, sop_class);
  two[0] = 1; two[1] = 0;
  end += element(set + end, 0x0100, two, 2);
  two[0] = message_id; two[1] = message_id >> 8;
  end += element(set + end, 0x0110, two, 2);
  two[0] = two[1] = 0;
  end += element(set + end, 0x0700, two, 2);
  two[0] = 1;
  end += element(set + end, 0x0800, two, 2);
  end += uid_element(set + end, 0x1000, uid);
  four[0] = end; four[1] = end >> 8; four[2] = four[3] = 0;
  uint8_t group[12];
  element(group, 0x0000, four, 4);
  memset(pdu, 0, 12);
  pdu[0] = 4;
  put32(pdu + 2, end + 12 + 6);
  put32(pdu + 6, end + 12 + 2);
  pdu[10] = 1;
  pdu[11] = 3;
  memcpy(pdu + 12, group, 12);
  memcpy(pdu + 24, set, end);
  return 24 + end;
}

static void send_data(int fd, uint8_t *data, uint32_t largest, uint8_t *heads) {
  struct iovec vector[2 * BATCH];
  size_t room = largest - 6, sent = 0;
  while (sent < size) {
    int parts = 0;
    for (; parts < 2 * BATCH && sent < size; parts += 2) {
      size_t length = size - sent < room ? size - sent : room;
      uint8_t *head = heads + 6 * parts;
      head[0] = 4; head[1] = 0;
      put32(head + 2, length + 6);
      put32(head + 6, length + 2);
      head[10] = 1;
      head[11] = sent + length == size ? 2 : 0;
      vector[parts] = (struct iovec){head, 12};
      vector[parts + 1] = (struct iovec){data + sent, length};
      sent += length;
    }
    write_all(fd, vector, parts);
  }
}

static int status(int fd) {
  uint8_t pdu[4096];
  size_t end = read_pdu(fd, pdu, sizeof pdu);
  if (pdu[0] != 4) { errno = ECONNABORTED; fail("waiting for an answer"); }
  for (size_t at = 12; at + 8 <= end; at += 8 + (pdu[at + 4] | pdu[at + 5] << 8))
    if (pdu[at + 2] == 0x00 && pdu[at + 3] == 0x09) return pdu[at + 8] | pdu[at + 9] << 8;
  errno = 0;
  fail("no status in the answer");
  return -1;
}

static int find(uint8_t *data, char letter, uint8_t **places) {
  char mark[DIGITS];
  int found = 0;
  memset(mark, letter, DIGITS);
  uint8_t *at = data, *end = data + (size < 65536 ? size : 65536);
  while (found < MAX_PLACES && (at = memmem(at, end - at, mark, DIGITS))) { places[found++] = at; at += DIGITS; }
  return found;
}

static void digits(char *text, unsigned sender, unsigned long number) {
  snprintf(text, DIGITS + 1, "%010u1%02u%07u", run_number, sender % 100, (unsigned)(number % 10000000));
}

static void pace(int sender, long number) {
  if (rate <= 0) return;
  double due = started + (number * senders + sender) / rate - now();
  if (due <= 0) return;
  struct timespec time = {(time_t)due, (long)((due - (time_t)due) * 1e9)};
  nanosleep(&time, NULL);
}

static void store(Sender *sender, int fd, uint8_t *data, uint32_t largest) {
  uint8_t *instances[MAX_PLACES], *studies[MAX_PLACES], pdu[1024], *heads = malloc(12 * BATCH * 2);
  int instance_places = find(data, 'I', instances), study_places = find(data, 'S', studies);
  if (!instance_places) { errno = EINVAL; fail("no place for the SOP Instance UID in the file"); }
  char text[DIGITS + 1];
  for (long number = 0; number < count; number++) {
    digits(text, sender->number, number / STUDY_INSTANCES);
    for (int place = 0; place < study_places; place++) memcpy(studies[place], text, DIGITS);
    digits(text, sender->number, number);
    for (int place = 0; place < instance_places; place++) memcpy(instances[place], text, DIGITS);
    pace(sender->number, number);
    double begun = now();
    send_bytes(fd, pdu, command(pdu, number % 65535 + 1, text));
    send_data(fd, data, largest, heads);
    int answer = status(fd);
    sender->latencies[number] = now() - begun;
    if (answer == 0) { sender->stored++; continue; }
    if (!sender->failures++) sender->first_failure = answer;
  }
  free(heads);
}

static void *run(void *argument) {
  Sender *sender = argument;
  uint8_t *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_POPULATE, file, 0), answer[64];
  if (data == MAP_FAILED) fail("mapping the file");
  sender->latencies = calloc(count ? count : 1, sizeof(double));
  double begun = now();
  int fd = dial();
  request(fd);
  uint32_t largest = accepted(fd);
  sender->associate_ms = (now() - begun) * 1e3;
  if (pthread_barrier_wait(&opened) == PTHREAD_BARRIER_SERIAL_THREAD) started = now();
  pthread_barrier_wait(&opened);
  if (count) store(sender, fd, data, largest);
  begun = now();
  uint8_t release[10] = {5, 0, 0, 0, 0, 4};
  send_bytes(fd, release, sizeof release);
  read_pdu(fd, answer, sizeof answer);
  sender->release_ms = (now() - begun) * 1e3;
  close(fd);
  return NULL;
}

static int by_size(const void *left, const void *right) {
  double difference = *(const double *)left - *(const double *)right;
  return difference < 0 ? -1 : difference > 0;
}

static void report(Sender *all, double seconds) {
  long stored = 0, failures = 0;
  int first = 0;
  double associate = 0, *latencies = calloc(senders * count + 1, sizeof(double));
  for (int number = 0; number < senders; number++) {
    stored += all[number].stored;
    failures += all[number].failures;
    if (all[number].first_failure) first = all[number].first_failure;
    associate += (all[number].associate_ms + all[number].release_ms) / senders;
    memcpy(latencies + number * count, all[number].latencies, count * sizeof(double));
  }
  qsort(latencies, senders * count, sizeof(double), by_size);
  long last = count > 0 ? senders * count - 1 : 0;
  printf("{\"stored\": %ld, \"failures\": %ld, \"first_failure\": %d, \"bytes\": %.0f, \"seconds\": %.6f, "
         "\"associate_and_release_ms\": %.4f, \"p50_seconds\": %.6f, \"p99_seconds\": %.6f, \"max_seconds\": %.6f}\n",
         stored, failures, first, (double)stored * size, seconds, associate, latencies[last / 2],
         latencies[last * 99 / 100], latencies[last]);
}

int main(int argc, char **argv) {
  if (argc < 12) {
    fprintf(stderr, "usage: blast HOST PORT CALLING CALLED SOP_CLASS TRANSFER_SYNTAX PDU FILE COUNT SENDERS RUN [RATE]\n");
    return 1;
  }
  signal(SIGPIPE, SIG_IGN);
  host = argv[1]; port = argv[2]; calling = argv[3]; called = argv[4]; sop_class = argv[5]; transfer_syntax = argv[6];
  pdu_wanted = strtoul(argv[7], NULL, 10);
  file = open(argv[8], O_RDONLY);
  struct stat about;
  if (file < 0 || fstat(file, &about)) fail(argv[8]);
  size = about.st_size;
  count = atol(argv[9]); senders = atoi(argv[10]); run_number = strtoul(argv[11], NULL, 10);
  rate = argc > 12 ? atof(argv[12]) : 0;
  pthread_barrier_init(&opened, NULL, senders);
  Sender *all = calloc(senders, sizeof(Sender));
  for (int number = 0; number < senders; number++) {
    all[number].number = number;
    pthread_create(&all[number].thread, NULL, run, &all[number]);
  }
  double ended = 0;
  for (int number = 0; number < senders; number++) pthread_join(all[number].thread, NULL);
  ended = now();
  report(all, ended - started);
  return 0;
}
