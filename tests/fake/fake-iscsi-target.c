/* SPDX-License-Identifier: BSD-3-Clause */
/* A small iSCSI target on loopback: honest, with facts about its disk that
 * other targets cannot be told to have, or hostile in one of many ways.
 *
 *   fake-iscsi-target --listen 127.0.0.1:0 --size 1G --thin
 *   fake-iscsi-target --listen 127.0.0.1:0 --evil short-read-silent:10:1
 *
 * Login, CHAP, discovery, the commands of a disk, in memory
 * (sparse: up to 2^63 bytes) or in a sparse file.  One thread; each command
 * is executed whole as soon as its data is there.
 *
 * Not to be confused with fake-target.c, the target behind the link-time fake
 * of libiscsi: this one is a program and speaks TCP.
 *
 * The files: this one has options and sockets, -login.c the login and text
 * negotiation, -chap.c authentication, -io.c the full feature phase, -scsi.c the device server,
 * -alua.c target port groups and what can be changed at run time,
 * -disk.c the medium, -evil.c the choice of hostile roles (the list of them
 * is in fake-iscsi-target.h).
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake-iscsi-target.h"

#define MAX_PORTALS 16
#define MAX_CONNECTIONS 256
#define READ_BYTES (256u << 10)
#define BACKLOG_BYTES (64u << 20) /* unsent answers that stop reading */

struct facts facts = {
  .block_size = 512, .wce = true, .dpofua = true, .caching_page = true,
  .rotation = 1, .wwid = { 0x60, 0x0f, 0xa4, 0xe0 }, .wwid_length = 16,
  .serial = "FAKE0001", .vendor = "FAKE", .product = "FAKEDISK",
};
struct lun luns[MAX_LUNS];
int n_luns;
struct connection *connections;
struct address portal_address[MAX_PORTALS];
int portal_tpgt[MAX_PORTALS];
int n_portals;
char target_name[224] = "iqn.2026-11.example.mpiscsi:fake";
bool opt_initial_r2t, opt_immediate_data = true;
uint32_t opt_max_burst = 262144, opt_first_burst = 65536, opt_mrdsl = 262144;
int opt_delay_ms;

static const char *file;
static uint64_t size = 64 << 20;
static int portal_fd[MAX_PORTALS];
static volatile sig_atomic_t quit;

/* --- connections ------------------------------------------------------- */

static void
new_connection (int portal)
{
  int fd = accept_from (portal_fd[portal]);
  struct connection *c;

  if (fd == -1)
    return;
  c = calloc (1, sizeof *c);
  if (c == NULL)
    die ("out of memory");
  c->fd = fd;
  c->portal = portal;
  c->mrdsl = 8192;              /* the defaults, RFC 7143 13 */
  c->max_burst = 262144;
  c->first_burst = 65536;
  c->initial_r2t = c->immediate_data = true;
  c->next = connections;
  connections = c;
}

void
connection_rst (struct connection *c)
{
  if (c->fd != -1)
    close_with_rst (c->fd);
  c->fd = -1;
}

/* Same initiator name, ISID and portal group, TSIH 0: the old session ends,
 * and its tasks with it (RFC 7143 6.3.5). */
void
logout_session (struct connection *by)
{
  struct connection *c;

  for (c = connections; c != NULL; c = c->next)
    if (c != by && c->full_feature && !c->discovery && !by->discovery &&
        strcmp (c->initiator, by->initiator) == 0 &&
        memcmp (c->isid, by->isid, 6) == 0 &&
        portal_tpgt[c->portal] == portal_tpgt[by->portal]) {
      forget_writes (c);
      connection_rst (c);
    }
}

static void
free_connection (struct connection *c)
{
  struct connection **p;

  for (p = &connections; *p != c; p = &(*p)->next)
    ;
  *p = c->next;
  if (c->fd != -1)
    close (c->fd);
  forget_writes (c);
  bytes_free (&c->in);
  bytes_free (&c->out);
  bytes_free (&c->text);
  free (c);
}

