/* SPDX-License-Identifier: BSD-3-Clause */
/* iscsi-proxy: the control socket and its commands, and the ctl mode that
 * talks to it.  One command per line, one answer per line, "ok ..." or
 * "err ...". */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "iscsi-proxy.h"

const char control_help[] =
  "Commands (answered by one line, \"ok ...\" or \"err ...\"); they act on all portals,\n"
  "or on one with \"at ADDRESS:PORT COMMAND\" (where the proxy listens):\n"
  "  stats                       counters: connections, bytes, PDUs, SCSI opcodes\n"
  "  reset                       switch all faults off\n"
  "  delay-answers MS [CDB [N]]  each answer MS later (CDB: of these commands only; N: only\n"
  "                              so many of 1000, by lot); 0 off\n"
  "  slow MS                     SCSI commands end one by one, MS each; NOPs at once; 0 off\n"
  "  drop both|c2t|t2c on|off    swallow PDUs; TCP goes on acknowledging; no FIN passes\n"
  "  pause on|off                read and write nothing, as if stopped (SIGSTOP)\n"
  "  cut rst|fin [client]        end all connections now; client: that side only\n"
  "  refuse on|off               no listening socket: connection refused\n"
  "  stop-accept on|off          the kernel takes connections, nobody answers\n"
  "  hold-write LBA COUNT [TIMES] [all]\n"
  "                              keep the next TIMES (1) writes that touch the blocks, even\n"
  "                              when the client goes away; all: and everything behind it\n"
  "  release [MS]                give held writes to the target on their old connections and\n"
  "                              wait (5000 ms at most) for its answers:\n"
  "                              ok released=N good=N failed=N unanswered=N lost=N\n"
  "                              (lost: the target had ended the connection before)\n"
  "  inject STATUS KEY ASC ASCQ COUNT [CDB]\n"
  "                              answer the next COUNT (-1: all) commands without asking the\n"
  "                              target; hex but COUNT; 02 sends the sense, 08 is BUSY, ...\n"
  "  inject off\n"
  "  corrupt-data-in [COUNT]     flip bytes in the next COUNT Data-In PDUs of reads\n"
  "  short-read BYTES [COUNT] [silent]\n"
  "                              cut BYTES off the next reads, with a residual, or without\n"
  "  reorder N [MS]              answers in batches of N, last first (waits MS, 200); 0 off\n"
  "  async EVENT [KEY ASC ASCQ]  message to all sessions: 0 sense data, 1 logout request,\n"
  "                              2 drop connection, 3 drop session (they close), 4 negotiate\n"
  "  redirect ADDRESS:PORT [COUNT] | redirect off\n"
  "                              answer logins with 0101h, target moved temporarily\n"
  "  wwid HEX | wwid off         VPD page 83h: designators of the unit end in HEX\n"
  "  capacity BLOCKS | capacity off\n"
  "                              READ CAPACITY says so\n"
  "CDB is one of: any read write data tur inquiry mode-sense report-luns capacity sync\n"
  "unmap write-same, or an opcode in hex.\n";

#define LINE 4096
#define MAX_WORDS 16

struct control {
  struct control *next;
  int fd;
  uint64_t id;
  char in[LINE];
  size_t n;
  struct bytes out;
  bool closing;
  /* release: waiting for what became of the writes. */
  int released, good, failed, pending;
  uint64_t lost;
  int64_t deadline;
};

static struct control *controls;
static int listener = -1;
static char socket_path[sizeof ((struct sockaddr_un *) 0)->sun_path];
static uint64_t last_id;

static void reply (struct control *c, const char *fmt, ...)
  __attribute__ ((format (printf, 2, 3)));

static void
reply (struct control *c, const char *fmt, ...)
{
  char *line = NULL;
  va_list ap;
  int n;

  va_start (ap, fmt);
  n = vasprintf (&line, fmt, ap);
  va_end (ap);
  if (n < 0)
    die ("out of memory");
  bytes_append (&c->out, line, (size_t) n);
  bytes_append (&c->out, "\n", 1);
  free (line);
}

