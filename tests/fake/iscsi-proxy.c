/* SPDX-License-Identifier: BSD-3-Clause */
/* A proxy between an iSCSI initiator and its target that knows PDUs, and can
 * therefore fail in the ways in which portals, networks and targets fail: see
 * --help, and "iscsi-proxy ctl" for the faults.
 *
 *   iscsi-proxy --control /tmp/x.sock --listen 127.0.0.1:0=127.0.0.1:3260
 *   iscsi-proxy ctl /tmp/x.sock inject 02 06 29 00 3 write
 *
 * Header and data digests are negotiated away.  One connection per session
 * and error recovery level 0 are assumed.  Nothing is shared with server/.
 *
 * The files: this one has the sockets and the loop, iscsi-proxy-pdu.c looks
 * at PDUs, iscsi-proxy-hold.c keeps writes back, iscsi-proxy-control.c reads
 * commands.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "iscsi-proxy.h"

#define MAX_PORTALS 16
#define MAX_MAPS 64
#define MAX_POLL 1024
#define BACKLOG_BYTES (8u << 20) /* unsent output that stops reading */
#define READ_BYTES (256u << 10)

struct portal portals[MAX_PORTALS];
int n_portals;
struct link *links;

static struct { char from[ADDRESS_TEXT], to[ADDRESS_TEXT]; } maps[MAX_MAPS];
static int n_maps;
static volatile sig_atomic_t quit;

const char *
map_address (const char *real)
{
  for (int i = 0; i < n_maps; i++)
    if (strcmp (maps[i].from, real) == 0)
      return maps[i].to;
  return NULL;
}

static void
add_map (const char *from, const char *to)
{
  if (n_maps == MAX_MAPS)
    die ("iscsi-proxy: more than %d maps", MAX_MAPS);
  snprintf (maps[n_maps].from, ADDRESS_TEXT, "%s", from);
  snprintf (maps[n_maps].to, ADDRESS_TEXT, "%s", to);
  n_maps++;
}

/* --- links ------------------------------------------------------------- */

static void
close_fd (int *fd, bool rst)
{
  if (*fd == -1)
    return;
  if (rst)
    close_with_rst (*fd);
  else
    close (*fd);
  *fd = -1;
}

static void
new_link (struct portal *p)
{
  int fd = accept_from (p->fd);
  struct link *l;

  if (fd == -1)
    return;
  l = calloc (1, sizeof *l);
  if (l == NULL)
    die ("out of memory");
  l->portal = p;
  l->cfd = fd;
  l->target_mrdsl = 8192;       /* defaults of RFC 7143 13.12, 13.13 */
  l->max_burst = 262144;
  p->stats.connections++;
  l->tfd = connect_to (&p->target);
  if (l->tfd == -1) {
    close_fd (&l->cfd, true);
    l->doomed = true;
  }
  l->next = links;
  links = l;
}

static void
client_gone (struct link *l, bool rst)
{
  close_fd (&l->cfd, rst);
  bytes_free (&l->cout);
  forget_answers (l);
}

static void
free_link (struct link *l)
{
  struct link **p;

  for (p = &links; *p != l; p = &(*p)->next)
    ;
  *p = l->next;
  close_fd (&l->cfd, false);
  close_fd (&l->tfd, false);
  forget_answers (l);
  forget_held (l);
  bytes_free (&l->cin);
  bytes_free (&l->cout);
  bytes_free (&l->tin);
  bytes_free (&l->tout);
  free (l->unacked);
  free (l->tasks);
  free (l);
}

void
link_cut (struct link *l, bool rst, bool client_only)
{
  client_gone (l, rst);
  if (client_only)
    l->keep = true;
  else if (l->held == NULL) {
    close_fd (&l->tfd, rst);
    l->doomed = true;
  }
}

/* Reads what there is; false at the end of the connection. */
static bool
fill (int fd, struct bytes *b, uint64_t *count, bool *rst)
{
  ssize_t n = read (fd, bytes_reserve (b, READ_BYTES), READ_BYTES);

  if (n > 0) {
    b->end += (size_t) n;
    *count += (uint64_t) n;
    return true;
  }
  if (n == -1 && (errno == EAGAIN || errno == EINTR))
    return true;
  *rst = n == -1;
  return false;
}

static bool
drain (int fd, struct bytes *b)
{
  ssize_t n;

  while (bytes_length (b) > 0) {
    n = send (fd, bytes_front (b), bytes_length (b), MSG_NOSIGNAL);
    if (n == -1)
      return errno == EAGAIN || errno == EINTR;
    bytes_consume (b, (size_t) n);
  }
  return true;
}

