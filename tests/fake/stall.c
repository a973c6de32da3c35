/* SPDX-License-Identifier: BSD-3-Clause */
/* A load over NBD that measures stalls with its own clock.
 *
 *   stall --depth 16 --rate 2000 nbd+unix:///?socket=/tmp/nbd.sock
 *
 * Random reads and writes of one block each, DEPTH of them outstanding.  The
 * time of each is taken with CLOCK_MONOTONIC from before it is handed to
 * libnbd until its answer was seen; one that is never answered counts with
 * the time it has waited at the end.  Every block that was written is
 * verified by each later read of it, and all of them once more at the end.
 * So that the expected data is always known there is at most one request per
 * block at a time.
 *
 * Ends after --runtime, on SIGTERM or on SIGINT: sends nothing more, waits
 * for what is outstanding (--drain seconds at most), then prints one line of
 * JSON.  Times in it are milliseconds, or seconds since the start ("t").
 * Status 0: no error, no mismatch, everything answered; 1: not so; 2: could
 * not start.
 *
 * A thread of its own only sleeps and looks how late it wakes up
 * ("noise_ms"): what a machine does to a process that asks for nothing is not
 * the server's fault.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libnbd.h>

#define MAX_DEPTH 256
#define NR_WORST 5
#define NOISE_NAP 2000000       /* ns */
#define NOT_KNOWN 0             /* version of a block that we did not write */

enum op { OP_READ, OP_WRITE, OP_FLUSH };
static const char *const op_name[] = { "read", "write", "flush" };

struct slot {
  bool busy;
  enum op op;
  uint64_t block;
  uint64_t version;             /* a read expects it, a write brings it */
  double sent;                  /* seconds since start */
  int64_t cookie;
  uint8_t *buf;
};

struct worst { double t, ms; enum op op; uint64_t block; bool open; };
struct interval { unsigned n; double max_ms; };

static struct {
  unsigned depth, block_size, read_percent, flush_every;
  double rate, runtime, drain, interval;
  uint64_t offset, size, seed;
  const char *log;
} opt = {
  .depth = 16, .block_size = 4096, .read_percent = 50, .drain = 30,
  .interval = 1, .seed = 1,
};

static struct nbd_handle *nbd;
static struct slot slots[MAX_DEPTH];
static uint64_t nr_blocks, next_version = 1, random_state;
static uint64_t *versions;      /* of each block, as last acknowledged */
static uint8_t *in_use;         /* a request for this block is outstanding */
static uint8_t *pattern;        /* scratch to compare with */
static uint64_t count[3], errors, mismatches, unanswered;
static char first_error[200];
static struct worst worst[NR_WORST];
static struct interval *intervals;
static size_t nr_intervals;
static bool measuring = true;
static double own_gap;          /* longest time between two looks at the socket */
static FILE *log_file;
static struct timespec started;
static volatile sig_atomic_t stop;
static _Atomic uint64_t noise_ns;

static void
on_signal (int sig)
{
  (void) sig;
  stop = 1;
}

static double
now (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return (double) (ts.tv_sec - started.tv_sec) +
    (double) (ts.tv_nsec - started.tv_nsec) / 1e9;
}

/* xorshift64* (Vigna): fast, and each seed gives the same run again. */
static uint64_t
next_random (uint64_t *state)
{
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return *state * UINT64_C (2685821657736338717);
}

/* What a block has in it after its write number VERSION. */
static void
fill (uint8_t *buf, uint64_t block, uint64_t version)
{
  uint64_t state = (block + 1) * UINT64_C (0x9e3779b97f4a7c15) ^ version, word;
  unsigned i;

  for (i = 0; i < opt.block_size; i += sizeof word) {
    word = i == 0 ? block : i == 8 ? version : next_random (&state);
    memcpy (buf + i, &word, sizeof word);
  }
}

static void
note_error (const char *what, uint64_t block, const char *why)
{
  if (first_error[0] == '\0') {
    char *c;

    snprintf (first_error, sizeof first_error, "%s of block %" PRIu64 ": %s",
              what, block, why);
    for (c = first_error; *c; c++)      /* goes into JSON as it is */
      if (*c == '"' || *c == '\\' || (unsigned char) *c < ' ')
        *c = '\'';
  }
}