/* --- words ------------------------------------------------------------- */

static bool
number (const char *word, int base, int64_t min, int64_t max, int64_t *v)
{
  char *end;

  if (word == NULL || *word == '\0')
    return false;
  errno = 0;
  *v = strtoll (word, &end, base);
  return errno == 0 && *end == '\0' && *v >= min && *v <= max;
}

static bool
on_off (const char *word, bool *v)
{
  if (word == NULL)
    return false;
  *v = strcmp (word, "on") == 0;
  return *v || strcmp (word, "off") == 0;
}

static bool
hex_byte (const char *word, uint8_t *v)
{
  int64_t n;

  if (!number (word, 16, 0, 255, &n))
    return false;
  *v = (uint8_t) n;
  return true;
}

/* --- commands ---------------------------------------------------------- */

/* Each changes the rules of one portal; false: bad arguments.  words[0] is
 * the command; words[n] and above are NULL. */
typedef bool (*command_fn) (struct portal *p, char **w);

static bool
do_reset (struct portal *p, char **w)
{
  (void) w;
  memset (&p->rules, 0, sizeof p->rules);
  p->rules.reorder_ms = 200;
  portal_listen (p);
  return true;
}

static bool
do_delay (struct portal *p, char **w)
{
  struct rules *r = &p->rules;

  r->delay_filtered = w[2] != NULL;
  r->delay_permille = 1000;
  return number (w[1], 10, 0, 3600000, &r->delay_ms) &&
    (w[2] == NULL || cdb_filter_parse (w[2], &r->delay_filter)) &&
    (w[2] == NULL || w[3] == NULL ||
     number (w[3], 10, 0, 1000, &r->delay_permille));
}

static bool
do_slow (struct portal *p, char **w)
{
  return number (w[1], 10, 0, 3600000, &p->rules.slow_ms);
}

static bool
do_drop (struct portal *p, char **w)
{
  bool on, both = w[1] && strcmp (w[1], "both") == 0;
  bool c2t = both || (w[1] && strcmp (w[1], "c2t") == 0);
  bool t2c = both || (w[1] && strcmp (w[1], "t2c") == 0);

  if ((!c2t && !t2c) || !on_off (w[2], &on))
    return false;
  if (c2t)
    p->rules.drop_c2t = on;
  if (t2c)
    p->rules.drop_t2c = on;
  return true;
}

static bool
do_pause (struct portal *p, char **w)
{
  return on_off (w[1], &p->rules.pause);
}

static bool
do_cut (struct portal *p, char **w)
{
  bool rst = w[1] && strcmp (w[1], "rst") == 0;
  bool client = w[1] && w[2] && strcmp (w[2], "client") == 0;

  if (w[1] == NULL || (!rst && strcmp (w[1], "fin") != 0) || (w[2] && !client))
    return false;
  for (struct link *l = links; l != NULL; l = l->next)
    if (l->portal == p)
      link_cut (l, rst, client);
  return true;
}

static bool
do_refuse (struct portal *p, char **w)
{
  if (!on_off (w[1], &p->rules.refuse))
    return false;
  portal_listen (p);
  return true;
}

static bool
do_stop_accept (struct portal *p, char **w)
{
  return on_off (w[1], &p->rules.stop_accept);
}

static bool
do_hold (struct portal *p, char **w)
{
  struct rules *r = &p->rules;
  struct hold h = { .count = 1 };
  int64_t lba, blocks, count;
  int i = 3;

  if (r->n_hold == MAX_ARMED || !number (w[1], 0, 0, INT64_MAX, &lba) ||
      !number (w[2], 0, 1, INT64_MAX - lba, &blocks))
    return false;
  h.lba = (uint64_t) lba;
  h.blocks = (uint64_t) blocks;
  if (w[i] && number (w[i], 10, -1, 1000000, &count)) {
    h.count = (long) count;
    i++;
  }
  if (w[i] && strcmp (w[i], "all") == 0) {
    h.all = true;
    i++;
  }
  if (w[i] || h.count == 0)
    return false;
  r->hold[r->n_hold++] = h;
  return true;
}

