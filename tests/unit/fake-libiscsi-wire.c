/* SPDX-License-Identifier: BSD-3-Clause */
/* The target's end of each connection: a login, and then pdu-target.h, which is
 * strict about every byte that the server sends.  One thread reads, executes in
 * order of the time that is due, and writes.  See fake-libiscsi.h. */
#include <config.h>

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fake-libiscsi.h"
#include "iscsi/login-filter.h"
#include "iscsi/tcp-info.h"
#include "pdu-target.h"

#define FOREVER 1e9             /* seconds */
#define MAX_CONNS 512

struct fake_conn {
  struct list node;             /* conns */
  struct fake_portal *portal;
  int peer;                     /* our end; -1: closed */
  ino_t client;                 /* inode of the other one */
  bool discovery, asked;        /* a login is here */
  char name[256];
  uint64_t isid;
  uint32_t cmdsn, statsn;
  uint8_t login[8192];
  size_t login_size;
  struct pt *pt;                /* logged in */
  bool attention[FAKE_MAX_LUNS];
  struct list target;           /* struct fake_command */
  size_t choked;                /* bytes that fill the socket */
};

/* Under fake_lock. */
static struct list conns = LIST_INIT (conns);
static unsigned deaths, resets;
static bool stop, wild;
static int wake = -1;
static pthread_t thread;
static char *offer;             /* text of SendTargets */
static size_t offer_size;

static void
kick (void)
{
  const uint64_t one = 1;

  if (wake != -1 && write (wake, &one, sizeof one) != sizeof one)
    fake_misuse ("eventfd: %s", strerror (errno));
}

static struct fake_command *
command_new (struct fake_conn *c, enum fake_kind kind)
{
  const struct fake_portal *p = c->portal;
  struct fake_command *cmd = calloc (1, sizeof *cmd);
  unsigned delay = p->delay_min;

  assert (cmd != NULL);
  /* Of commands. */
  if (p->delay_max > p->delay_min && kind != FAKE_CMD_LOGIN)
    delay += fake_random () % (p->delay_max - p->delay_min + 1);
  cmd->kind = kind;
  cmd->due = fake_now () + delay / 1e6;
  list_add_tail (&c->target, &cmd->node);
  return cmd;
}

static void
command_free (struct fake_command *cmd)
{
  list_del (&cmd->node);
  free (cmd->data);
  free (cmd);
}

/* ---- the end of a connection ------------------------------------------------------- */

static void
forget (struct fake_conn *c)
{
  if (c->peer >= 0)
    close (c->peer);
  while (!list_empty (&c->target))
    command_free (list_entry (c->target.next, struct fake_command, node));
  if (c->pt != NULL)
    pt_free (c->pt);
  list_del (&c->node);
  free (c);
}

/* The target loses the nexus: each of its tasks was executed or not. */
static void
drop_tasks (struct fake_conn *c)
{
  struct list *l, *next;

  list_for_each (l, next, &c->target) {
    struct fake_command *cmd = list_entry (l, struct fake_command, node);

    if (cmd->kind == FAKE_CMD_SCSI && fake_random () % 2)
      fake_execute_unseen (c->portal, cmd);
  }
}

/* What the kernel takes. */
static void
flush (struct fake_conn *c)
{
  size_t done = 0;

  while (c->pt != NULL && done < c->pt->out_size) {
    const ssize_t n = send (c->peer, c->pt->out + done,
                            c->pt->out_size - done,
                            MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n <= 0)
      break;
    done += (size_t) n;
  }
  if (done > 0) {
    memmove (c->pt->out, c->pt->out + done, c->pt->out_size - done);
    c->pt->out_size -= done;
  }
}

static void
close_conn (struct fake_conn *c)
{
  deaths++;
  forget (c);
}

static void
kill_conn (struct fake_conn *c)
{
  drop_tasks (c);
  /* Answers on their way arrive, or a RST overtakes them. */
  if (fake_random () % 2 && !c->portal->silent)
    flush (c);
  close_conn (c);
}

/* ---- logging in ----------------------------------------------------------------------- */

/* A login with the ISID of another session of the same portal group replaces
 * it (RFC 7143 6.3.5). */