/* ---- measuring ------------------------------------------------------------- */

static void
measured (const struct slot *s, double end, bool open)
{
  const double ms = (end - s->sent) * 1000;
  const size_t i = (size_t) (s->sent / opt.interval);
  unsigned k;

  if (i >= nr_intervals) {
    struct interval *more = realloc (intervals, (i + 16) * sizeof *more);

    if (more == NULL)
      abort ();
    intervals = more;
    memset (intervals + nr_intervals, 0,
            (i + 16 - nr_intervals) * sizeof *more);
    nr_intervals = i + 16;
  }
  intervals[i].n++;
  if (ms > intervals[i].max_ms)
    intervals[i].max_ms = ms;

  for (k = 0; k < NR_WORST && worst[k].ms >= ms; k++)
    ;
  if (k < NR_WORST) {
    memmove (&worst[k + 1], &worst[k], (NR_WORST - 1 - k) * sizeof worst[0]);
    worst[k] = (struct worst) { s->sent, ms, s->op, s->block, open };
  }
  if (log_file)
    fprintf (log_file, "%.4f %.3f %s %" PRIu64 "%s\n", s->sent, ms,
             op_name[s->op], s->block, open ? " unanswered" : "");
}

static void *
measure_noise (void *unused)
{
  struct timespec before, after;
  const struct timespec nap = { .tv_nsec = NOISE_NAP };

  (void) unused;
  for (;;) {
    int64_t late;

    clock_gettime (CLOCK_MONOTONIC, &before);
    nanosleep (&nap, NULL);
    clock_gettime (CLOCK_MONOTONIC, &after);
    late = (after.tv_sec - before.tv_sec) * INT64_C (1000000000) +
      after.tv_nsec - before.tv_nsec - NOISE_NAP;
    if (late > 0 && (uint64_t) late > noise_ns)
      noise_ns = (uint64_t) late;
  }
  return NULL;
}

/* ---- requests -------------------------------------------------------------- */

static void
answered (struct slot *s, int error)
{
  const uint64_t b = s->block;

  if (measuring) {
    measured (s, now (), false);
    count[s->op]++;
  }
  s->busy = false;
  if (s->op == OP_FLUSH) {
    if (error) {
      errors++;
      note_error ("flush", 0, strerror (error));
    }
    return;
  }
  in_use[b] = 0;
  if (error) {
    errors++;
    note_error (op_name[s->op], b, strerror (error));
    if (s->op == OP_WRITE)
      versions[b] = NOT_KNOWN;  /* the old data, the new data, or both */
    return;
  }
  if (s->op == OP_WRITE) {
    versions[b] = s->version;
    return;
  }
  if (s->version == NOT_KNOWN)
    return;
  fill (pattern, b, s->version);
  if (memcmp (pattern, s->buf, opt.block_size) != 0) {
    char why[100];
    uint64_t has[2];

    memcpy (has, s->buf, sizeof has);
    snprintf (why, sizeof why, "wrong data: version %" PRIu64 " expected, has "
              "block %" PRIu64 " version %" PRIu64, s->version, has[0], has[1]);
    mismatches++;
    note_error ("read", b, why);
  }
}

static void
send_request (struct slot *s, enum op op, uint64_t block)
{
  const uint64_t at = opt.offset + block * opt.block_size;

  s->op = op;
  s->block = block;
  s->version = versions[block];
  if (op == OP_WRITE) {
    s->version = next_version++;
    fill (s->buf, block, s->version);
  }
  else if (op == OP_READ)
    memset (s->buf, 0xee, opt.block_size);
  if (op != OP_FLUSH)
    in_use[block] = 1;
  s->busy = true;
  s->sent = now ();
  s->cookie =
    op == OP_READ ? nbd_aio_pread (nbd, s->buf, opt.block_size, at,
                                   NBD_NULL_COMPLETION, 0)
    : op == OP_WRITE ? nbd_aio_pwrite (nbd, s->buf, opt.block_size, at,
                                       NBD_NULL_COMPLETION, 0)
    : nbd_aio_flush (nbd, NBD_NULL_COMPLETION, 0);
  if (s->cookie == -1) {
    note_error ("request", block, nbd_get_error ());
    answered (s, nbd_get_errno () ? nbd_get_errno () : EIO);
    if (!nbd_aio_is_ready (nbd) && !nbd_aio_is_processing (nbd))
      stop = 1;                 /* the connection is gone */
  }
}