static bool
do_inject (struct portal *p, char **w)
{
  struct rules *r = &p->rules;
  struct inject j = { .filter.any = true };
  int64_t count;

  if (w[1] && strcmp (w[1], "off") == 0 && w[2] == NULL) {
    r->n_inject = 0;
    return true;
  }
  if (r->n_inject == MAX_ARMED || !hex_byte (w[1], &j.status) ||
      !hex_byte (w[2], &j.key) || !hex_byte (w[3], &j.asc) ||
      !hex_byte (w[4], &j.ascq) || !number (w[5], 10, -1, 1000000, &count) ||
      count == 0 || (w[6] && !cdb_filter_parse (w[6], &j.filter)))
    return false;
  j.count = (long) count;
  r->inject[r->n_inject++] = j;
  return true;
}

static bool
do_corrupt (struct portal *p, char **w)
{
  int64_t n = 1;

  if (w[1] && !number (w[1], 10, 0, 1000000, &n))
    return false;
  p->rules.corrupt = (long) n;
  return true;
}

static bool
do_short (struct portal *p, char **w)
{
  int64_t bytes, count = 1;
  int i = 2;

  if (!number (w[1], 10, 1, INT32_MAX, &bytes))
    return false;
  if (w[i] && number (w[i], 10, 0, 1000000, &count))
    i++;
  p->rules.short_silent = w[i] && strcmp (w[i], "silent") == 0;
  if (w[i] && !p->rules.short_silent)
    return false;
  p->rules.short_bytes = (uint32_t) bytes;
  p->rules.short_count = (long) count;
  return true;
}

static bool
do_reorder (struct portal *p, char **w)
{
  int64_t n;

  if (!number (w[1], 10, 0, 1000, &n) ||
      (w[2] && !number (w[2], 10, 1, 60000, &p->rules.reorder_ms)))
    return false;
  p->rules.reorder = (unsigned) n;
  return true;
}

static bool
do_async (struct portal *p, char **w)
{
  int64_t event;
  uint8_t key = 6, asc = 0x2a, ascq = 0x09; /* capacity has changed */

  if (!number (w[1], 10, 0, 255, &event) ||
      (w[2] && (!hex_byte (w[2], &key) || !hex_byte (w[3], &asc) ||
                !hex_byte (w[4], &ascq))))
    return false;
  for (struct link *l = links; l != NULL; l = l->next)
    if (l->portal == p && l->full_feature && l->cfd != -1)
      send_async (l, (uint8_t) event, key, asc, ascq);
  return true;
}

static bool
do_redirect (struct portal *p, char **w)
{
  struct address addr;
  int64_t count = -1;

  if (w[1] && strcmp (w[1], "off") == 0) {
    p->rules.redirect[0] = '\0';
    return true;
  }
  if (w[1] == NULL || !address_parse (w[1], &addr) ||
      (w[2] && !number (w[2], 10, 1, 1000000, &count)))
    return false;
  snprintf (p->rules.redirect, sizeof p->rules.redirect, "%s", w[1]);
  p->rules.redirect_count = (long) count;
  return true;
}

static bool
do_wwid (struct portal *p, char **w)
{
  struct rules *r = &p->rules;
  size_t n = w[1] ? strlen (w[1]) : 0;
  char pair[3] = "";

  r->wwid_length = 0;
  if (w[1] && strcmp (w[1], "off") == 0)
    return true;
  if (n == 0 || n % 2 || n / 2 > sizeof r->wwid)
    return false;
  for (size_t i = 0; i < n / 2; i++) {
    memcpy (pair, w[1] + 2 * i, 2);
    if (!hex_byte (pair, &r->wwid[i]))
      return false;
  }
  r->wwid_length = n / 2;
  return true;
}

static bool
do_capacity (struct portal *p, char **w)
{
  int64_t blocks;

  p->rules.capacity_on = false;
  if (w[1] && strcmp (w[1], "off") == 0)
    return true;
  if (!number (w[1], 0, 0, INT64_MAX, &blocks))
    return false;
  p->rules.capacity = (uint64_t) blocks;
  p->rules.capacity_on = true;
  return true;
}