static void
reinstate (struct fake_conn *c)
{
  struct list *l, *next;

  list_for_each (l, next, &conns) {
    struct fake_conn *other = list_entry (l, struct fake_conn, node);

    if (other != c && other->pt != NULL && other->isid == c->isid &&
        strcmp (other->name, c->name) == 0 &&
        other->portal->tpgt == c->portal->tpgt)
      kill_conn (other);
  }
}

static uint32_t
some_length (uint32_t max)
{
  static const uint32_t some[] = { 512, 1000, 4096, 8192, 65536, 262144 };
  const uint32_t n = some[fake_random () % 6];

  return n < max ? n : max;
}

static struct pt_params
parameters (void)
{
  struct pt_params p = {
    .keys = {
      .initial_r2t = true, .immediate_data = true, .pdu_in_order = true,
      .sequence_in_order = true, .our_segment = 262144, .their_segment = 8192,
      .first_burst = 65536, .max_burst = 262144, .max_r2t = 1,
    },
    .window = 128, .r2t_size = 1 << 24, .data_in_size = 1 << 24,
    .status_in_data = true,
  };

  if (!wild)
    return p;
  p.keys.header_digest = fake_random () % 2;
  p.keys.data_digest = fake_random () % 2;
  p.keys.initial_r2t = fake_random () % 2;
  p.keys.immediate_data = fake_random () % 2;
  p.keys.pdu_in_order = fake_random () % 2;
  p.keys.sequence_in_order = fake_random () % 2;
  p.keys.their_segment = some_length (262144);
  p.keys.max_burst = some_length (262144);
  p.keys.first_burst = some_length (p.keys.max_burst);
  p.keys.max_r2t = 1 + fake_random () % 8;
  p.window = 1 + fake_random () % 64;
  p.r2t_size = some_length (262144);
  p.data_in_size = some_length (262144);
  p.status_in_data = fake_random () % 2;
  p.shuffle = fake_random () % 2;
  return p;
}

static void
send_login (struct fake_conn *c, uint8_t *h, const char *text, size_t size)
{
  uint8_t pdu[PDU_BHS + 1024] = { 0 };

  assert (size < 1024 - 4);
  pdu_set_data_size (h, (uint32_t) size);
  memcpy (pdu, h, PDU_BHS);
  memcpy (pdu + PDU_BHS, text, size);
  size += PDU_BHS + pdu_padding ((uint32_t) size);
  if (send (c->peer, pdu, size, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t) size &&
      errno != EPIPE && errno != ECONNRESET)
    fake_misuse ("a login response does not fit: %s", strerror (errno));
}

static void
answer_login (struct fake_conn *c)
{
  struct fake_portal *p = c->portal;
  const struct pt_params how = parameters ();
  const struct ffp_keys *k = &how.keys;
  uint8_t h[PDU_BHS] = { PDU_LOGIN_RESPONSE };
  char text[1000];
  size_t n = 0;

  put_be32 (&h[PDU_AT_ITT], 0x1234);
  put_be32 (&h[PDU_AT_STATSN], c->statsn);
  put_be32 (&h[PDU_AT_EXPCMDSN], c->cmdsn);
  put_be32 (&h[PDU_AT_MAXCMDSN], c->cmdsn + how.window - 1);
  if (p->login != FAKE_LOGIN_OK) {
    h[PDU_AT_STATUS_CLASS] = p->login == FAKE_LOGIN_REDIRECT ? 1 : 2;
    h[PDU_AT_STATUS_DETAIL] = 1;
    n = (size_t) sprintf (text, "TargetAddress=%.200s", p->login_text) + 1;
    send_login (c, h, text, n);
    return;
  }
  p->logins++;
  if (!c->discovery)
    reinstate (c);
  for (int i = 0; i < FAKE_MAX_LUNS; ++i)
    c->attention[i] = true;
  h[PDU_AT_FLAGS] = 0x87;
  put_be16 (&h[PDU_AT_TSIH], 7);
#define PAIR(...) n += (size_t) sprintf (text + n, __VA_ARGS__) + 1
  if (p->tpgt >= 0 && !c->discovery) {
    PAIR ("TargetAlias=TargetPortalGroupTag=9");
    PAIR ("TargetPortalGroupTag=%d", p->tpgt);
  }
  PAIR ("HeaderDigest=%s", k->header_digest ? "CRC32C" : "None");
  PAIR ("DataDigest=%s", k->data_digest ? "CRC32C" : "None");
  PAIR ("InitialR2T=%s", k->initial_r2t ? "Yes" : "No");
  PAIR ("ImmediateData=%s", k->immediate_data ? "Yes" : "No");
  PAIR ("MaxRecvDataSegmentLength=%u", k->their_segment);
  PAIR ("MaxBurstLength=%u", k->max_burst);
  PAIR ("FirstBurstLength=%u", k->first_burst);
  PAIR ("MaxOutstandingR2T=%u", k->max_r2t);
  PAIR ("DataPDUInOrder=%s", k->pdu_in_order ? "Yes" : "No");
  PAIR ("DataSequenceInOrder=%s", k->sequence_in_order ? "Yes" : "No");
#undef PAIR
  send_login (c, h, text, n);
  c->pt = pt_new (&how, &fake_pt_ops, c, c->cmdsn, c->statsn + 1);
  pt_max_cmdsn (c->pt);
}