static void
send_random (struct slot *s)
{
  static uint64_t sent;
  uint64_t block;

  if (opt.flush_every && ++sent % opt.flush_every == 0) {
    send_request (s, OP_FLUSH, 0);
    return;
  }
  do
    block = next_random (&random_state) % nr_blocks;
  while (in_use[block]);
  send_request (s, next_random (&random_state) % 100 < opt.read_percent
                ? OP_READ : OP_WRITE, block);
}

/* How many are outstanding after what has been answered was taken. */
static unsigned
collect (void)
{
  unsigned i, n = 0;

  for (i = 0; i < opt.depth; i++) {
    struct slot *s = &slots[i];
    int r;

    if (!s->busy)
      continue;
    r = nbd_aio_command_completed (nbd, (uint64_t) s->cookie);
    if (r == 0)
      n++;
    else
      answered (s, r == 1 ? 0 : nbd_get_errno () ? nbd_get_errno () : EIO);
  }
  return n;
}

/* false: the connection is gone, and what is outstanding with it. */
static bool
wait_for_answers (double seconds)
{
  const double before = now ();
  double gap;
  int ms = (int) (seconds * 1000);

  if (ms < 1)
    ms = seconds > 0 ? 1 : 0;
  if (ms > 50)
    ms = 50;
  if (nbd_poll (nbd, ms) == -1) {
    if (errno == EINTR || nbd_get_errno () == EINTR)
      return true;
    errors++;
    note_error ("poll", 0, nbd_get_error ());
    return false;
  }
  gap = now () - before - ms / 1000.;
  if (gap > own_gap)
    own_gap = gap;
  return !nbd_aio_is_dead (nbd) && !nbd_aio_is_closed (nbd);
}

/* With --rate the slots are filled all at once, every depth/rate seconds: so
 * the depth is reached at any rate. */
static bool
load (void)
{
  const double pause = opt.rate > 0 ? opt.depth / opt.rate : 0;
  double next = now ();
  unsigned i;

  while (!stop && (opt.runtime <= 0 || now () < opt.runtime)) {
    collect ();
    if (now () >= next) {
      for (i = 0; i < opt.depth && !stop; i++)
        if (!slots[i].busy)
          send_random (&slots[i]);
      next = now () + pause;    /* no catching up after a stall */
    }
    if (!wait_for_answers (pause > 0 && next > now () ? next - now () : 0.05))
      return false;
  }
  return true;
}

static void
drain (void)
{
  const double end = now () + opt.drain;

  while (collect () > 0 && now () < end)
    if (!wait_for_answers (0.05))
      break;
}

static void
read_back (void)
{
  const double end = now () + opt.drain;
  uint64_t b = 0;
  unsigned i;

  while (b < nr_blocks && now () < end) {
    for (i = 0; i < opt.depth; i++) {
      while (b < nr_blocks && versions[b] == NOT_KNOWN)
        b++;
      if (b < nr_blocks && !slots[i].busy)
        send_request (&slots[i], OP_READ, b++);
    }
    if (collect () == opt.depth && !wait_for_answers (0.05))
      return;
  }
  if (b < nr_blocks) {
    errors++;
    note_error ("verification at the end", b, "not finished in time");
  }
  drain ();
}