static void
lost (struct connection *c)
{
  close (c->fd);
  c->fd = -1;
}

static void
service (struct connection *c, short events)
{
  ssize_t n;
  size_t length;

  if (c->fd != -1 && events & (POLLIN | POLLHUP | POLLERR)) {
    n = read (c->fd, bytes_reserve (&c->in, READ_BYTES), READ_BYTES);
    if (n > 0)
      c->in.end += (size_t) n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
      lost (c);
  }
  while (c->fd != -1 && !c->closing &&
         (length = bytes_whole_pdu (&c->in)) > 0) {
    if (opt_delay_ms && pdu_opcode (bytes_front (&c->in)) == OP_SCSI_COMMAND)
      usleep ((useconds_t) opt_delay_ms * 1000);
    handle_pdu (c, bytes_front (&c->in));
    bytes_consume (&c->in, length);
  }
  if (c->storm)
    go_on_storming (c);
  while (c->fd != -1 && bytes_length (&c->out) > 0) {
    n = send (c->fd, bytes_front (&c->out), bytes_length (&c->out),
              MSG_NOSIGNAL);
    if (n == -1) {
      if (errno != EAGAIN && errno != EINTR)
        lost (c);
      break;
    }
    bytes_consume (&c->out, (size_t) n);
  }
}

static void
run_once (void)
{
  struct pollfd fds[MAX_PORTALS + MAX_CONNECTIONS + 1];
  struct connection *c, *next;
  int n = 0, i;

  for (i = 0; i < n_portals; i++)
    fds[n++] = (struct pollfd) { .fd = portal_fd[i], .events = POLLIN };
  for (c = connections; c != NULL; c = c->next) {
    short events = 0;

    if (n == MAX_PORTALS + MAX_CONNECTIONS)
      die ("fake-iscsi-target: too many connections");
    if (bytes_length (&c->out) < BACKLOG_BYTES)
      events |= POLLIN;
    if (bytes_length (&c->out) > 0)
      events |= POLLOUT;
    fds[n++] = (struct pollfd) { .fd = c->fd, .events = events };
  }
  fds[n] = (struct pollfd) { .fd = control_fd (), .events = POLLIN };
  if (poll (fds, (nfds_t) n + 1, 1000) == -1) {
    if (errno == EINTR)
      return;
    die ("fake-iscsi-target: poll: %s", strerror (errno));
  }
  if (fds[n].revents & POLLIN)
    control_ready ();
  i = n_portals;
  for (c = connections; c != NULL; c = c->next)
    service (c, fds[i++].revents);
  for (c = connections; c != NULL; c = next) {
    next = c->next;
    if (c->fd == -1 || (c->closing && bytes_length (&c->out) == 0))
      free_connection (c);
  }
  for (i = 0; i < n_portals; i++)
    if (fds[i].revents & POLLIN)
      new_connection (i);
}

static void
on_signal (int sig)
{
  (void) sig;
  quit = 1;
}

/* --- options ----------------------------------------------------------- */