static void
take_login (struct fake_conn *c)
{
  const uint8_t *h = c->login;
  const char *text = (const char *) h + PDU_BHS, *pair = NULL;
  size_t length;

  if (c->asked || c->login_size < PDU_BHS ||
      c->login_size < PDU_BHS + pdu_data_size (h) + pdu_padding (pdu_data_size (h)))
    return;
  if (h[0] != (PDU_LOGIN_REQUEST | PDU_IMMEDIATE))
    fake_misuse ("a login begins with type %02x", h[0]);
  c->asked = true;
  c->cmdsn = get_be32 (&h[PDU_AT_CMDSN]);
  c->statsn = get_be32 (&h[PDU_AT_EXPSTATSN]);
  c->isid = (uint64_t) get_be16 (&h[PDU_AT_ISID]) << 32 |
    get_be32 (&h[PDU_AT_ISID + 2]);
  while ((pair = text_pair (text, pdu_data_size (h), pair, &length)) != NULL) {
    if (strncmp (pair, "TargetName=", 11) == 0)
      snprintf (c->name, sizeof c->name, "%s", pair + 11);
    else if (strcmp (pair, "SessionType=Discovery") == 0)
      c->discovery = true;
  }
  command_new (c, FAKE_CMD_LOGIN);
}

/* ---- what comes ------------------------------------------------------------------------- */

/* Peripheral or flat addressing, SAM-5 4.7.7. */
static unsigned
lun_of (unsigned field)
{
  return (field & 0xc000) == 0x4000 ? field & 0x3fff : field;
}

static void
on_command (void *opaque, struct pt_command *p)
{
  struct fake_conn *c = opaque;
  struct fake_command *cmd = command_new (c, FAKE_CMD_SCSI);

  cmd->pt = p;
  cmd->lun = lun_of (p->lun);
  memcpy (cmd->cdb, p->cdb, sizeof cmd->cdb);
  cmd->len = p->edtl;
  cmd->data = calloc (1, cmd->len ? cmd->len : 1);
  assert (cmd->data != NULL);
  if (p->write)
    memcpy (cmd->data, p->data, p->edtl);
  if (fake_hangs (c->portal, cmd))
    cmd->due = FOREVER;
}

static void
on_tmf (void *opaque, uint32_t itt, uint8_t function, uint16_t lun,
        uint32_t ref)
{
  struct fake_command *cmd =
    command_new (opaque, function == PDU_LUN_RESET ? FAKE_CMD_LUN_RESET
                 : FAKE_CMD_ABORT_TASK);

  assert ((function == PDU_LUN_RESET || function == PDU_ABORT_TASK) &&
          lun_of (lun) < FAKE_MAX_LUNS);
  cmd->itt = itt;
  cmd->ritt = ref;
  cmd->lun = lun_of (lun);
}

static void
on_nop (void *opaque, uint32_t itt)
{
  command_new (opaque, FAKE_CMD_NOP)->itt = itt;
}

static void
on_text (void *opaque, uint32_t itt, const char *text, size_t size)
{
  struct fake_conn *c = opaque;

  if (!c->discovery || size != sizeof "SendTargets=All" ||
      strcmp (text, "SendTargets=All") != 0)
    fake_misuse ("a text request: %.*s", (int) size, text);
  command_new (c, FAKE_CMD_DISCOVERY)->itt = itt;
}