static const struct {
  const char *name;
  command_fn fn;
  int max_args;
} commands[] = {
  { "reset", do_reset, 0 },
  { "delay-answers", do_delay, 3 },
  { "slow", do_slow, 1 },
  { "drop", do_drop, 2 },
  { "pause", do_pause, 1 },
  { "cut", do_cut, 2 },
  { "refuse", do_refuse, 1 },
  { "stop-accept", do_stop_accept, 1 },
  { "hold-write", do_hold, 4 },
  { "inject", do_inject, 6 },
  { "corrupt-data-in", do_corrupt, 1 },
  { "short-read", do_short, 3 },
  { "reorder", do_reorder, 2 },
  { "async", do_async, 4 },
  { "redirect", do_redirect, 2 },
  { "wwid", do_wwid, 1 },
  { "capacity", do_capacity, 1 },
};

/* Sum over the portals chosen: one line of name=value. */
static void
do_stats (struct control *c, const struct portal *only)
{
  static struct stats s;
  char *text = NULL;
  size_t size = 0;
  FILE *f = open_memstream (&text, &size);
  int open = 0, held = 0, orphans = 0;

  if (f == NULL)
    die ("out of memory");
  memset (&s, 0, sizeof s);
  for (int i = 0; i < n_portals; i++) {
    const struct stats *q = &portals[i].stats;

    if (only && only != &portals[i])
      continue;
    /* All members are uint64_t. */
    for (size_t k = 0; k < sizeof s / sizeof (uint64_t); k++)
      ((uint64_t *) &s)[k] += ((const uint64_t *) q)[k];
  }
  for (const struct link *l = links; l != NULL; l = l->next) {
    if (only && only != l->portal)
      continue;
    if (l->cfd != -1)
      open++;
    else
      orphans++;
    for (const struct held *h = l->held; h != NULL; h = h->next)
      if (!h->released)
        held++;
  }
  fprintf (f, "ok connections=%llu open=%d orphans=%d held=%d held-lost=%llu "
           "c2t-bytes=%llu t2c-bytes=%llu injected=%llu dropped=%llu "
           "corrupted=%llu shortened=%llu reordered=%llu",
           (unsigned long long) s.connections, open, orphans, held,
           (unsigned long long) s.held_lost,
           (unsigned long long) s.c2t_bytes, (unsigned long long) s.t2c_bytes,
           (unsigned long long) s.injected, (unsigned long long) s.dropped,
           (unsigned long long) s.corrupted, (unsigned long long) s.shortened,
           (unsigned long long) s.reordered);
  for (int i = 0; i < 64; i++)
    if (s.c2t_pdus[i] + s.t2c_pdus[i])
      fprintf (f, " %s=%llu", pdu_name ((uint8_t) i),
               (unsigned long long) (s.c2t_pdus[i] + s.t2c_pdus[i]));
  for (int i = 0; i < 256; i++)
    if (s.scsi[i])
      fprintf (f, " scsi-%02x=%llu", i, (unsigned long long) s.scsi[i]);
  fclose (f);
  reply (c, "%s", text);
  free (text);
}

static void
release_done (struct control *c)
{
  reply (c, "ok released=%d good=%d failed=%d unanswered=%d lost=%llu",
         c->released, c->good, c->failed,
         c->released - c->good - c->failed, (unsigned long long) c->lost);
  c->deadline = 0;
}

static void
do_release (struct control *c, const struct portal *only, const char *ms)
{
  int64_t wait = 5000;

  if (ms && !number (ms, 10, 0, 600000, &wait)) {
    reply (c, "err release [MS]");
    return;
  }
  c->good = c->failed = c->released = c->pending = 0;
  c->lost = 0;
  for (int i = 0; i < n_portals; i++)
    if (!only || only == &portals[i]) {
      c->lost += portals[i].stats.held_lost;
      portals[i].stats.held_lost = 0;
    }
  for (struct link *l = links; l != NULL; l = l->next)
    if (!only || only == l->portal)
      c->released += release_held (l, c->id);
  if (c->released == 0 && c->lost == 0) {
    reply (c, "err nothing is held");
    return;
  }
  c->pending = c->released;
  c->deadline = now_ms () + wait;
  if (c->pending == 0)
    release_done (c);
}