static const char help[] =
  "usage: fake-iscsi-target --listen ADDRESS:PORT[,TPGT] [--listen ...] [options]\n"
  "\n"
  "An iSCSI target in the foreground, until SIGTERM.  Port 0 takes a free port;\n"
  "\"ready ADDRESS:PORT ...\" on standard output names them.\n"
  "\n"
  "  --target IQN             name (iqn.2026-11.example.mpiscsi:fake)\n"
  "  --lun N                  repeatable; all alike but for the end of the WWID (1)\n"
  "  --file PATH              medium is this sparse file (further LUNs: PATH.N)\n"
  "  --size N                 bytes, suffix K M G T P E; up to 2^63 (64M); 0 too\n"
  "  --block-size N           logical block (512)\n"
  "  --physical-block-size N  --lowest-aligned LBA\n"
  "  --thin                   provisioning: UNMAP, WRITE SAME, GET LBA STATUS\n"
  "  --ndob                   WRITE SAME without data, and it says so; prints each one\n"
  "  --lbprz                  unmapped blocks read as zeroes, and it says so\n"
  "  --max-unmap BLOCKS       most in one UNMAP descriptor\n"
  "  --max-transfer BLOCKS    --optimal-transfer BLOCKS   (VPD B0h; the first is enforced)\n"
  "  --write-protect          --no-write-cache  --no-caching-page  --no-dpofua\n"
  "  --device-type N          peripheral device type (0)\n"
  "  --qualifier N            peripheral qualifier (0)\n"
  "  --removable              --no-medium: removable, and 3A/00\n"
  "  --reserved               reads and writes get RESERVATION CONFLICT\n"
  "  --protection TYPE        protection information, type 1 to 3\n"
  "  --rotation N             VPD B1h: 1 SSD (as it is), 0 unknown, else rpm\n"
  "  --wwid HEX               8 or 16 bytes (NAA);  --serial TEXT\n"
  "  --vendor TEXT            --product TEXT\n"
  "  --no-rc16                READ CAPACITY(16) is not known;  --no-vpd\n"
  "  --initial-r2t            --no-immediate-data\n"
  "  --max-burst N            --first-burst N  --mrdsl N    lengths to negotiate\n"
  "  --chap USER:SECRET       demand it of the initiator;  --chap-discovery-only\n"
  "  --chap-mutual USER:SECRET   and answer so if it asks (else it is refused)\n"
  "  --alua GROUP:STATE[+],...   target port group of each portal in order; states ao,\n"
  "                           ano, standby, unavailable, lbd, offline, transitioning; +:\n"
  "                           preferred; --alua-more N: other groups in the list as well\n"
  "  --tpgs N                 1 implicit, 2 explicit, 3 both (3)\n"
  "  --rtpg extended|plain|cut|refused|busy   --transition-time S\n"
  "  --alua-ua changed|all|none   who gets 2A/06;  --stpg-others STATE\n"
  "  --no-type5               --unavailable-qualifier\n"
  "  --owner-page N           201 (RDAC) or 192 (CLARiiON): the first portal has the LUN,\n"
  "                           the others refuse I/O with 05/94/01\n"
  "  --control FIFO           what changes at run time: fake-iscsi-target-alua.c\n"
  "  --delay MS               before each SCSI command (all wait)\n"
  "  --evil NAME[:AFTER[:TIMES]]\n"
  "                           play a hostile role, repeatable; the first AFTER occasions\n"
  "                           pass honestly, then TIMES are hostile (no end); an occasion\n"
  "                           is what the role's text names: a login, an answer, an I/O\n"
  "                           (READ or WRITE), ...\n"
  "Roles:\n";

static void
usage (FILE *f)
{
  const char *text, *name;

  fputs (help, f);
  for (int i = 0; (name = evil_name (i, &text)) != NULL; i++)
    fprintf (f, "  %-24s %s\n", name, text);
}

static uint64_t
size_of (const char *option, const char *text)
{
  static const char units[] = "KMGTPE";
  const char *u;
  char *end;
  unsigned long long v;
  int shift = 0;

  errno = 0;
  v = strtoull (text, &end, 0);
  if (*end != '\0' && (u = strchr (units, *end)) != NULL) {
    shift = 10 * (int) (u - units + 1);
    end++;
  }
  if (errno || end == text || *end != '\0' || v > UINT64_MAX >> shift)
    die ("fake-iscsi-target: --%s %s: want a number", option, text);
  return v << shift;
}

static uint32_t
number_of (const char *option, const char *text, uint32_t max)
{
  uint64_t v = size_of (option, text);

  if (v > max)
    die ("fake-iscsi-target: --%s %s: at most %u", option, text, max);
  return (uint32_t) v;
}

static void
add_portal (const char *arg)
{
  char *text = strdup (arg), *comma;

  if (text == NULL)
    die ("out of memory");
  if (n_portals == MAX_PORTALS)
    die ("fake-iscsi-target: more than %d portals", MAX_PORTALS);
  comma = strchr (text, ',');
  if (comma)
    *comma = '\0';
  if (!address_parse (text, &portal_address[n_portals]))
    die ("fake-iscsi-target: --listen %s: want ADDRESS:PORT[,TPGT]", arg);
  portal_tpgt[n_portals] = comma
    ? (int) number_of ("listen", comma + 1, 65535) : 1;
  n_portals++;
  free (text);
}