static void
on_logout (void *opaque, uint32_t itt)
{
  command_new (opaque, FAKE_CMD_LOGOUT)->itt = itt;
}

const struct pt_ops fake_pt_ops = {
  on_command, on_tmf, on_nop, on_text, on_logout,
};

/* False: it is gone. */
static bool
receive (struct fake_conn *c)
{
  static uint8_t buf[256 * 1024];
  ssize_t n;

  while ((n = recv (c->peer, buf, sizeof buf, MSG_DONTWAIT)) > 0) {
    if (c->pt != NULL)
      pt_input (c->pt, buf, (size_t) n);
    else {
      assert (c->login_size + (size_t) n <= sizeof c->login);
      memcpy (c->login + c->login_size, buf, (size_t) n);
      c->login_size += (size_t) n;
      take_login (c);
    }
  }
  if (n == -1 && errno == EAGAIN)
    return true;
  drop_tasks (c);
  forget (c);
  return false;
}

/* ---- executing ------------------------------------------------------------------------------ */

static void
send_answer (struct fake_conn *c, struct fake_command *cmd)
{
  const bool good = cmd->status == SCSI_STATUS_GOOD;
  uint8_t sense[18] = { 0x70 };

  sense[2] = cmd->key;
  sense[7] = 10;
  sense[12] = cmd->asc;
  sense[13] = cmd->ascq;
  cmd->pt->no_residual = cmd->silent;
  if (cmd->pt->write && !cmd->silent)
    cmd->pt->residual = cmd->residual;
  pt_answer (c->pt, cmd->pt, (uint8_t) cmd->status, sense,
             cmd->status == SCSI_STATUS_CHECK_CONDITION ? sizeof sense : 0,
             cmd->data, good && cmd->pt->read ? cmd->len - cmd->residual : 0);
}

/* False: not yet. */
static bool
execute_scsi (struct fake_conn *c, struct fake_command *cmd)
{
  bool none = false;

  if (!cmd->rest)
    fake_execute (c->portal, cmd, cmd->lun < FAKE_MAX_LUNS
                  ? &c->attention[cmd->lun] : &none);
  if (cmd->die)
    return true;
  /* A Data-In PDU that has only a part of the data, and more is to come. */
  if (cmd->half_ms > 0 && !cmd->rest && cmd->status == SCSI_STATUS_GOOD &&
      cmd->pt->read && cmd->residual == 0) {
    pt_data (c->pt, cmd->pt, cmd->data, cmd->len / 2);
    cmd->rest = true;
    cmd->due = fake_now () + cmd->half_ms / 1e3;
    list_add_tail (&c->target, &cmd->node);
    return false;
  }
  send_answer (c, cmd);
  return true;
}

/* One task of C is over, executed or not, but not later. */
static void
end_task (struct fake_conn *c, struct pt_command *p)
{
  struct list *l, *next;

  list_for_each (l, next, &c->target) {
    struct fake_command *cmd = list_entry (l, struct fake_command, node);

    if (cmd->kind != FAKE_CMD_SCSI || cmd->pt != p)
      continue;
    if (fake_random () % 2)
      fake_execute_unseen (c->portal, cmd);
    command_free (cmd);
  }
  pt_forget (c->pt, p);
}

/* LOGICAL UNIT RESET: the tasks of every nexus end, and those of the others
 * without an answer (SAM-5 7.7, TAS 0), but with a UNIT ATTENTION. */
static void
reset_lun (struct fake_portal *portal, const struct fake_conn *by, unsigned lun)
{
  const struct fake_disk *d = portal->luns[lun];
  struct list *l, *next, *k, *knext;

  list_for_each (l, next, &conns) {
    struct fake_conn *c = list_entry (l, struct fake_conn, node);

    if (c->pt == NULL || d == NULL || c->portal->luns[lun] != d)
      continue;
    c->attention[lun] = c != by;
    list_for_each (k, knext, &c->pt->commands) {
      struct pt_command *p = list_entry (k, struct pt_command, node);

      if (lun_of (p->lun) == lun)
        end_task (c, p);
    }
  }
}