/* The whole PDUs at the front; the handlers may change them in place. */
static void
parse (struct link *l, struct bytes *b,
       void (*handle) (struct link *l, uint8_t *pdu), const bool *stop)
{
  size_t n;

  while (!*stop && (n = bytes_whole_pdu (b)) > 0) {
    handle (l, bytes_front (b));
    bytes_consume (b, n);
  }
}

static void
service_link (struct link *l, short cevents, short tevents, int64_t now)
{
  const struct rules *r = &l->portal->rules;
  bool rst = false, never = false;

  if (r->pause)
    return;
  if (l->tfd != -1 && !l->connected && tevents) {
    int e = 0;
    socklen_t n = sizeof e;

    getsockopt (l->tfd, SOL_SOCKET, SO_ERROR, &e, &n);
    if (e == 0)
      l->connected = true;
    else {
      close_fd (&l->tfd, false);
      client_gone (l, true);
      l->doomed = true;
      return;
    }
  }
  if (l->cfd != -1 && cevents & (POLLIN | POLLHUP | POLLERR) &&
      !fill (l->cfd, &l->cin, &l->portal->stats.c2t_bytes, &rst)) {
    parse (l, &l->cin, from_client, &l->stuck);
    client_gone (l, rst);
  }
  if (l->tfd != -1 && l->connected && tevents & (POLLIN | POLLHUP | POLLERR) &&
      !fill (l->tfd, &l->tin, &l->portal->stats.t2c_bytes, &rst)) {
    l->target_eof = true;
    parse (l, &l->tin, from_target, &never);
    close_fd (&l->tfd, false);
    bytes_free (&l->tout);
    forget_held (l);
  }
  parse (l, &l->cin, from_client, &l->stuck);
  parse (l, &l->tin, from_target, &never);
  send_due (l, now);
  if (l->cfd != -1 && !drain (l->cfd, &l->cout))
    client_gone (l, true);
  if (l->tfd != -1 && l->connected && !drain (l->tfd, &l->tout)) {
    l->target_eof = true;
    close_fd (&l->tfd, false);
    forget_held (l);
  }
}

/* A link ends when one side has ended and what it said has been passed on;
 * but a silent network passes on no end, and a held write keeps its target
 * connection. */
static bool
is_over (const struct link *l)
{
  const struct rules *r = &l->portal->rules;

  if (l->doomed || (l->cfd == -1 && l->tfd == -1))
    return true;
  if (r->pause)
    return false;
  if (l->cfd == -1)
    return !l->keep && !r->drop_c2t && !l->stuck && l->held == NULL &&
      bytes_length (&l->tout) == 0;
  if (l->close_client)
    return bytes_length (&l->cout) == 0;
  return l->target_eof && !r->drop_t2c && bytes_length (&l->cout) == 0 &&
    l->delayed == NULL && l->batch == NULL;
}

/* --- the loop ---------------------------------------------------------- */

void
portal_listen (struct portal *p)
{
  bool want = !p->rules.refuse;

  if (want && p->fd == -1) {
    p->fd = listen_on (&p->listen);
    if (p->fd == -1)
      die ("iscsi-proxy: %s: cannot listen: %s", p->name, strerror (errno));
  }
  else if (!want)
    close_fd (&p->fd, false);
}

static struct pollfd
pollfd_of (int fd, short events)
{
  return (struct pollfd) { .fd = events ? fd : -1, .events = events };
}

static void
run_once (void)
{
  static struct pollfd fds[MAX_POLL];
  int64_t now = now_ms (), next = INT64_MAX, due;
  struct link *l, *l_next;
  int n = 0, i, first_control, timeout;

  for (i = 0; i < n_portals; i++)
    fds[n++] = pollfd_of (portals[i].fd,
                          portals[i].rules.stop_accept ? 0 : POLLIN);
  for (l = links; l != NULL; l = l->next) {
    bool pause = l->portal->rules.pause;
    short c = 0, t = 0;

    if (!pause) {
      due = l->batch || l->delayed ? send_due (l, now) : INT64_MAX;
      if (due < next)
        next = due;
      if (bytes_length (&l->tout) < BACKLOG_BYTES)
        c |= POLLIN;
      if (bytes_length (&l->cout) > 0)
        c |= POLLOUT;
      if (l->connected && bytes_length (&l->cout) < BACKLOG_BYTES)
        t |= POLLIN;
      if (!l->connected || bytes_length (&l->tout) > 0)
        t |= POLLOUT;
    }
    if (n + 2 > MAX_POLL - 32)
      die ("iscsi-proxy: too many connections");
    fds[n++] = pollfd_of (l->cfd, c);
    fds[n++] = pollfd_of (l->tfd, t);
  }
  first_control = n;
  n += control_poll (fds + n, MAX_POLL - n);
  due = control_timers (now);
  if (due < next)
    next = due;

  if (next == INT64_MAX)
    timeout = 1000;
  else if (next <= now)
    timeout = 0;
  else
    timeout = next - now > 1000 ? 1000 : (int) (next - now);
  if (poll (fds, (nfds_t) n, timeout) == -1) {
    if (errno == EINTR)
      return;
    die ("iscsi-proxy: poll: %s", strerror (errno));
  }
  now = now_ms ();
  i = n_portals;
  for (l = links; l != NULL; l = l->next, i += 2)
    service_link (l, fds[i].revents, fds[i + 1].revents, now);
  control_service (fds + first_control, n - first_control);
  for (l = links; l != NULL; l = l_next) {
    l_next = l->next;
    if (is_over (l))
      free_link (l);
  }
  for (i = 0; i < n_portals; i++)
    if (fds[i].revents & POLLIN && portals[i].fd == fds[i].fd)
      new_link (&portals[i]);
}