static void
set_wwid (const char *hex)
{
  size_t n = strlen (hex);
  unsigned v;

  if ((n != 16 && n != 32) || strspn (hex, "0123456789abcdefABCDEF") != n)
    die ("fake-iscsi-target: --wwid %s: want 16 or 32 hex digits", hex);
  for (size_t i = 0; i < n / 2; i++) {
    sscanf (hex + 2 * i, "%2x", &v);
    facts.wwid[i] = (uint8_t) v;
  }
  facts.wwid_length = n / 2;
}

/* Cut in two: argv may be written to. */
static void
set_account (const char *option, char *arg, const char **user,
             const char **secret)
{
  char *colon = strchr (arg, ':');

  if (colon == NULL || !md5_works ())
    die ("fake-iscsi-target: --%s %s: want USER:SECRET", option, arg);
  *colon = '\0';
  *user = arg;
  *secret = colon + 1;
}

enum {
  O_LISTEN = 256, O_TARGET, O_LUN, O_FILE, O_SIZE, O_BLOCK, O_PHYSICAL,
  O_ALIGNED, O_THIN, O_NDOB, O_LBPRZ, O_MAX_UNMAP, O_MAX_TRANSFER, O_OPT_TRANSFER,
  O_WP, O_NO_WCE, O_NO_CACHING, O_NO_DPOFUA, O_TYPE, O_QUALIFIER, O_REMOVABLE,
  O_NO_MEDIUM, O_RESERVED, O_PROTECTION, O_ROTATION, O_WWID, O_SERIAL,
  O_OWNER_PAGE, O_VENDOR, O_PRODUCT, O_NO_RC16, O_NO_VPD, O_INITIAL_R2T, O_NO_IMMEDIATE,
  O_CHAP, O_CHAP_MUTUAL,
  O_CHAP_DISCOVERY, O_MAX_BURST, O_FIRST_BURST, O_MRDSL, O_DELAY, O_EVIL, O_HELP,
  O_ALUA, O_ALUA_MORE, O_ALUA_OTHER, O_CONTROL,
};

static const struct option options[] = {
  { "listen", 1, NULL, O_LISTEN }, { "target", 1, NULL, O_TARGET },
  { "lun", 1, NULL, O_LUN }, { "file", 1, NULL, O_FILE },
  { "size", 1, NULL, O_SIZE }, { "block-size", 1, NULL, O_BLOCK },
  { "physical-block-size", 1, NULL, O_PHYSICAL },
  { "lowest-aligned", 1, NULL, O_ALIGNED }, { "thin", 0, NULL, O_THIN },
  { "ndob", 0, NULL, O_NDOB },
  { "lbprz", 0, NULL, O_LBPRZ }, { "max-unmap", 1, NULL, O_MAX_UNMAP },
  { "max-transfer", 1, NULL, O_MAX_TRANSFER },
  { "optimal-transfer", 1, NULL, O_OPT_TRANSFER },
  { "write-protect", 0, NULL, O_WP }, { "no-write-cache", 0, NULL, O_NO_WCE },
  { "no-caching-page", 0, NULL, O_NO_CACHING },
  { "no-dpofua", 0, NULL, O_NO_DPOFUA }, { "device-type", 1, NULL, O_TYPE },
  { "owner-page", 1, NULL, O_OWNER_PAGE },
  { "qualifier", 1, NULL, O_QUALIFIER }, { "removable", 0, NULL, O_REMOVABLE },
  { "no-medium", 0, NULL, O_NO_MEDIUM }, { "reserved", 0, NULL, O_RESERVED },
  { "protection", 1, NULL, O_PROTECTION }, { "rotation", 1, NULL, O_ROTATION },
  { "wwid", 1, NULL, O_WWID }, { "serial", 1, NULL, O_SERIAL },
  { "vendor", 1, NULL, O_VENDOR }, { "product", 1, NULL, O_PRODUCT },
  { "no-rc16", 0, NULL, O_NO_RC16 }, { "no-vpd", 0, NULL, O_NO_VPD },
  { "initial-r2t", 0, NULL, O_INITIAL_R2T },
  { "no-immediate-data", 0, NULL, O_NO_IMMEDIATE },
  { "chap", 1, NULL, O_CHAP }, { "chap-mutual", 1, NULL, O_CHAP_MUTUAL },
  { "chap-discovery-only", 0, NULL, O_CHAP_DISCOVERY },
  { "max-burst", 1, NULL, O_MAX_BURST },
  { "first-burst", 1, NULL, O_FIRST_BURST }, { "mrdsl", 1, NULL, O_MRDSL },
  { "delay", 1, NULL, O_DELAY }, { "evil", 1, NULL, O_EVIL },
  { "alua", 1, NULL, O_ALUA }, { "alua-more", 1, NULL, O_ALUA_MORE },
  { "tpgs", 1, NULL, O_ALUA_OTHER }, { "rtpg", 1, NULL, O_ALUA_OTHER },
  { "alua-ua", 1, NULL, O_ALUA_OTHER },
  { "transition-time", 1, NULL, O_ALUA_OTHER },
  { "stpg-others", 1, NULL, O_ALUA_OTHER },
  { "no-type5", 0, NULL, O_ALUA_OTHER },
  { "unavailable-qualifier", 0, NULL, O_ALUA_OTHER },
  { "control", 1, NULL, O_CONTROL },
  { "help", 0, NULL, O_HELP }, { NULL, 0, NULL, 0 },
};