static void
abort_task (struct fake_conn *c, struct fake_command *tmf)
{
  struct list *l, *next;

  list_for_each (l, next, &c->pt->commands) {
    struct pt_command *p = list_entry (l, struct pt_command, node);

    if (p->itt == tmf->ritt) {
      end_task (c, p);
      pt_tmf_answer (c->pt, tmf->itt, 0);
      return;
    }
  }
  pt_tmf_answer (c->pt, tmf->itt, 1);   /* no such task */
}

static void
manage (struct fake_conn *c, struct fake_command *cmd)
{
  const enum fake_tmf how = cmd->kind == FAKE_CMD_LUN_RESET
    ? c->portal->reset : c->portal->abort;
  struct list *l, *next;

  if (how == FAKE_TMF_LOST)
    return;
  if (how == FAKE_TMF_REFUSED)
    pt_tmf_answer (c->pt, cmd->itt, 5);
  else if (cmd->kind == FAKE_CMD_ABORT_TASK)
    abort_task (c, cmd);
  else {
    reset_lun (c->portal, c, cmd->lun);
    resets++;
    pt_tmf_answer (c->pt, cmd->itt, 0);
    if (how == FAKE_TMF_DROPS)
      list_for_each (l, next, &conns) {
        struct fake_conn *o = list_entry (l, struct fake_conn, node);

        if (o->pt != NULL && o != c)
          close_conn (o);
      }
  }
}

/* CMD's time has come.  It is in no list. */
static void
execute (struct fake_conn *c, struct fake_command *cmd)
{
  const struct fake_portal *p = c->portal;
  bool dies = false;

  switch (cmd->kind) {
  case FAKE_CMD_SCSI:
    if (!execute_scsi (c, cmd))
      return;
    dies = cmd->die;
    break;
  case FAKE_CMD_LOGIN:
    if (p->login != FAKE_LOGIN_LOST)
      answer_login (c);
    break;
  case FAKE_CMD_LOGOUT:
    if (p->logout == FAKE_LOGOUT_OK)
      pt_logout_answer (c->pt, cmd->itt);
    dies = p->logout == FAKE_LOGOUT_CLOSES;
    break;
  case FAKE_CMD_LUN_RESET: case FAKE_CMD_ABORT_TASK:
    manage (c, cmd);
    break;
  case FAKE_CMD_NOP:
    pt_nop_answer (c->pt, cmd->itt);
    break;
  case FAKE_CMD_DISCOVERY:
    pt_text (c->pt, cmd->itt, true, offer, offer_size);
    break;
  }
  command_free (cmd);
  if (dies) {
    drop_tasks (c);
    close_conn (c);
  }
}

/* The command that is due first, of all connections. */
static struct fake_command *
next_due (struct fake_conn **whose)
{
  struct fake_command *first = NULL;
  struct list *l, *next, *k, *knext;

  list_for_each (l, next, &conns) {
    struct fake_conn *c = list_entry (l, struct fake_conn, node);

    if (c->portal->silent)
      continue;
    list_for_each (k, knext, &c->target) {
      struct fake_command *cmd = list_entry (k, struct fake_command, node);

      if (first == NULL || cmd->due < first->due) {
        first = cmd;
        *whose = c;
      }
    }
  }
  return first;
}

/* What is due; how long until the next one, in ms. */
static int
execute_all (void)
{
  struct fake_command *cmd;
  struct fake_conn *c = NULL;
  double left;

  while ((cmd = next_due (&c)) != NULL) {
    left = cmd->due - fake_now ();
    if (left > 0)
      return left < 1e6 ? (int) (left * 1e3) + 1 : -1;
    list_del (&cmd->node);
    execute (c, cmd);
  }
  return -1;
}

static void
wait (int timeout)
{
  static struct pollfd fds[MAX_CONNS];
  struct list *l, *next;
  unsigned n = 1;
  uint64_t count;

  fds[0] = (struct pollfd) { .fd = wake, .events = POLLIN };
  list_for_each (l, next, &conns) {
    const struct fake_conn *c = list_entry (l, struct fake_conn, node);

    assert (n < MAX_CONNS);
    if (c->choked == 0)
      fds[n++] = (struct pollfd) {
        .fd = c->peer,
        .events = POLLIN | (c->pt != NULL && c->pt->out_size > 0 &&
                            !c->portal->silent ? POLLOUT : 0) };
  }
  pthread_mutex_unlock (&fake_lock);
  poll (fds, n, timeout);
  if (fds[0].revents && read (wake, &count, sizeof count) == -1)
    fake_misuse ("eventfd: %s", strerror (errno));
  pthread_mutex_lock (&fake_lock);
}