void
control_outcome (uint64_t waiter, int status)
{
  struct control *c;

  for (c = controls; c != NULL && c->id != waiter; c = c->next)
    ;
  if (c == NULL || c->deadline == 0)
    return;
  if (status == 0)
    c->good++;
  else if (status > 0)
    c->failed++;
  if (--c->pending == 0)
    release_done (c);
}

static struct portal *
find_portal (const char *name)
{
  for (int i = 0; name && i < n_portals; i++)
    if (strcmp (portals[i].name, name) == 0)
      return &portals[i];
  return NULL;
}

static void
command (struct control *c, char *line)
{
  char *words[MAX_WORDS + 1] = { NULL }, **w = words, *save = NULL, *word;
  struct portal *only = NULL;
  int n = 0;

  for (word = strtok_r (line, " \t\r", &save); word != NULL && n < MAX_WORDS;
       word = strtok_r (NULL, " \t\r", &save))
    words[n++] = word;
  if (n > 0 && strcmp (w[0], "at") == 0) {
    only = find_portal (w[1]);
    if (only == NULL) {
      reply (c, "err at %s: no such portal", n > 1 ? w[1] : "?");
      return;
    }
    w += 2;
    n -= 2;
  }
  if (n == 0) {
    reply (c, "err no command");
    return;
  }
  if (strcmp (w[0], "stats") == 0) {
    do_stats (c, only);
    return;
  }
  if (strcmp (w[0], "release") == 0) {
    do_release (c, only, w[1]);
    return;
  }
  for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
    if (strcmp (w[0], commands[i].name) != 0)
      continue;
    for (int k = 0; k < n_portals; k++) {
      if (only && only != &portals[k])
        continue;
      if (n - 1 > commands[i].max_args || !commands[i].fn (&portals[k], w)) {
        reply (c, "err %s: bad arguments, see --help", w[0]);
        return;
      }
    }
    reply (c, "ok %s", w[0]);
    return;
  }
  reply (c, "err %s: unknown command, see --help", w[0]);
}

/* --- the socket -------------------------------------------------------- */

static bool
unix_address (const char *path, struct sockaddr_un *sun)
{
  memset (sun, 0, sizeof *sun);
  sun->sun_family = AF_UNIX;
  if (strlen (path) >= sizeof sun->sun_path)
    return false;
  strcpy (sun->sun_path, path);
  return true;
}

void
control_listen (const char *path)
{
  struct sockaddr_un sun;

  if (!unix_address (path, &sun))
    die ("iscsi-proxy: %s: path too long for a socket", path);
  unlink (path);
  listener = socket (AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener == -1 ||
      bind (listener, (struct sockaddr *) &sun, sizeof sun) == -1 ||
      listen (listener, 16) == -1)
    die ("iscsi-proxy: %s: %s", path, strerror (errno));
  strcpy (socket_path, path);
}

int
control_poll (struct pollfd *fds, int max)
{
  int n = 0;

  fds[n++] = (struct pollfd) { .fd = listener, .events = POLLIN };
  for (struct control *c = controls; c != NULL && n < max; c = c->next)
    fds[n++] = (struct pollfd) {
      .fd = c->closing && c->deadline ? -1 : c->fd,
      .events = (short) ((c->deadline ? 0 : POLLIN) |
                         (bytes_length (&c->out) ? POLLOUT : 0))
    };
  return n;
}

static void
service_control (struct control *c)
{
  char *nl;
  ssize_t n = 0;

  if (c->n < sizeof c->in) {
    n = read (c->fd, c->in + c->n, sizeof c->in - c->n);
    if (n > 0)
      c->n += (size_t) n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
      c->closing = true;
  }
  while (c->deadline == 0 && (nl = memchr (c->in, '\n', c->n)) != NULL) {
    size_t used = (size_t) (nl + 1 - c->in);

    *nl = '\0';
    command (c, c->in);
    memmove (c->in, nl + 1, c->n - used);
    c->n -= used;
  }
  if (c->n == sizeof c->in)
    c->closing = true;          /* no line is that long */
}