static void
set_text (char *to, size_t room, const char *arg)
{
  snprintf (to, room, "%s", arg);
}

static void
set_option (int o, const char *name, char *arg)
{
  switch (o) {
  case O_LISTEN: add_portal (arg); break;
  case O_TARGET: set_text (target_name, sizeof target_name, arg); break;
  case O_LUN:
    if (n_luns == MAX_LUNS)
      die ("fake-iscsi-target: more than %d LUNs", MAX_LUNS);
    luns[n_luns++].number = number_of (name, arg, 16383);
    break;
  case O_FILE: file = arg; break;
  case O_SIZE: size = size_of (name, arg); break;
  case O_BLOCK: facts.block_size = number_of (name, arg, 1 << 20); break;
  case O_PHYSICAL:
    facts.physical_block_size = number_of (name, arg, 1 << 20);
    break;
  case O_ALIGNED: facts.lowest_aligned = number_of (name, arg, 0x3fff); break;
  case O_THIN: facts.thin = true; break;
  case O_NDOB: facts.ndob = true; break;
  case O_LBPRZ: facts.lbprz = true; break;
  case O_MAX_UNMAP: facts.max_unmap = number_of (name, arg, UINT32_MAX); break;
  case O_MAX_TRANSFER:
    facts.max_transfer = number_of (name, arg, UINT32_MAX);
    break;
  case O_OPT_TRANSFER:
    facts.optimal_transfer = number_of (name, arg, UINT32_MAX);
    break;
  case O_WP: facts.write_protect = true; break;
  case O_NO_WCE: facts.wce = false; break;
  case O_NO_CACHING: facts.caching_page = false; break;
  case O_NO_DPOFUA: facts.dpofua = false; break;
  case O_TYPE: facts.device_type = (uint8_t) number_of (name, arg, 31); break;
  case O_OWNER_PAGE: facts.owner_page = (uint8_t) number_of (name, arg, 255); break;
  case O_QUALIFIER: facts.qualifier = (uint8_t) number_of (name, arg, 7); break;
  case O_REMOVABLE: facts.removable = true; break;
  case O_NO_MEDIUM: facts.removable = facts.no_medium = true; break;
  case O_RESERVED: facts.reserved = true; break;
  case O_PROTECTION: facts.protection = (uint8_t) number_of (name, arg, 3); break;
  case O_ROTATION: facts.rotation = number_of (name, arg, 65535); break;
  case O_WWID: set_wwid (arg); break;
  case O_SERIAL: set_text (facts.serial, sizeof facts.serial, arg); break;
  case O_VENDOR: set_text (facts.vendor, sizeof facts.vendor, arg); break;
  case O_PRODUCT: set_text (facts.product, sizeof facts.product, arg); break;
  case O_NO_RC16: facts.no_rc16 = true; break;
  case O_NO_VPD: facts.no_vpd = true; break;
  case O_INITIAL_R2T: opt_initial_r2t = true; break;
  case O_NO_IMMEDIATE: opt_immediate_data = false; break;
  case O_MAX_BURST: opt_max_burst = number_of (name, arg, 0xffffff); break;
  case O_FIRST_BURST: opt_first_burst = number_of (name, arg, 0xffffff); break;
  case O_MRDSL: opt_mrdsl = number_of (name, arg, 0xffffff); break;
  case O_CHAP: set_account (name, arg, &chap_user, &chap_secret); break;
  case O_CHAP_MUTUAL:
    set_account (name, arg, &chap_mutual_user, &chap_mutual_secret);
    break;
  case O_CHAP_DISCOVERY: chap_discovery_only = true; break;
  case O_DELAY: opt_delay_ms = (int) number_of (name, arg, 60000); break;
  case O_EVIL:
    if (!evil_enable (arg))
      die ("fake-iscsi-target: --evil %s: no such role, or not"
           " NAME[:AFTER[:TIMES]]", arg);
    break;
  case O_ALUA: alua_option_groups (arg); break;
  case O_ALUA_MORE: alua_option_more (number_of (name, arg, 70)); break;
  case O_ALUA_OTHER:
    if (!alua_option (name, arg))
      die ("fake-iscsi-target: --%s %s: what?", name, arg);
    break;
  case O_CONTROL: control_open (arg); break;
  case O_HELP: usage (stdout); exit (0);
  default: usage (stderr); exit (1);
  }
}

