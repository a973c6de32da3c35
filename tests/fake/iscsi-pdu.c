/* SPDX-License-Identifier: BSD-3-Clause */
/* PDUs, byte queues and sockets for iscsi-proxy and fake-iscsi-target; see
 * iscsi-pdu.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "iscsi-pdu.h"

void
die (const char *fmt, ...)
{
  va_list ap;

  fflush (stdout);
  va_start (ap, fmt);
  vfprintf (stderr, fmt, ap);
  va_end (ap);
  fputc ('\n', stderr);
  exit (1);
}

int64_t
now_ms (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

uint8_t *
bytes_reserve (struct bytes *b, size_t n)
{
  if (b->start > 0 && (b->start == b->end || b->size - b->end < n)) {
    if (b->start < b->end)
      memmove (b->data, b->data + b->start, b->end - b->start);
    b->end -= b->start;
    b->start = 0;
  }
  if (b->size - b->end < n || b->data == NULL) {
    size_t size = b->size ? b->size : 4096;
    uint8_t *data;

    while (size - b->end < n)
      size *= 2;
    data = realloc (b->data, size);
    if (data == NULL)
      die ("out of memory (%zu bytes)", size);
    b->data = data;
    b->size = size;
  }
  return b->data + b->end;
}

void
bytes_append (struct bytes *b, const void *p, size_t n)
{
  if (n == 0)
    return;
  memcpy (bytes_reserve (b, n), p, n);
  b->end += n;
}

void
bytes_consume (struct bytes *b, size_t n)
{
  b->start += n;
  if (b->start == b->end)
    b->start = b->end = 0;
}

void
bytes_free (struct bytes *b)
{
  free (b->data);
  memset (b, 0, sizeof *b);
}

size_t
bytes_whole_pdu (const struct bytes *b)
{
  size_t n;

  if (bytes_length (b) < BHS_SIZE)
    return 0;
  n = pdu_size (bytes_front (b));
  return bytes_length (b) >= n ? n : 0;
}

const char *
pdu_name (uint8_t opcode)
{
  static char buf[8];

  switch (opcode) {
  case OP_NOP_OUT: return "nop-out";
  case OP_SCSI_COMMAND: return "scsi-command";
  case OP_TMF_REQUEST: return "tmf-request";
  case OP_LOGIN_REQUEST: return "login-request";
  case OP_TEXT_REQUEST: return "text-request";
  case OP_DATA_OUT: return "data-out";
  case OP_LOGOUT_REQUEST: return "logout-request";
  case OP_SNACK: return "snack";
  case OP_NOP_IN: return "nop-in";
  case OP_SCSI_RESPONSE: return "scsi-response";
  case OP_TMF_RESPONSE: return "tmf-response";
  case OP_LOGIN_RESPONSE: return "login-response";
  case OP_TEXT_RESPONSE: return "text-response";
  case OP_DATA_IN: return "data-in";
  case OP_LOGOUT_RESPONSE: return "logout-response";
  case OP_R2T: return "r2t";
  case OP_ASYNC: return "async";
  case OP_REJECT: return "reject";
  default:
    snprintf (buf, sizeof buf, "op-%02x", opcode);
    return buf;
  }
}

const char *
text_next (const char *text, size_t length, const char *k, size_t *n)
{
  const char *end = text + length;

  if (k == NULL)
    k = text;
  else
    k += *n + 1;
  while (k < end && *k == '\0')
    k++;
  if (k >= end)
    return NULL;
  *n = strnlen (k, (size_t) (end - k));
  return k;
}

char *
text_get (const char *text, size_t length, const char *key)
{
  size_t n, m = strlen (key);
  const char *k;

  for (k = NULL; (k = text_next (text, length, k, &n)) != NULL; )
    if (n > m && k[m] == '=' && memcmp (k, key, m) == 0)
      return strndup (k + m + 1, n - m - 1);
  return NULL;
}

void
text_add (struct bytes *b, const char *key, const char *value)
{
  bytes_append (b, key, strlen (key));
  bytes_append (b, "=", 1);
  bytes_append (b, value, strlen (value) + 1);
}

static const struct {
  const char *name;
  struct cdb_filter filter;
} cdb_names[] = {
  { "any", { .any = true } },
  { "read", { .opcodes = { 0x08, 0x28, 0xa8, 0x88 }, .n = 4 } },
  { "write", { .opcodes = { 0x0a, 0x2a, 0xaa, 0x8a }, .n = 4 } },
  { "tur", { .opcodes = { 0x00 }, .n = 1 } },
  { "inquiry", { .opcodes = { 0x12 }, .n = 1 } },
  { "mode-sense", { .opcodes = { 0x1a, 0x5a }, .n = 2 } },
  { "report-luns", { .opcodes = { 0xa0 }, .n = 1 } },
  { "capacity", { .opcodes = { 0x25, 0x9e }, .n = 2 } }, /* and GET LBA STATUS */
  { "sync", { .opcodes = { 0x35, 0x91 }, .n = 2 } },
  { "unmap", { .opcodes = { 0x42 }, .n = 1 } },
  { "write-same", { .opcodes = { 0x41, 0x93 }, .n = 2 } },
  { "data", { .opcodes = { 0x08, 0x28, 0xa8, 0x88, 0x0a, 0x2a, 0xaa, 0x8a },
              .n = 8 } },
};

const char cdb_filter_help[] =
  "any read write data tur inquiry mode-sense report-luns capacity sync unmap "
  "write-same, or an opcode in hex";