void
control_service (const struct pollfd *fds, int n)
{
  struct control *c, **p;
  int i = 1;

  for (c = controls; c != NULL && i < n; c = c->next, i++)
    if (fds[i].revents & (POLLIN | POLLHUP | POLLERR))
      service_control (c);
  for (p = &controls; (c = *p) != NULL; ) {
    while (bytes_length (&c->out) > 0) {
      ssize_t w = send (c->fd, bytes_front (&c->out), bytes_length (&c->out),
                        MSG_NOSIGNAL);
      if (w == -1) {
        if (errno != EAGAIN && errno != EINTR) {
          c->closing = true;
          bytes_free (&c->out);
        }
        break;
      }
      bytes_consume (&c->out, (size_t) w);
    }
    if (c->closing && c->deadline == 0 && bytes_length (&c->out) == 0) {
      *p = c->next;
      close (c->fd);
      bytes_free (&c->out);
      free (c);
    }
    else
      p = &c->next;
  }
  if (fds[0].revents & POLLIN) {
    int fd = accept4 (listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd != -1) {
      c = calloc (1, sizeof *c);
      if (c == NULL)
        die ("out of memory");
      c->fd = fd;
      c->id = ++last_id;
      c->next = controls;
      controls = c;
    }
  }
}

int64_t
control_timers (int64_t now)
{
  int64_t next = INT64_MAX;

  for (struct control *c = controls; c != NULL; c = c->next) {
    if (c->deadline && c->deadline <= now) {
      c->pending = 0;
      release_done (c);
    }
    if (c->deadline && c->deadline < next)
      next = c->deadline;
  }
  return next;
}

void
control_close (void)
{
  struct control *c;

  while ((c = controls) != NULL) {
    controls = c->next;
    close (c->fd);
    bytes_free (&c->out);
    free (c);
  }
  if (listener != -1) {
    close (listener);
    unlink (socket_path);
  }
}

/* --- iscsi-proxy ctl SOCKET COMMAND... --------------------------------- */

int
control_main (int argc, char **argv)
{
  struct sockaddr_un sun;
  struct bytes b = { 0 };
  struct pollfd pfd;
  ssize_t n;
  int fd, r;

  if (argc < 2) {
    fprintf (stderr, "usage: iscsi-proxy ctl SOCKET COMMAND...\n\n%s",
             control_help);
    return 2;
  }
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (!unix_address (argv[0], &sun) || fd == -1 ||
      connect (fd, (struct sockaddr *) &sun, sizeof sun) == -1)
    die ("iscsi-proxy ctl: %s: %s", argv[0], strerror (errno));
  for (int i = 1; i < argc; i++) {
    bytes_append (&b, argv[i], strlen (argv[i]));
    bytes_append (&b, i + 1 < argc ? " " : "\n", 1);
  }
  if (send (fd, bytes_front (&b), bytes_length (&b), MSG_NOSIGNAL) !=
      (ssize_t) bytes_length (&b))
    die ("iscsi-proxy ctl: %s: %s", argv[0], strerror (errno));
  bytes_free (&b);
  pfd = (struct pollfd) { .fd = fd, .events = POLLIN };
  while (bytes_length (&b) == 0 || b.data[b.end - 1] != '\n') {
    if (poll (&pfd, 1, 620000) <= 0)
      die ("iscsi-proxy ctl: %s: no answer", argv[0]);
    n = read (fd, bytes_reserve (&b, LINE), LINE);
    if (n <= 0)
      die ("iscsi-proxy ctl: %s: connection closed", argv[0]);
    b.end += (size_t) n;
  }
  fwrite (bytes_front (&b), 1, bytes_length (&b), stdout);
  r = bytes_length (&b) >= 2 && memcmp (bytes_front (&b), "ok", 2) == 0 ? 0 : 1;
  bytes_free (&b);
  close (fd);
  return r;
}