static void *
target_thread (void *unused)
{
  (void) unused;
  pthread_mutex_lock (&fake_lock);
  while (!stop) {
    struct list *l, *next;
    int timeout;

    list_for_each (l, next, &conns) {
      struct fake_conn *c = list_entry (l, struct fake_conn, node);

      if (c->choked == 0)
        receive (c);
    }
    timeout = execute_all ();
    list_for_each (l, next, &conns) {
      struct fake_conn *c = list_entry (l, struct fake_conn, node);

      if (!c->portal->silent)
        flush (c);
    }
    wait (timeout);
  }
  pthread_mutex_unlock (&fake_lock);
  return NULL;
}

/* ---- the socket ----------------------------------------------------------------------------- */

static ino_t
inode_of (int fd)
{
  struct stat st;

  return fstat (fd, &st) == 0 && S_ISSOCK (st.st_mode) ? st.st_ino : 0;
}

/* Nothing more fits into the socket: it does not become writable.  The server
 * may have it under any number. */
static void
choke (struct fake_conn *c)
{
  static const char zeroes[4096];
  ssize_t n;

  for (int fd = 3; fd < 1024 && c->choked == 0; fd++)
    if (inode_of (fd) == c->client)
      while ((n = send (fd, zeroes, sizeof zeroes,
                        MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
        c->choked += (size_t) n;
}

static void
unchoke (struct fake_conn *c)
{
  char buf[4096];

  while (c->choked > 0) {
    const ssize_t n = recv (c->peer, buf, c->choked < sizeof buf ? c->choked
                            : sizeof buf, MSG_DONTWAIT);

    if (n <= 0)
      break;
    c->choked -= (size_t) n;
  }
  c->choked = 0;
}

int
fake_conn_new (struct fake_portal *p)
{
  struct fake_conn *c = calloc (1, sizeof *c);
  int fds[2];

  assert (c != NULL);
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                  fds) == -1)
    fake_misuse ("socketpair: %s", strerror (errno));
  c->portal = p;
  c->peer = fds[1];
  c->client = inode_of (fds[0]);
  list_init (&c->target);
  list_add_tail (&conns, &c->node);
  if (p->connect == FAKE_CONNECT_LOST || p->choked)
    choke (c);
  kick ();
  return fds[0];
}

/* Takes the C library's place: what the server sends is before what chokes the
 * socket, or behind it, and not in between. */
ssize_t
sendmsg (int fd, const struct msghdr *msg, int flags)
{
  ssize_t r;

  pthread_mutex_lock (&fake_lock);
  r = syscall (SYS_sendmsg, fd, msg, flags);
  pthread_mutex_unlock (&fake_lock);
  return r;
}

/* The same: a socket pair has neither a SO_ERROR of its
 * own nor TCP_INFO. */
int
getsockopt (int fd, int level, int name, void *restrict value,
            socklen_t *restrict len)
{
  const ino_t inode = inode_of (fd);
  struct list *l, *next;
  int r = -1;

  pthread_mutex_lock (&fake_lock);
  list_for_each (l, next, &conns) {
    const struct fake_conn *c = list_entry (l, struct fake_conn, node);

    if (c->client != inode)
      continue;
    if (level == SOL_SOCKET && name == SO_ERROR &&
        c->portal->connect == FAKE_CONNECT_REFUSED) {
      *(int *) value = ECONNREFUSED;
      r = 0;
    }
    else if (level == IPPROTO_TCP && name == TCP_INFO &&
             c->portal->tcp_known && *len >= sizeof (struct linux_tcp_info)) {
      struct linux_tcp_info *info = value;

      /* As Linux 4.6 has it: no word of the peer's window. */
      memset (value, 0, *len);
      if (*len > offsetof (struct linux_tcp_info, data_segs_in))
        *len = offsetof (struct linux_tcp_info, data_segs_in);
      info->unacked = c->portal->tcp_unacked;
      info->retransmits = c->portal->tcp_retransmits;
      r = 0;
    }
    break;
  }
  pthread_mutex_unlock (&fake_lock);
  return r == 0 ? 0 : syscall (SYS_getsockopt, fd, level, name, value, len);
}

/* ---- for tests ---------------------------------------------------------------------------- */

void
fake_wire_start (void)
{
  stop = wild = false;
  deaths = resets = 0;
  wake = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake == -1 || pthread_create (&thread, NULL, target_thread, NULL) != 0)
    fake_misuse ("cannot start the target's thread");
}