static void
on_signal (int sig)
{
  (void) sig;
  quit = 1;
}

static void
usage (FILE *f)
{
  fputs ("usage: iscsi-proxy [--control SOCKET] [--map REAL=PROXY]...\n"
         "                   --listen ADDRESS:PORT=TARGET:PORT [--listen ...]\n"
         "       iscsi-proxy ctl SOCKET COMMAND...\n"
         "\n"
         "Passes iSCSI connections on to a target and misbehaves when told to.\n"
         "Addresses are numeric, [v6]:port too.  Port 0 takes a free port; when all\n"
         "is ready one line \"ready ADDRESS:PORT ...\" names the ports on standard\n"
         "output.  It runs in the foreground and ends on SIGTERM.\n"
         "\n"
         "  --map REAL=PROXY   an address that the target gives out (SendTargets,\n"
         "                     redirect) is replaced; each --listen does that for its own\n"
         "  --hide-group       the target does not tell its portal group at login\n"
         "\n", f);
  fputs (control_help, f);
}

static void
add_portal (const char *arg)
{
  struct portal *p = &portals[n_portals];
  char *text = strdup (arg), *eq;

  if (text == NULL)
    die ("out of memory");
  eq = strchr (text, '=');
  if (n_portals == MAX_PORTALS)
    die ("iscsi-proxy: more than %d portals", MAX_PORTALS);
  if (eq)
    *eq = '\0';
  if (!eq || !address_parse (text, &p->listen) ||
      !address_parse (eq + 1, &p->target))
    die ("iscsi-proxy: --listen %s: want ADDRESS:PORT=TARGET:PORT", arg);
  free (text);
  p->fd = -1;
  p->rules.reorder_ms = 200;
  n_portals++;
}

int
main (int argc, char **argv)
{
  static const struct option options[] = {
    { "listen", required_argument, NULL, 'l' },
    { "map", required_argument, NULL, 'm' },
    { "control", required_argument, NULL, 'c' },
    { "hide-group", no_argument, NULL, 'g' },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
  };
  struct sigaction sa = { .sa_handler = on_signal };
  const char *control = NULL;
  char buf[ADDRESS_TEXT], *eq;
  int c;

  if (argc > 1 && strcmp (argv[1], "ctl") == 0)
    return control_main (argc - 2, argv + 2);
  while ((c = getopt_long (argc, argv, "l:m:c:h", options, NULL)) != -1) {
    switch (c) {
    case 'l':
      add_portal (optarg);
      break;
    case 'm':
      eq = strchr (optarg, '=');
      if (eq == NULL)
        die ("iscsi-proxy: --map %s: want REAL=PROXY", optarg);
      *eq = '\0';
      add_map (optarg, eq + 1);
      break;
    case 'c':
      control = optarg;
      break;
    case 'g':
      hide_group = true;
      break;
    case 'h':
      usage (stdout);
      return 0;
    default:
      usage (stderr);
      return 1;
    }
  }
  if (optind < argc || n_portals == 0) {
    usage (stderr);
    return 1;
  }
  signal (SIGPIPE, SIG_IGN);
  sigaction (SIGTERM, &sa, NULL);
  sigaction (SIGINT, &sa, NULL);

  for (int i = 0; i < n_portals; i++) {
    portal_listen (&portals[i]);
    address_text (&portals[i].listen, portals[i].name);
    add_map (address_text (&portals[i].target, buf), portals[i].name);
  }
  if (control)
    control_listen (control);
  printf ("ready");
  for (int i = 0; i < n_portals; i++)
    printf (" %s", portals[i].name);
  printf ("\n");
  fflush (stdout);

  while (!quit)
    run_once ();

  while (links)
    free_link (links);
  for (int i = 0; i < n_portals; i++)
    close_fd (&portals[i].fd, false);
  control_close ();
  return 0;
}