static void
print_result (double seconds, uint64_t epoch_ms)
{
  size_t i, last = nr_intervals;
  unsigned k;
  bool first = true;

  printf ("{\"start_epoch_ms\": %" PRIu64 ", \"seconds\": %.3f, "
          "\"reads\": %" PRIu64 ", \"writes\": %" PRIu64 ", "
          "\"flushes\": %" PRIu64 ", \"errors\": %" PRIu64 ", "
          "\"mismatches\": %" PRIu64 ", \"unanswered\": %" PRIu64 ", "
          "\"first_error\": \"%s\", \"longest_ms\": %.1f, "
          "\"longest_t\": %.3f, \"longest_op\": \"%s\", "
          "\"noise_ms\": %.1f, \"own_gap_ms\": %.1f, \"worst\": [",
          epoch_ms, seconds, count[OP_READ], count[OP_WRITE], count[OP_FLUSH],
          errors, mismatches, unanswered, first_error, worst[0].ms, worst[0].t,
          op_name[worst[0].op], (double) noise_ns / 1e6, own_gap * 1000);
  for (k = 0; k < NR_WORST && worst[k].ms > 0; k++)
    printf ("%s{\"t\": %.3f, \"ms\": %.1f, \"op\": \"%s\", \"block\": %" PRIu64
            ", \"answered\": %s}", k ? ", " : "", worst[k].t, worst[k].ms,
            op_name[worst[k].op], worst[k].block,
            worst[k].open ? "false" : "true");
  printf ("], \"timeline\": [");
  while (last > 0 && intervals[last - 1].n == 0)
    last--;
  for (i = 0; i < last; i++) {
    printf ("%s[%.2f, %u, %.1f]", first ? "" : ", ", (double) i * opt.interval,
            intervals[i].n, intervals[i].max_ms);
    first = false;
  }
  printf ("]}\n");
}

/* ---- options --------------------------------------------------------------- */

static void
usage (FILE *f)
{
  fputs ("usage: stall [options] NBD-URI\n"
         "  --depth N          outstanding requests (16)\n"
         "  --rate N           requests per second, in bursts of DEPTH; 0: as many as\n"
         "                     it takes (0)\n"
         "  --runtime S        seconds; 0: until SIGTERM (0)\n"
         "  --read-percent N   (50)\n"
         "  --flush-every N    each Nth request is a flush; 0: none (0)\n"
         "  --block-size N     bytes of a request (4096)\n"
         "  --offset N         bytes; where the area begins that is written (0)\n"
         "  --size N           its bytes (all, 1G at most)\n"
         "  --drain S          how long to wait for the last answers (30)\n"
         "  --interval S       of \"timeline\": [t, requests, longest ms] (1)\n"
         "  --log FILE         a line for each request: t ms op block\n"
         "  --seed N           of the pseudo-random numbers (1)\n", f);
}

static double
number (const char *text, double min, double max)
{
  char *end;
  double d = strtod (text, &end);

  if (end == text || *end != '\0' || !(d >= min && d <= max)) {
    fprintf (stderr, "stall: %s: want a number from %.15g to %.15g\n", text,
             min, max);
    exit (2);
  }
  return d;
}

static void
parse_options (int argc, char **argv)
{
  static const struct option options[] = {
    { "depth", required_argument, NULL, 'd' },
    { "rate", required_argument, NULL, 'r' },
    { "runtime", required_argument, NULL, 't' },
    { "read-percent", required_argument, NULL, 'p' },
    { "flush-every", required_argument, NULL, 'f' },
    { "block-size", required_argument, NULL, 'b' },
    { "offset", required_argument, NULL, 'o' },
    { "size", required_argument, NULL, 's' },
    { "drain", required_argument, NULL, 'D' },
    { "interval", required_argument, NULL, 'i' },
    { "log", required_argument, NULL, 'l' },
    { "seed", required_argument, NULL, 'S' },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
  };
  int c;

  while ((c = getopt_long (argc, argv, "h", options, NULL)) != -1)
    switch (c) {
    case 'd': opt.depth = (unsigned) number (optarg, 1, MAX_DEPTH); break;
    case 'r': opt.rate = number (optarg, 0, 1e6); break;
    case 't': opt.runtime = number (optarg, 0, 1e6); break;
    case 'p': opt.read_percent = (unsigned) number (optarg, 0, 100); break;
    case 'f': opt.flush_every = (unsigned) number (optarg, 0, 1e9); break;
    case 'b': opt.block_size = (unsigned) number (optarg, 512, 1 << 20); break;
    case 'o': opt.offset = (uint64_t) number (optarg, 0, 1e15); break;
    case 's': opt.size = (uint64_t) number (optarg, 512, 1e15); break;
    case 'D': opt.drain = number (optarg, 0, 1e6); break;
    case 'i': opt.interval = number (optarg, 0.01, 1e6); break;
    case 'l': opt.log = optarg; break;
    case 'S': opt.seed = (uint64_t) number (optarg, 1, 1e15); break;
    case 'h': usage (stdout); exit (0);
    default: usage (stderr); exit (2);
    }
  if (optind != argc - 1 || opt.block_size % 512 != 0) {
    usage (stderr);
    exit (2);
  }
}