void
fake_wire_end (void)
{
  pthread_mutex_lock (&fake_lock);
  stop = true;
  kick ();
  pthread_mutex_unlock (&fake_lock);
  pthread_join (thread, NULL);
  close (wake);
  wake = -1;
  while (!list_empty (&conns))
    forget (list_entry (conns.next, struct fake_conn, node));
  free (offer);
  offer = NULL;
  offer_size = 0;
}

static void
offer_add (const char *key, const char *value)
{
  offer = realloc (offer, offer_size + strlen (key) + strlen (value) + 1);
  assert (offer != NULL);
  offer_size += (size_t) sprintf (offer + offer_size, "%s%s", key, value) + 1;
}

void
fake_offer (const char *target, const char *const *portals)
{
  pthread_mutex_lock (&fake_lock);
  offer_add ("TargetName=", target);
  for (; *portals; ++portals)
    offer_add ("TargetAddress=", *portals);
  pthread_mutex_unlock (&fake_lock);
}

static void
kill_portal (struct fake_portal *p)
{
  struct list *l, *next;

  list_for_each (l, next, &conns) {
    struct fake_conn *c = list_entry (l, struct fake_conn, node);

    if (c->portal == p && c->asked)
      kill_conn (c);
  }
}

void
fake_kill (struct fake_portal *p)
{
  pthread_mutex_lock (&fake_lock);
  kill_portal (p);
  kick ();
  pthread_mutex_unlock (&fake_lock);
}

void
fake_replace_lun (struct fake_portal *p, unsigned lun, struct fake_disk *d)
{
  assert (lun < FAKE_MAX_LUNS);
  pthread_mutex_lock (&fake_lock);
  kill_portal (p);
  p->luns[lun] = d;
  kick ();
  pthread_mutex_unlock (&fake_lock);
}

void
fake_set_silent (struct fake_portal *p, bool silent)
{
  pthread_mutex_lock (&fake_lock);
  p->silent = silent;
  kick ();
  pthread_mutex_unlock (&fake_lock);
}

void
fake_set_choked (struct fake_portal *p, bool choked)
{
  struct list *l, *next;

  pthread_mutex_lock (&fake_lock);
  p->choked = choked;
  list_for_each (l, next, &conns) {
    struct fake_conn *c = list_entry (l, struct fake_conn, node);

    if (c->portal != p)
      continue;
    if (!choked)
      unchoke (c);
    else if (c->choked == 0 && receive (c))
      choke (c);
  }
  kick ();
  pthread_mutex_unlock (&fake_lock);
}

void
fake_set_wild (bool w)
{
  pthread_mutex_lock (&fake_lock);
  wild = w;
  pthread_mutex_unlock (&fake_lock);
}

static unsigned
read_counter (const unsigned *n)
{
  unsigned r;

  pthread_mutex_lock (&fake_lock);
  r = *n;
  pthread_mutex_unlock (&fake_lock);
  return r;
}

unsigned
fake_deaths (void)
{
  return read_counter (&deaths);
}

unsigned
fake_resets (void)
{
  return read_counter (&resets);
}

void
fake_reset_lun (struct fake_portal *p, unsigned lun)
{
  pthread_mutex_lock (&fake_lock);
  reset_lun (p, NULL, lun);
  pthread_mutex_unlock (&fake_lock);
}

unsigned
fake_waiting (struct fake_portal *p)
{
  struct list *l, *next, *k, *knext;
  unsigned n = 0;

  pthread_mutex_lock (&fake_lock);
  list_for_each (l, next, &conns) {
    struct fake_conn *c = list_entry (l, struct fake_conn, node);

    if (c->portal == p)
      list_for_each (k, knext, &c->target)
        n += list_entry (k, struct fake_command, node)->kind == FAKE_CMD_SCSI;
  }
  pthread_mutex_unlock (&fake_lock);
  return n;
}