static void
open_disks (void)
{
  char path[4096];

  if (facts.block_size == 0)
    die ("fake-iscsi-target: --block-size 0: blocks must have a size");
  if (facts.physical_block_size < facts.block_size)
    facts.physical_block_size = facts.block_size;
  facts.blocks = size / facts.block_size;
  if (n_luns == 0)
    luns[n_luns++].number = 1;
  for (int i = 0; i < n_luns; i++) {
    if (file && i > 0)
      snprintf (path, sizeof path, "%s.%u", file, luns[i].number);
    else if (file)
      snprintf (path, sizeof path, "%s", file);
    luns[i].disk = disk_open (file ? path : NULL, facts.block_size);
  }
}

int
main (int argc, char **argv)
{
  struct sigaction sa = { .sa_handler = on_signal };
  char buf[ADDRESS_TEXT];
  int c, index = 0;

  while ((c = getopt_long (argc, argv, "", options, &index)) != -1)
    set_option (c, options[index].name, optarg);
  if (optind < argc || n_portals == 0) {
    usage (stderr);
    return 1;
  }
  open_disks ();
  signal (SIGPIPE, SIG_IGN);
  sigaction (SIGTERM, &sa, NULL);
  sigaction (SIGINT, &sa, NULL);

  for (int i = 0; i < n_portals; i++) {
    portal_fd[i] = listen_on (&portal_address[i]);
    if (portal_fd[i] == -1)
      die ("fake-iscsi-target: %s: cannot listen: %s",
           address_text (&portal_address[i], buf), strerror (errno));
  }
  printf ("ready");
  for (int i = 0; i < n_portals; i++)
    printf (" %s", address_text (&portal_address[i], buf));
  printf ("\n");
  fflush (stdout);

  while (!quit)
    run_once ();

  while (connections)
    free_connection (connections);
  for (int i = 0; i < n_portals; i++)
    close (portal_fd[i]);
  for (int i = 0; i < n_luns; i++)
    disk_close (luns[i].disk);
  return 0;
}