static bool
prepare (const char *uri)
{
  int64_t size;
  unsigned i;

  nbd = nbd_create ();
  if (nbd == NULL || nbd_connect_uri (nbd, uri) == -1 ||
      (size = nbd_get_size (nbd)) == -1) {
    fprintf (stderr, "stall: %s: %s\n", uri, nbd_get_error ());
    return false;
  }
  if (opt.size == 0)
    opt.size = (uint64_t) size < (1u << 30) ? (uint64_t) size : 1u << 30;
  nr_blocks = opt.size / opt.block_size;
  if (opt.offset + opt.size > (uint64_t) size || nr_blocks < 2 * opt.depth) {
    fprintf (stderr, "stall: an area of %" PRIu64 " bytes from %" PRIu64
             " on: the export has %" PRId64 "; and at least 2 * depth blocks "
             "are wanted\n", opt.size, opt.offset, size);
    return false;
  }
  versions = calloc (nr_blocks, sizeof *versions);
  in_use = calloc (nr_blocks, 1);
  pattern = malloc (opt.block_size);
  if (versions == NULL || in_use == NULL || pattern == NULL)
    abort ();
  for (i = 0; i < opt.depth; i++)
    if ((slots[i].buf = malloc (opt.block_size)) == NULL)
      abort ();
  if (opt.log && (log_file = fopen (opt.log, "w")) == NULL) {
    fprintf (stderr, "stall: %s: %s\n", opt.log, strerror (errno));
    return false;
  }
  return true;
}

int
main (int argc, char **argv)
{
  struct sigaction sa = { .sa_handler = on_signal };
  struct timespec wall;
  pthread_t canary;
  double seconds;
  unsigned i;
  bool connected;

  parse_options (argc, argv);
  sigaction (SIGTERM, &sa, NULL);
  sigaction (SIGINT, &sa, NULL);
  signal (SIGPIPE, SIG_IGN);
  if (!prepare (argv[optind]))
    return 2;
  random_state = opt.seed * UINT64_C (0x9e3779b97f4a7c15);
  if (pthread_create (&canary, NULL, measure_noise, NULL) != 0)
    abort ();
  pthread_detach (canary);
  clock_gettime (CLOCK_REALTIME, &wall);
  clock_gettime (CLOCK_MONOTONIC, &started);

  connected = load ();
  seconds = now ();
  if (connected)
    drain ();
  for (i = 0; i < opt.depth; i++)
    if (slots[i].busy) {
      unanswered++;
      measured (&slots[i], now (), true);
    }
  /* What is read back now is not part of the measurement: the blocks
   * are only compared. */
  if (log_file)
    fclose (log_file);
  log_file = NULL;
  measuring = false;
  if (connected && unanswered == 0)
    read_back ();
  print_result (seconds, (uint64_t) wall.tv_sec * 1000 +
                (uint64_t) wall.tv_nsec / 1000000);

  if (connected)
    nbd_shutdown (nbd, 0);
  if (unanswered == 0)          /* libnbd may write into them until closed */
    nbd_close (nbd);
  for (i = 0; i < opt.depth && unanswered == 0; i++)
    free (slots[i].buf);
  free (versions);
  free (in_use);
  free (pattern);
  free (intervals);
  return errors || mismatches || unanswered ? 1 : 0;
}