bool
cdb_filter_parse (const char *word, struct cdb_filter *filter)
{
  char *end;
  unsigned long v;

  for (size_t i = 0; i < sizeof cdb_names / sizeof cdb_names[0]; i++) {
    if (strcmp (word, cdb_names[i].name) == 0) {
      *filter = cdb_names[i].filter;
      return true;
    }
  }
  v = strtoul (word, &end, 16);
  if (end == word || *end != '\0' || v > 0xff)
    return false;
  *filter = (struct cdb_filter) { .opcodes = { (uint8_t) v }, .n = 1 };
  return true;
}

bool
cdb_filter_match (const struct cdb_filter *filter, uint8_t opcode)
{
  if (filter->any)
    return true;
  for (int i = 0; i < filter->n; i++)
    if (filter->opcodes[i] == opcode)
      return true;
  return false;
}

bool
cdb_range (const uint8_t *cdb, uint64_t *lba, uint32_t *blocks)
{
  switch (cdb[0]) {
  case 0x08: case 0x0a:         /* (6): 0 blocks means 256, SBC-3 5.8 */
    *lba = get24 (cdb + 1) & 0x1fffff;
    *blocks = cdb[4] ? cdb[4] : 256;
    return true;
  case 0x28: case 0x2a: case 0x2e: case 0x2f: case 0x34: case 0x35: case 0x41:
    *lba = get32 (cdb + 2);
    *blocks = get16 (cdb + 7);
    return true;
  case 0xa8: case 0xaa:
    *lba = get32 (cdb + 2);
    *blocks = get32 (cdb + 6);
    return true;
  case 0x88: case 0x8a: case 0x8e: case 0x8f: case 0x90: case 0x91: case 0x93:
    *lba = get64 (cdb + 2);
    *blocks = get32 (cdb + 10);
    return true;
  default:
    return false;
  }
}

void
sense_build (uint8_t sense[SENSE_SIZE], uint8_t key, uint8_t asc, uint8_t ascq)
{
  memset (sense, 0, SENSE_SIZE);
  sense[0] = 0x70;
  sense[2] = key;
  sense[7] = SENSE_SIZE - 8;
  sense[12] = asc;
  sense[13] = ascq;
}

bool
address_parse (const char *text, struct address *addr)
{
  const char *colon = strrchr (text, ':');
  char host[48], *end;
  unsigned long port;
  size_t n;

  memset (addr, 0, sizeof *addr);
  if (colon == NULL || colon[1] == '\0')
    return false;
  port = strtoul (colon + 1, &end, 10);
  if (*end != '\0' || port > 65535)
    return false;
  n = (size_t) (colon - text);
  if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) &addr->sa;

    n -= 2;
    if (n >= sizeof host)
      return false;
    memcpy (host, text + 1, n);
    host[n] = '\0';
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons ((uint16_t) port);
    addr->len = sizeof *in6;
    return inet_pton (AF_INET6, host, &in6->sin6_addr) == 1;
  }
  else {
    struct sockaddr_in *in = (struct sockaddr_in *) &addr->sa;

    if (n >= sizeof host)
      return false;
    memcpy (host, text, n);
    host[n] = '\0';
    in->sin_family = AF_INET;
    in->sin_port = htons ((uint16_t) port);
    addr->len = sizeof *in;
    return inet_pton (AF_INET, host, &in->sin_addr) == 1;
  }
}

const char *
address_text (const struct address *addr, char buf[ADDRESS_TEXT])
{
  char host[INET6_ADDRSTRLEN] = "?";

  if (addr->sa.ss_family == AF_INET6) {
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) &addr->sa;

    inet_ntop (AF_INET6, &in6->sin6_addr, host, sizeof host);
    snprintf (buf, ADDRESS_TEXT, "[%s]:%u", host, ntohs (in6->sin6_port));
  }
  else {
    const struct sockaddr_in *in = (const struct sockaddr_in *) &addr->sa;

    inet_ntop (AF_INET, &in->sin_addr, host, sizeof host);
    snprintf (buf, ADDRESS_TEXT, "%s:%u", host, ntohs (in->sin_port));
  }
  return buf;
}

static int
stream_socket (const struct address *addr)
{
  return socket (addr->sa.ss_family,
                 SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static void
no_delay (int fd)
{
  int one = 1;

  setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

int
listen_on (struct address *addr)
{
  int fd = stream_socket (addr), one = 1, e;

  if (fd == -1)
    return -1;
  setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind (fd, (struct sockaddr *) &addr->sa, addr->len) == -1 ||
      listen (fd, 64) == -1 ||
      getsockname (fd, (struct sockaddr *) &addr->sa, &addr->len) == -1) {
    e = errno;
    close (fd);
    errno = e;
    return -1;
  }
  return fd;
}

int
connect_to (const struct address *addr)
{
  int fd = stream_socket (addr), e;

  if (fd == -1)
    return -1;
  no_delay (fd);
  if (connect (fd, (const struct sockaddr *) &addr->sa, addr->len) == -1 &&
      errno != EINPROGRESS) {
    e = errno;
    close (fd);
    errno = e;
    return -1;
  }
  return fd;
}

int
accept_from (int fd)
{
  int s = accept4 (fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

  if (s != -1)
    no_delay (s);
  return s;
}

void
close_with_rst (int fd)
{
  struct linger l = { .l_onoff = 1, .l_linger = 0 };

  setsockopt (fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
  close (fd);
}
